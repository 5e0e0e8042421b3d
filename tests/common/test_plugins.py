"""Mistakes in code of other packages: each is one sentence with the file's name, before a sweep."""

import importlib
import itertools
import types
from collections.abc import Callable

import numpy as np
import pytest
from commands import call

import methods
import search_spaces
from bench.common import plugins
from bench.datasets import Dataset, Source, find_source, open_dataset, sources
from bench.errors import InputError, first_line, last_line, one_line
from bench.planning import registry
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.planning.trial_checks import check_trials
from bench.tuning.rehearsal import rehearse
from bench.tuning.spaces import check_space

HEAD = '''"""Toy (2026)."""
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from torch.nn import functional as F
from bench.errors import InputError
from bench.method import Method, Wrapper

class Toy(Method):
'''
DATACLASS = "    @dataclass(frozen=True)\n    class HParams:\n"
HPARAMS = f"""{DATACLASS}        weight: float = 1.0
        n: int = 3
        flag: bool = False
        kind: Literal["a", "b"] = "a"
        limit: int | None = None
"""
LOSS = """
    def loss(self, batch):
        return F.cross_entropy(self.networks[0](batch.x), batch.y)
"""
_NUMBERS = itertools.count()


@pytest.fixture
def write(tmp_path, monkeypatch) -> Callable[..., str]:
    """Write a method's file, and its search space if given; return the method's new name."""
    for package in (methods, search_spaces):
        folder = tmp_path / package.__name__
        folder.mkdir()
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.chdir(tmp_path)

    def make(source: str | bytes, space: str | None = None, name: str = "") -> str:
        name = name or f"toy{next(_NUMBERS)}"
        content = source if isinstance(source, bytes) else source.encode()
        (tmp_path / "methods" / f"{name}.py").write_bytes(content)
        if space is not None:
            (tmp_path / "search_spaces" / f"{name}.py").write_text(
                f"from ray import tune\n{space}\n"
            )
        importlib.invalidate_caches()
        return name

    return make


def planned(
    name: str, digits: Dataset, settings: dict[str, list[str]] | None = None
) -> list[TrialSpec]:
    """Plan a trial of a method, with all checks."""
    specs = Plan(recipe="paper").specs(
        digits, expand_hparams([name], {}, settings or {}), [0.5], [0]
    )
    check_trials(specs)
    return specs


def sentence(call: Callable[[], object], *parts: str) -> str:
    """Return the sentence of the InputError, which has these parts."""
    with pytest.raises(InputError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    assert all(part in text for part in parts), text
    return text


# ----------------------------------------------------------------------------
# methods

WRONG = {
    "HParams that is no dataclass": (
        "    class HParams:\n        weight = 1.0\n",
        "HParams is no dataclass",
    ),
    "HParams without its own decorator": (
        "    class HParams(Method.HParams):\n        weight: float = 1.0\n",
        "HParams is no dataclass",
    ),
    "HParams that is a dictionary": ("    HParams = {'weight': 1.0}\n", "HParams is no dataclass"),
    "HParams that can be changed": (
        "    @dataclass\n    class HParams:\n        n: int = 1\n",
        "can be changed",
    ),
    "no default": (f"{DATACLASS}        n: int\n", "HParams.n has no default"),
    "a list by default": (f"{DATACLASS}        n: list = []\n", "mutable default"),
    "a list's factory": (
        f"{DATACLASS}        n: list = field(default_factory=list)\n",
        "HParams.n is of the type list",
    ),
    "any type": (f"{DATACLASS}        n: Any = 1\n", "HParams.n is of the type Any"),
    "an unknown type": (
        f"{DATACLASS}        n: 'Nowhere' = 1\n",
        "NameError: name 'Nowhere' is not defined",
    ),
    "no type": (
        f"{DATACLASS}        w: float = 1.0\n        n = 3\n",
        "HParams.n has no type: write n: int = 3",
    ),
    "a default of another type": (
        f"{DATACLASS}        n: int = 'three'\n",
        "HParams.n is 'three': give a whole number",
    ),
    "3.0 for a whole number": (f"{DATACLASS}        n: int = 3.0\n", "HParams.n is 3.0 by default"),
    "infinity": (
        f"{DATACLASS}        n: float = float('inf')\n",
        "HParams.n is inf: give a number",
    ),
    "an abstract method": (
        "    __abstractmethods__ = frozenset({'part'})\n",
        "its class is abstract: write def part",
    ),
    "a number of NumPy": (
        f"{DATACLASS}        n: int = __import__('numpy').int64(3)\n",
        "HParams.n is np.int64(3) by default: give a plain value, nothing of NumPy or torch, of "
        "the type int",
    ),
    "a tensor": (
        f"{DATACLASS}        w: float = __import__('torch').tensor(1.0)\n",
        "HParams.w is tensor(1.) by default",
    ),
    "a float's factory": (
        f"{DATACLASS}        w: float = field(default_factory=float)\n",
        "HParams.w has no default: write =",
    ),
    "an InitVar": (
        f"{DATACLASS}        w: __import__('dataclasses').InitVar[int] = 1\n",
        "HParams.w is an InitVar",
    ),
    "a check that makes another type": (
        f"{DATACLASS}        n: int = 1\n        def __post_init__(self):\n"
        "            object.__setattr__(self, 'n', float(self.n))\n",
        "HParams.n is 1.0 by default: give a value of the type int",
    ),
    "no argument": (
        f"{DATACLASS}        n: int = field(default=1, init=False)\n",
        "leave out init=False",
    ),
    "a check that fails": (
        f"{DATACLASS}        n: int = 1\n        def __post_init__(self):\n            {{}}['x']\n",
        "HParams refuses its own defaults (KeyError: 'x')",
    ),
    "a check that exits": (
        f"{DATACLASS}        n: int = 1\n        def __post_init__(self):\n            raise "
        "SystemExit\n",
        "HParams refuses its own defaults (SystemExit)",
    ),
    "a check that changes": (
        f"{DATACLASS}        n: int = 1\n        def __post_init__(self):\n"
        "            object.__setattr__(self, 'n', self.n + 1)\n",
        "HParams.n is 2, and 3 when made again from that",
    ),
    "a constructor without hparams": (
        "    def __init__(self):\n        super().__init__()\n",
        "__init__ takes (self)",
    ),
    "a constructor that wants more": (
        "    def __init__(self, hparams, size):\n        pass\n",
        "__init__ takes (self, hparams, size)",
    ),
    "a constructor that raises": (
        "    def __init__(self, hparams):\n        raise KeyError\n",
        "its __init__ raised KeyError",
    ),
    "a constructor that exits": (
        "    def __init__(self, hparams):\n        exit(3)\n",
        "its __init__ raised SystemExit: 3",
    ),
    "a constructor that drops hparams": (
        "    def __init__(self, hparams=None):\n        super().__init__()\n",
        "write super().__init__(hparams)",
    ),
    "a constructor that makes no module": (
        "    def __init__(self, hparams):\n        self.hp = hparams\n",
        "write super().__init__(hparams)",
    ),
    "an axis of nothing": (
        "    axes = {'k': 'neighbours'}\n",
        "in axes, there is no hyper-parameter 'neighbours'",
    ),
    "axes in a list": ("    axes = ['k']\n", "axes is ['k']: give a dictionary"),
    "begins of nothing": (
        "    begins = ['warmup']\n",
        "in begins, there is no hyper-parameter 'warmup'",
    ),
    "begins in a text": (f"{HPARAMS}    begins = 'n'\n", "begins is 'n': give a list"),
    "begins of a name": (
        f"{HPARAMS}    begins = ['kind']\n",
        "begins names kind, which is no number of epochs",
    ),
    "begins of none": (
        f"{HPARAMS}    begins = ['limit']\n",
        "planning its trials raised TypeError",
    ),
    "a recipe's unknown field": (
        "    paper = {'lr': 0.1}\n",
        "in paper, there is no field of the recipe 'lr'",
    ),
    "a recipe's wrong type": (
        "    paper = {'epochs': '300'}\n",
        "in paper, epochs is '300': give a value of the type int",
    ),
    "a recipe's wrong value": (
        "    paper = {'schedule': 'cosin'}\n",
        "in paper, schedule is 'cosin'",
    ),
    "a recipe's unknown network": (
        "    paper = {'backbone': 'resnet'}\n",
        "in paper, there is no backbone 'resnet'",
    ),
    "a recipe's milestone": (
        "    paper = {'milestones': 0.5}\n",
        "in paper, milestones is 0.5: give a tuple",
    ),
    "no recipe": ("    paper = None\n", "paper is None: give a dictionary"),
    "an unknown privilege": (
        "    privileges = {'test_labels'}\n",
        "declares the privileges ['test_labels']",
    ),
    "a privilege in a text": (
        "    privileges = 'noise_rate'\n",
        "privileges is 'noise_rate': give a set",
    ),
    "privileges that are a function": (
        "    def privileges(self):\n        return set()\n",
        "privileges is a function: write @property",
    ),
    "privileges that raise": (
        "    @property\n    def privileges(self):\n        1 / 0\n",
        "privileges raised ZeroDivisionError",
    ),
    "privileges that are none": (
        "    @property\n    def privileges(self):\n        pass\n",
        "privileges is None",
    ),
    "an unknown oracle": (
        f"{HPARAMS}    oracles = {{'n': ['truth']}}\n",
        "in oracles, there is no privilege 'truth'",
    ),
    "an oracle of nothing": (
        "    oracles = {'r': ['noise_rate']}\n",
        "in oracles, there is no hyper-parameter 'r'",
    ),
    "an oracle in a text": (
        f"{HPARAMS}    oracles = {{'n': 'noise_rate'}}\n",
        "oracles['n'] is 'noise_rate': give a list",
    ),
    "an oracle of numbers alone": (
        f"{HPARAMS}    oracles = {{'n': ['noise_rate']}}\n",
        "n, which cannot be 'oracle'",
    ),
    **{
        f"passes {value}": (f"    passes = {value}\n", "passes is")
        for value in ("3", "(1,)", "('a', 1)", "(-1, 0)", "(0, 0)", "(1, float('nan'))", "None")
    },
    **{
        f"{value} networks": (f"    num_networks = {value}\n", "num_networks is")
        for value in ("0", "'2'", "1.5", "None", "True")
    },
    **{
        f"{value} epochs": (f"    reference_epochs = {value}\n", "reference_epochs is")
        for value in ("0", "-5", "'x'", "None")
    },
    "a step that is perhaps static": ("    static_step = 'yes'\n", "static_step is 'yes'"),
    "a loss of nothing": (
        "    def loss(self):\n        return 0\n",
        "loss takes (self): write def loss(self, batch)",
    ),
    "a hook that is no function": (
        "    setup = None\n",
        "setup is None: write def setup(self, task)",
    ),
    "a stage that is a function": (
        "    def stage(self):\n        return 0\n",
        "stage is a function: write @property",
    ),
    "a grace that is none": ("    def grace(self):\n        pass\n", "grace() returns None"),
    "a pretraining of nothing": (
        "    def pretraining(self):\n        return 5\n",
        "pretraining() returns 5",
    ),
    "a schedule that raises": (
        "    def schedule(self, progress):\n        1 / 0\n",
        "raised ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_class_is_named_when_trials_are_planned(case, write, digits):
    body, message = WRONG[case]
    source = HEAD + (LOSS + body if "loss" in body else body + LOSS)
    name = write(source)
    sentence(lambda: planned(name, digits), f"methods/{name}.py", message)


def test_a_method_that_trains_nothing_is_refused(write, digits):
    name = write(HEAD + HPARAMS)
    sentence(
        lambda: planned(name, digits), f"methods/{name}.py: it overrides neither loss nor update"
    )


RIGHT = {
    "all types": HPARAMS,
    "none": "",
    "1 for a number": f"{DATACLASS}        weight: float = 1\n",
    "a constructor of its own": (
        "    def __init__(self, hparams=None):\n        super().__init__(hparams)\n"
    ),
    "privileges in a set": "    privileges = {'noise_rate'}\n",
    "an attribute of the class": (
        f"{DATACLASS}        weight: float = 1.0\n        unit: ClassVar[str] = 'm'\n"
    ),
    "types in texts": f"{DATACLASS}        n: 'int | None' = None\n",
    "its own steps": "    def update(self, batch, optimizer):\n        return self.loss(batch)\n",
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_class_is_accepted(case, write, digits):
    [spec] = planned(write(HEAD + RIGHT[case] + LOSS), digits)
    assert TrialSpec.from_json(spec.to_json()).id == spec.id


def test_a_setting_that_equals_the_default_is_the_default(write, digits):
    name = write(f"{HEAD}{DATACLASS}        weight: float = 1\n{LOSS}")
    ids = {planned(name, digits, {f"{name}.weight": [value]})[0].id for value in ("1", "1.0")}
    assert ids == {planned(name, digits)[0].id}, "1 and 1.0 are no two trials"


def test_values_that_a_check_stumbles_over_are_named(write):
    name = write(
        f"{HEAD}{DATACLASS}        n: int = 1\n        def __post_init__(self):\n            {{1: "
        f"2}}[self.n]\n{LOSS}"
    )
    sentence(
        lambda: registry.resolve(name, {f"{name}.n": "2"}),
        f"methods/{name}.py: HParams refuses {name}.n=2 (KeyError: 2)",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "super().__init__(hparams)",
            "__init__ takes (self, hparams): write def __init__(self, hparams, base)",
        ),
        ("Method.__init__(self, hparams)", "write super().__init__(hparams, base)"),
    ],
)
def test_a_wrappers_constructor_takes_a_base_and_keeps_it(arguments, message, write, digits):
    base = ", base" if "Method." in arguments else ""
    name = write(
        f"{HEAD.replace('Toy(Method)', 'Toy(Wrapper)')}    def __init__(self, hparams{base}):\n    "
        f"    {arguments}\n"
    )
    sentence(lambda: planned(name, digits), f"methods/{name}.py: ", message)


FILES = {
    "a syntax error": ("def (\n", "SyntaxError: invalid syntax"),
    "no UTF-8": (b'"""caf\xe9"""\n', "SyntaxError"),
    "a missing import": ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'"),
    "sys.exit": ("import sys\nsys.exit(0)\n", "cannot be imported: SystemExit: 0"),
    "an error that is no Exception": (
        "class Odd(BaseException):\n    pass\nraise Odd\n",
        "cannot be imported: Odd",
    ),
    "an error without words": (
        "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd\n",
        "cannot be imported: Odd",
    ),
    "no class": ("x = 1\n", "it defines 0 subclasses of Method"),
    "a null byte": (b"x = 1\x00\n", "null bytes: mend its file"),
    "two classes": (
        f"{HEAD}{LOSS}\nclass Other(Method):\n{LOSS}",
        "it defines 2 subclasses of Method",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used_is_named(case, write):
    content, message = FILES[case]
    name = write(content)
    sentence(lambda: registry.load_method(name), f"methods/{name}.py", message)
    sentence(lambda: registry.card(name), f"methods/{name}.py", message)


def test_a_helper_beside_a_method_is_imported_from_its_package(write):
    write("FACTOR = 2\n", name="_toy_helper")
    wrong, right = (
        write(f"import _toy_helper\n{HEAD}{LOSS}"),
        write(f"from methods import _toy_helper\n{HEAD}{LOSS}"),
    )
    sentence(
        lambda: registry.load_method(wrong),
        "No module named '_toy_helper': write from methods import _toy_helper",
    )
    assert registry.load_method(right).__name__ == "Toy"
    assert "_toy_helper" not in registry.method_names()


def test_a_class_with_two_names_is_one(write):
    assert registry.load_method(write(f"{HEAD}{LOSS}\nAlias = Toy\n")).__name__ == "Toy"


def test_an_interrupt_at_import_is_no_fault_of_the_file(write):
    name = write("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.load_method(name)


def test_a_file_names_its_own_encoding(write):
    source = "# -*- coding: latin-1 -*-\n" + HEAD.replace("Toy (2026)", "Café (2026)") + LOSS
    assert registry.summary(write(source.encode("latin-1"))) == "Café (2026)."


def test_what_a_file_prints_is_not_the_commands_output(write, capsys):
    registry.load_method(write(f"{HEAD}{LOSS}\nprint('hello')\n"))
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "hello\n"


@pytest.mark.parametrize("name", ["z-dash", "my method", "3d", "class", "None", "café"])
def test_a_name_that_is_no_identifier_is_refused_and_not_offered(name, write):
    write(HEAD + LOSS, name=name)
    text = sentence(
        lambda: registry.load_method(name), f"methods/{name}.py has a name that is no identifier"
    )
    assert "did you mean" not in text
    sentence(lambda: registry.card(name), f"methods/{name}.py")


def test_other_names(write, digits):
    write(HEAD + LOSS, name="recipe")
    sentence(lambda: registry.load_method("recipe"), "methods/recipe.py", "means something else")
    assert planned(write(HEAD + LOSS, name="CamelCase"), digits)[0].method == "CamelCase"


def test_a_folder_in_place_of_a_file(write, tmp_path, digits):
    folder = tmp_path / "methods" / "toy_folder"
    folder.mkdir()
    (folder / "__init__.py").write_text("from methods.toy_folder.inner import Toy\n")
    (folder / "inner.py").write_text(HEAD + LOSS)
    importlib.invalidate_caches()
    sentence(
        lambda: registry.load_method("toy_folder"),
        "toy_folder/__init__.py: it defines 0 subclasses of Method",
    )


class Point:
    """Entry point, as in importlib.metadata."""

    def __init__(self, name: str, value: str, content: object = None) -> None:
        self.name, self.value, self.content = name, value, content

    @property
    def module(self) -> str:
        if not self.value[:1].isalpha():
            raise AttributeError("'NoneType' object has no attribute 'group'")
        return self.value.partition(":")[0]

    def load(self) -> object:
        return self.content() if isinstance(self.content, types.FunctionType) else self.content


@pytest.fixture
def offer(monkeypatch) -> Callable[..., None]:
    """Make installed packages offer objects by entry points."""

    def make(offered_group: str, *points: Point) -> None:
        monkeypatch.setattr(
            plugins, "entry_points", lambda group: list(points) * (group == offered_group)
        )

    return make


@pytest.mark.parametrize(
    ("points", "name", "message"),
    [
        (
            [("gce", "theirs.gce")],
            "gce",
            "two methods are called 'gce', one here and one in theirs.gce",
        ),
        (
            [("toy", "one.toy"), ("toy", "other.toy")],
            "toy",
            "called 'toy', one in one.toy and one in other.toy",
        ),
        ([("toy", "nowhere_to_be_found")], "toy", "nowhere_to_be_found cannot be imported"),
        (
            [("toy", "nowhere_to_be_found.inner")],
            "toy",
            "nowhere_to_be_found.inner cannot be imported",
        ),
        (
            [("my-toy", "json")],
            "my-toy",
            "the entry point 'my-toy' (json) has a name that is no identifier",
        ),
        ([("toy", "%%")], "toy", "the entry point 'toy' (%%) names no module"),
        ([("toy", "json")], "toy", "it defines 0 subclasses of Method"),
    ],
)
def test_a_broken_entry_point_hides_no_method(points, name, message, offer, monkeypatch):
    offer("bench.methods", *(Point(*point) for point in points))
    registry.load_method.cache_clear()
    sentence(lambda: registry.load_method(name), message)
    sentence(lambda: registry.card(name), message)
    assert (
        registry.load_method("elr")
        and registry.card("elr")
        and {name, "elr"} <= set(registry.method_names())
    )


def test_broken_files_are_listed_and_stop_no_other_sweep(write, capsys):
    names = [
        write("import sys\nprint('bye')\nsys.exit()\n"),
        write(HEAD + LOSS, name="z-dash"),
        write("class (\n"),
    ]
    status, text, _ = call(capsys, "--list", "methods")
    assert status == 0 and "bye" not in text
    listed = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert all("[broken: " in listed[name] for name in names) and "[broken" not in listed["elr"]
    status, text, errors = call(capsys, "--methods", "elr", "--dry-run", "--seeds", "1")
    assert status == 0 and "2 trials" in text and errors == ""
    status, text, errors = call(capsys, "--methods", "elr", "--misspecify", "0.5")
    assert status == 2 and "none of ce, elr reads the noise rate" in errors


def test_a_study_leaves_broken_methods_out(write, capsys):
    from bench.cli.study import _with_names

    name = write("import nowhere_to_be_found\n")
    chosen = _with_names("--methods METHODS")
    assert name not in chosen and "elr" in chosen
    assert f"{name} is left out: methods/{name}.py cannot be imported" in capsys.readouterr().err


# ----------------------------------------------------------------------------
# search spaces

REFUSING = f"""{DATACLASS}        weight: float = 1.0
        other: float = 0.5
        n: int = 3
        kind: str = "a"
        def __post_init__(self):
            if self.weight < 0:
                raise InputError(f"weight is {{self.weight:g}}: give at least 0")
            if self.n < 1:
                raise ValueError("no neighbours")
            if self.kind == "c":
                raise InputError("there is no kind c")
            if self.kind == "d" and self.other > 0.5:
                raise InputError("kind d needs a small other")
"""
ORDERED = f"""{DATACLASS}        a: float = 0.1
        b: float = 0.5
        c: float = 0.1
        def __post_init__(self):
            if self.a >= self.b or self.a + self.b + self.c > 2.2:
                raise InputError("a has to be below b, and all together small")
"""
OPTUNA = "which Optuna cannot learn from"
DOMAIN = "use choice, uniform, loguniform, randint"
#: Search space, what it says, and the hyper-parameters if they are not the usual ones.
SPACES: dict[str, tuple[str, ...]] = {
    "a float range for a whole number": (
        'SPACE = {"n": tune.uniform(1, 5)}',
        ".n draws 1.004, but it is a whole number: use tune.randint",
    ),
    "a logarithmic one": (
        'SPACE = {"n": tune.loguniform(1, 5)}',
        "but it is a whole number: use tune.randint",
    ),
    "halves for a whole number": (
        'SPACE = {"n": tune.quniform(1, 5, 0.5)}',
        "but it is a whole number: use tune.randint",
    ),
    "a range for true or false": (
        'SPACE = {"flag": tune.uniform(0, 1)}',
        "but it is true or false: use tune.choice",
    ),
    "a range for a name": (
        'SPACE = {"kind": tune.randint(0, 2)}',
        "but it is a or b: use tune.choice",
    ),
    "numbers for true or false": (
        'SPACE = {"flag": tune.choice([0, 1])}',
        ".flag draws 0, but it is true or false",
    ),
    "texts for numbers": (
        'SPACE = {"weight": tune.choice(["1.0", "2"])}',
        ".weight draws '1.0', but it is a number",
    ),
    "one choice of a wrong type": (
        'SPACE = {"n": tune.choice([3, 4, 4.5])}',
        ".n draws 4.5, but it is a whole number",
    ),
    "an unknown name": (
        'SPACE = {"kind": tune.choice(["a", "c"])}',
        ".kind draws 'c', but it is a or b",
    ),
    "none where there is none": (
        'SPACE = {"n": tune.choice([3, None])}',
        ".n draws None, but it is a whole number",
    ),
    "choices that are lists": (
        'SPACE = {"n": tune.choice([3, [1]])}',
        "has the choice [1], a list: give plain numbers",
    ),
    "choices of NumPy": (
        'import numpy as np\nSPACE = {"n": tune.choice(list(np.arange(5)))}',
        "give plain numbers",
    ),
    "choices that are domains": (
        'SPACE = {"n": tune.choice([3, tune.randint(1, 5)])}',
        "give plain numbers",
    ),
    "no choices": ('SPACE = {"n": tune.choice([])}', "has no choices: give at least one"),
    "sample_from": (
        'SPACE = {"n": tune.sample_from(lambda spec: 3)}',
        f"comes from tune.sample_from, {OPTUNA}: {DOMAIN}",
    ),
    "grid_search": (
        'SPACE = {"n": tune.grid_search([1, 3])}',
        "is a grid: write tune.choice([1, 3])",
    ),
    "a constant": ('SPACE = {"n": 3}', "is the constant 3: leave it out and use --set"),
    "a list": ('SPACE = {"n": [1, 3]}', "is [1, 3]: write tune.choice([1, 3])"),
    "a nested dictionary": (
        'SPACE = {"n": {"a": tune.randint(1, 5)}}',
        f"is a dictionary: {DOMAIN}",
    ),
    "any object": ('SPACE = {"n": object()}', DOMAIN),
    "a function that is not called": ('SPACE = {"n": tune.randint}', f"is a function: {DOMAIN}"),
    "a bell curve": (
        'SPACE = {"weight": tune.randn(1, 1)}',
        f"comes from tune.randn, {OPTUNA}: {DOMAIN}",
    ),
    "a range that chance decides": (
        'import random\ndef space(draw):\n    draw("weight", tune.uniform(0, 1 + random.random()))',
        ".weight is drawn in another way when the values before it are the same",
    ),
    "a branch that chance decides": (
        'import random\ndef space(draw):\n    draw("weight", tune.uniform(0, 2))\n'
        '    if random.random() < 0.5:\n        draw("n", tune.randint(1, 5))',
        ".n is drawn in another way when the values before it are the same",
    ),
    "a name that is a domain": (
        'def space(draw):\n    draw(tune.randint(1, 5), "n")',
        "draw is given a name of the type Integer: write draw(name, domain)",
    ),
    "ends the wrong way round": ('SPACE = {"weight": tune.uniform(5, 1)}', "is no range"),
    "an empty range": ('SPACE = {"n": tune.randint(3, 3)}', "is no range"),
    "whole numbers from a half": (
        'SPACE = {"n": tune.randint(0.5, 5)}',
        "goes from 0.5 to 5 in whole numbers",
    ),
    "steps on a logarithmic scale": (
        'SPACE = {"weight": tune.qloguniform(0.1, 1.0, 0.1)}',
        "steps on a logarithmic scale",
    ),
    "an error at import": (
        'SPACE = {"weight": tune.loguniform(0, 1)}',
        "cannot be imported: ValueError",
    ),
    "an exit at import": ("exit()", "cannot be imported: SystemExit"),
    "a misspelt name": ('SPACE = {"wieght": tune.uniform(0.5, 2)}', ".wieght': did you mean "),
    "a name that is no text": (
        "SPACE = {1: tune.randint(1, 5)}",
        "draw is given a name of the type int",
    ),
    "defaults outside a range": (
        'SPACE = {"weight": tune.uniform(2, 5)}',
        "weight is 1, and the range goes from 2 to 5): widen it",
    ),
    "defaults that are no choice": (
        'SPACE = {"n": tune.choice([4, 5])}',
        "n is 3, and the choices are 4, 5): widen it",
    ),
    "nothing": ("SPACE = {}", "it draws nothing: give ranges for weight, n, flag, kind, limit"),
    "no space": ("SPACES = {}", "it defines neither SPACE nor space(draw)"),
    "a list of ranges": ("SPACE = [tune.randint(1, 5)]", "SPACE is a list: give a dictionary"),
    "both": (
        'SPACE = {"n": tune.randint(1, 5)}\ndef space(draw): pass',
        "it defines both SPACE and space(draw)",
    ),
    "KeyError": (
        'def space(draw):\n    draw("n", tune.randint(1, 5))\n    raise KeyError("oops")',
        "space(draw) raised KeyError: 'oops'",
    ),
    "SystemExit": ("def space(draw):\n    raise SystemExit", "space(draw) raised SystemExit"),
    "an assertion": (
        'def space(draw):\n    assert draw("n", tune.randint(1, 5)) > 9',
        "space(draw) raised AssertionError: mend it",
    ),
    "twice": (
        'def space(draw):\n    draw("n", tune.randint(1, 5))\n    draw("n", tune.randint(1, 5))',
        ".n is drawn twice",
    ),
    "never": ("def space(draw):\n    pass", "it draws nothing"),
    "a dictionary in return": (
        'def space(draw):\n    return {"n": tune.randint(1, 5)}',
        "space(draw) returns a dict",
    ),
    "a generator": (
        'def space(draw):\n    yield draw("n", tune.randint(1, 5))',
        "space(draw) returns a generator",
    ),
    "a coroutine": (
        'async def space(draw):\n    draw("n", tune.randint(1, 5))',
        "space(draw) returns a coroutine",
    ),
    "no argument": ("def space():\n    pass", "write def space(draw)"),
    "two arguments": ("def space(trial, draw):\n    pass", "write def space(draw)"),
    "no function": ('space = {"n": tune.randint(1, 5)}', "write def space(draw)"),
    "no domain": ('def space(draw):\n    draw("n")', "raised TypeError: draw() missing 1 required"),
    "a misspelt name in a branch": (
        'def space(draw):\n    if draw("kind", tune.choice(["a", "b"])) == "b":\n'
        '        draw("wieght", tune.uniform(0, 1))',
        ".wieght': did you mean",
    ),
    "an error for one of forty choices": (
        'def space(draw):\n    if draw("n", tune.choice([3, *range(10, 50)])) == 30:\n'
        "        raise KeyError",
        "space(draw) raised KeyError",
    ),
    "an error at the end of a range": (
        'def space(draw):\n    if draw("weight", tune.uniform(0, 2)) > 1.99:\n'
        '        raise KeyError("rare")',
        "space(draw) raised KeyError",
    ),
    "choices that change": (
        'def space(draw):\n    a = draw("flag", tune.choice([False, True]))\n'
        '    draw("n", tune.choice([3, 4 + a]))',
        "not always drawn from the same choices",
    ),
    "a kind of range that changes": (
        'def space(draw):\n    a = draw("flag", tune.choice([False, True]))\n'
        '    draw("weight", tune.uniform(0, 2) if a else tune.choice([1.0, 2.0]))',
        "not always drawn from the same choices or the same kind of range",
    ),
    "a range beyond what is accepted": (
        'SPACE = {"weight": tune.uniform(-2, 2)}',
        ".weight as -1.8, which is refused (weight is -1.8: give at least 0)",
        REFUSING,
    ),
    "an end that is refused": (
        'SPACE = {"n": tune.randint(0, 5)}',
        ".n as 0, which is refused",
        REFUSING,
    ),
    "a choice that is refused": (
        'SPACE = {"kind": tune.choice(["a", "c"])}',
        ".kind as c, which is refused",
        REFUSING,
    ),
}


@pytest.mark.parametrize("case", SPACES)
def test_a_wrong_search_space_is_named_before_anything_runs(case, write):
    space, message, *hparams = SPACES[case]
    name = write(HEAD + (hparams[0] if hparams else HPARAMS) + LOSS, space)
    sentence(
        lambda: check_space(name, registry.resolve(name, {}), {}),
        f"search_spaces/{name}.py",
        message,
    )


@pytest.mark.parametrize(
    ("space", "hparams"),
    [
        (
            'SPACE = {"weight": tune.loguniform(0.5, 2), "n": tune.randint(1, 5),\n'
            '"flag": tune.choice([True, False]),\n'
            '"kind": tune.choice(["a", "b"]), "limit": tune.choice([None, 1])}',
            HPARAMS,
        ),
        ('SPACE = {"weight": tune.choice([1, 2, 3])}', HPARAMS),
        ('SPACE = {"weight": tune.randint(1, 4), "n": tune.quniform(1, 5, 1)}', HPARAMS),
        (
            'import numpy as np\nSPACE = {"weight": tune.uniform(np.float32(0.5), 2),\n'
            '"n": tune.randint(np.int64(1), 5)}',
            HPARAMS,
        ),
        ('SPACE = {"kind": tune.choice(["a", "d"]), "other": tune.uniform(0, 1)}', REFUSING),
        (
            'SPACE = {"a": tune.uniform(0, 1), "b": tune.uniform(0, 1), "c": tune.uniform(0, 1)}',
            ORDERED,
        ),
        (
            'def space(draw):\n    a = draw("flag", tune.choice([False, True]))\n'
            '    draw("weight", tune.uniform(0, 2) if a else tune.uniform(0.5, 1.5))',
            HPARAMS,
        ),
    ],
)
def test_a_right_search_space_is_accepted(space, hparams, write):
    name = write(HEAD + hparams + LOSS, space)
    assert check_space(name, registry.resolve(name, {}), {}) is True


def test_what_is_fixed_is_not_drawn_but_its_name_is_checked(write):
    name = write(HEAD + HPARAMS + LOSS, 'SPACE = {"n": tune.uniform(1, 5)}')
    assert check_space(name, registry.resolve(name, {}), {f"{name}.n": 3}) is False


def test_an_interrupt_in_a_search_space_passes(write):
    name = write(HEAD + HPARAMS + LOSS, "def space(draw):\n    raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        check_space(name, registry.resolve(name, {}), {})


def test_a_rehearsal_that_refuses_all_says_why():
    def refuse(values):
        raise InputError(f"no {len(values)}")

    assert rehearse(lambda take: {}, refuse) == ("no configuration can be drawn: no 0", "")


def test_a_sweep_with_a_wrong_search_space_does_not_begin(write, tmp_path, capsys):
    name = write(HEAD + HPARAMS + LOSS, 'SPACE = {"n": tune.uniform(1, 5)}')
    out = tmp_path / "out"
    arguments = [
        "--methods",
        f"gce,{name}",
        "--tune",
        "3",
        "--dataset",
        "npz:not-even-read.npz",
        "--out",
        str(out),
    ]
    (tmp_path / "not-even-read.npz").touch()
    status, text, errors = call(capsys, *arguments)
    assert status == 2 and text == "" and not out.exists()
    sentence = f"{name}.n draws 1.004, but it is a whole number: use tune.randint"
    assert errors == f"Error: search_spaces/{name}.py: {sentence}\n"


# ----------------------------------------------------------------------------
# data sets

IMAGES, LABELS = np.zeros((8, 1, 8, 8), np.uint8), np.arange(8) % 2
DATA = {
    "train_images": IMAGES,
    "train_labels": LABELS,
    "test_images": IMAGES,
    "test_labels": LABELS,
    "classes": ("a", "b"),
}


def source_of(**changes) -> Source:
    return Source("theirs", lambda folder, side: Dataset("theirs", **(DATA | changes)))


def failing(error: BaseException) -> Callable:
    def load(folder, side):
        raise error

    return load


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("", failing(KeyError("x"))), "Source.load raised KeyError: 'x'"),
        (Source("", failing(SystemExit(1))), "Source.load raised SystemExit: 1"),
        (Source("", failing(ValueError())), "Source.load raised ValueError: mend it"),
        (Source("", lambda: None), "Source.load raised TypeError"),
        (Source("", None), "Source.load raised TypeError"),
        (Source("", lambda folder, side: None), "Source.load returns a NoneType"),
        (Source("", lambda folder, side: (IMAGES, LABELS)), "Source.load returns a tuple"),
        (source_of(train_images=IMAGES / 255), "its training images are float64"),
        (source_of(test_images=IMAGES[:, 0]), "its test images are uint8 of shape (8, 8, 8)"),
        (
            source_of(train_images=IMAGES.transpose(0, 2, 3, 1)),
            "its training images are uint8 of shape (8, 8, 8, 1)",
        ),
        (source_of(train_images=IMAGES.tolist()), "its training images are a list"),
        (source_of(test_images=IMAGES[..., :6]), "make them the same size"),
        (source_of(test_images=IMAGES[:0], test_labels=LABELS[:0]), "it has no test images"),
        (
            source_of(train_labels=LABELS + 1),
            "its training labels go from 1 to 2, but it has 2 classes",
        ),
        (source_of(test_labels=LABELS - 1), "its test labels go from -1 to 0"),
        (source_of(train_labels=LABELS - 1), "some of its training labels are unknown (-1)"),
        (source_of(train_labels=LABELS[:5]), "it has 5 training labels for 8 images"),
        (
            source_of(train_labels=LABELS.astype(float)),
            "its training labels are float64 of shape (8,)",
        ),
        (source_of(train_labels=LABELS.tolist()), "its training labels are a list"),
        (source_of(train_labels=LABELS[:, None]), "its training labels are int64 of shape (8, 1)"),
        (source_of(found={"found": LABELS + 1}), "its noisy (found) labels go from 1 to 2"),
        (
            source_of(extra_tests={"more": (IMAGES, LABELS[:3])}),
            "it has 3 more test labels for 8 images",
        ),
        (source_of(classes=("a",)), "its classes are ('a',)"),
        (source_of(classes=["a", "b"]), "its classes are ['a', 'b']: give a tuple"),
        (source_of(flips={0: 2}), "its flips are {0: 2}"),
        (source_of(train_names=np.array(["x"])), "it has 1 train_names for 8 images"),
    ],
)
def test_a_broken_data_set_of_another_package_is_named(source, message, offer):
    offer("bench.datasets", Point("theirs", "theirs.data:SOURCE", source))
    sentence(lambda: open_dataset("theirs"), "the data set theirs", message)


def test_a_right_data_set_of_another_package_is_loaded(offer):
    offer(
        "bench.datasets",
        Point("theirs", "theirs.data:SOURCE", source_of(train_labels=LABELS.astype(np.int32))),
    )
    assert len(open_dataset("theirs").train_labels) == 8 and "theirs" in sources()


def test_data_sets_whose_names_clash_stop_only_those_who_ask_for_them(offer):
    points = [
        Point("digits", "theirs:DIGITS", source_of()),
        Point("mine", "a:X", source_of()),
        Point("mine", "b:X", source_of()),
    ]
    offer("bench.datasets", *points)
    sentence(
        lambda: find_source("digits"),
        "two data sets are called 'digits', one here and one in theirs:DIGITS",
    )
    sentence(
        lambda: find_source("mine"), "two data sets are called 'mine', one in a:X and one in b:X"
    )
    assert find_source("cifar10")[0] is sources()["cifar10"]
    assert "[broken: two data sets" in sources()["mine"].summary


# ----------------------------------------------------------------------------
# errors


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError(), ValueError(""), ValueError("  \n "), Wordless()])
def test_an_error_without_a_text_is_its_type(error):
    name = type(error).__name__
    assert one_line(error) == first_line(error) == last_line(error) == name


def test_an_error_of_several_lines():
    error = ValueError("Traceback:\n  line 3\nKeyError: 'x'\n")
    assert one_line(error) == "ValueError: Traceback: line 3 KeyError: 'x'"
    assert (first_line(error), last_line(error)) == ("Traceback:", "KeyError: 'x'")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("a\nb"), "b"),
        (Wordless(), "Wordless"),
        (None, None),
    ],
)
def test_a_tune_trial_whose_error_has_no_text_has_a_reason(error, reason):
    from bench.sweep.private import last_error
    from bench.sweep.tuner import _reason

    assert _reason(last_error(types.SimpleNamespace(get_pickled_error=lambda: error))) == reason
