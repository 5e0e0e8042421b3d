"""Hashes of the code that made a record, and their traces in commands and reports."""

import ast
import dataclasses
import re
import sys
from pathlib import Path

import pytest
from fabricate import load_rows, write_trial

from bench.planning import code_hash
from bench.planning.code_hash import HARNESS, NUMERICS, code_of, syntax
from bench.planning.spec import Plan, expand_hparams
from bench.records.code import differing, to_text
from bench.report.board import board_of
from bench.report.latex import to_latex
from bench.report.writer import write_report
from bench.sweep.run import other_code
from bench.training.checkpoint import Checkpoint
from bench.training.encoders import by_this_code, save_encoder
from bench.training.outcome import stopped_outcome
from bench.training.trial import run_trial

ROOT = Path(__file__).parents[2]

#: Modules that a trial imports and that move no number: they plan, read, write, say, or load data
#: whose hash is on record.
ELSEWHERE = set(
    """
    bench common common.files common.identity common.importing common.plugins
    common.progress common.text common.version datasets datasets.arrays datasets.catalogue
    datasets.copies datasets.file_account datasets.folder datasets.images.cache_folder
    datasets.images.decoded_cache datasets.images.survey datasets.integer_pickles
    datasets.loading datasets.npz datasets.plugin_checks datasets.published
    datasets.readable datasets.resizing errors networks networks.machine networks.weights noise
    noise.contents noise.files noise.matching noise.matrices noise.measures noise.registry
    noise.rounding ops planning.code_hash planning.inputs planning.method_checks
    planning.pretraining planning.registry planning.searches planning.selection
    planning.spec records.build records.packing records.schema task training training.build
    training.failures training.memory training.outcome training.storage
    """.split()
)

#: Packages of modules that load data: one more data set needs no entry here.
LOADERS = ("datasets.folder.", "datasets.published.")


def text_of(source: str) -> str:
    return "".join(syntax(ast.parse(source)))


def test_every_module_that_a_trial_imports_is_hashed_or_known_to_move_nothing():
    reached, waiting = set(), ["bench.training.trial"]
    while waiting:
        module = waiting.pop()
        path = ROOT / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module in reached or not path.exists() or module.partition(".")[0] != "bench":
            continue
        reached.add(module)
        waiting += code_hash._imports(module, ast.parse(path.read_text(encoding="utf-8")))
    reached = {module.removeprefix("bench.") for module in reached}
    reached = {module for module in reached if not module.startswith(LOADERS)}
    assert len(reached) > 30
    assert set(NUMERICS) <= reached
    assert reached - set(NUMERICS) == ELSEWHERE, (
        "say in bench/planning/code_hash.py or here whether they move numbers"
    )


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\ndef f(x):\n    return (x\n      + 1)\n",
        '"""A module."""\ndef f(x):\n    """Add one."""\n    return x + 1',
        'def f(x):\n    "A text that stands alone."\n    return x + 1\n\n\n',
        "def f(x): return x+1",
    ],
)
def test_prose_and_layout_do_not_count(other):
    assert text_of(other) == text_of("def f(x):\n    return x + 1\n")


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 2\n",
        "def f(x):\n    return x + 1.0\n",
        "def f(x):\n    return x - 1\n",
        "def f(x, y=None):\n    return x + 1\n",
        "def f(x):\n    return None\n",
        'def f(x):\n    return "1"\n',
        "def f(x):\n    return x + 1\nf = None\n",
    ],
)
def test_what_is_computed_counts(other):
    assert text_of(other) != text_of("def f(x):\n    return x + 1\n")


def test_a_method_is_its_file_and_what_it_imports_of_its_own_package(tmp_path, monkeypatch):
    package = tmp_path / "lnl_other"
    (package / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "method.py": "import json\nfrom bench.method import Method\nfrom .deep import sums\n"
        "from lnl_other.more import two\n",
        "deep/__init__.py": "",
        "deep/sums.py": "from .. import three\n",
        "more.py": "two = 2\n",
        "three.py": "three = 3\n",
        "unused.py": "four = 4\n",
    }
    for name, content in files.items():
        (package / name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        code_hash, "load_method", lambda part: type("M", (), {"__module__": "lnl_other.method"})
    )

    def hashed() -> str:
        code_hash._method_hash.cache_clear()
        for name in [name for name in sys.modules if name.startswith("lnl_other")]:
            del sys.modules[name]
        return code_hash._method_hash("other")

    try:
        before = hashed()
        for name in ("method.py", "more.py", "three.py", "deep/sums.py"):
            (package / name).write_text(files[name] + "more = 1\n")
            assert hashed() != before, name
            (package / name).write_text(f"# said\n{files[name]}")
            assert hashed() == before, name
        (package / "unused.py").write_text("four = 5\n")
        assert hashed() == before
    finally:
        code_hash._method_hash.cache_clear()


def test_the_parts_of_a_method_have_hashes_of_their_own():
    assert set(code_of("rmd+elr")) == {HARNESS, "rmd", "elr"}
    assert code_of("rmd+elr")["elr"] == code_of("elr")["elr"]
    assert all(re.fullmatch(r"[0-9a-f]{12}", value) for value in code_of("rmd+elr").values())


def test_a_method_without_source_says_nothing(monkeypatch):
    monkeypatch.setattr(code_hash, "_tree", lambda module: None)
    monkeypatch.setattr(code_hash, "_method_hash", code_hash._method_hash.__wrapped__)
    monkeypatch.setattr(code_hash, "harness_hash", code_hash.harness_hash.__wrapped__)
    assert code_of.__wrapped__("elr") == {}


def test_differing_code():
    first, second = to_text({"harness": "a", "elr": "b"}), to_text({"harness": "c", "elr": "b"})
    assert (
        differing([first, first])
        == differing(["", ""])
        == differing([to_text({}), first])
        == differing([])
        == []
    )
    assert differing([first, second]) == ["harness"]
    assert differing([to_text({"harness": 3}), to_text({"harness": ["a"]}), first]) == [
        "harness"
    ], "as someone has edited them"
    assert differing(iter([first, ""])) == ["an earlier version"]
    assert differing([first, second, ""]) == ["harness", "an earlier version"]


# ----------------------------------------------------------------------------
# a trial


@pytest.fixture(scope="module")
def spec(tiny_dataset):
    plan = Plan(overrides=(("epochs", 3), ("batch_size", 20)))
    [spec] = plan.specs(tiny_dataset, expand_hparams(["ce"], {}, {}), [0.2], [0])
    return spec


def test_a_record_says_by_which_code_it_was_made(spec, tiny_dataset):
    assert run_trial(spec, tiny_dataset).code == code_of("ce")
    assert stopped_outcome(spec, tiny_dataset, []).code == code_of("ce")


@pytest.mark.parametrize("change", [{"code": {"harness": "0"}}, {"code": None}])
def test_a_checkpoint_of_other_code_is_not_resumed(spec, tiny_dataset, tmp_path, change):
    told, reports = [], []
    path = tmp_path / "state.pt"

    class Saved(Checkpoint):
        def save(self, state):
            super().save(
                {key: value for key, value in (state | change).items() if value is not None}
            )

    run_trial(spec, tiny_dataset, checkpoint=Saved(path, every_seconds=0))
    assert path.exists()
    again = Checkpoint(path, every_seconds=1e9, warn=told.append)
    outcome = run_trial(
        spec,
        tiny_dataset,
        checkpoint=again,
        report=lambda epochs, restart: reports.append((epochs, restart)),
    )
    assert outcome.status == "finished"
    assert reports[0] == ([], True) and len(reports) == 4, "from the start"
    assert told == [
        f"the checkpoint {path} was made by other code than today's: the trial starts anew"
    ]


def test_a_checkpoint_of_this_code_is_resumed(spec, tiny_dataset, tmp_path):
    reports = []
    run_trial(spec, tiny_dataset, checkpoint=Checkpoint(tmp_path / "state.pt", every_seconds=0))
    again = Checkpoint(tmp_path / "state.pt", every_seconds=1e9, warn=pytest.fail)
    run_trial(
        spec,
        tiny_dataset,
        checkpoint=again,
        report=lambda epochs, restart: reports.append(len(epochs)),
    )
    assert reports == [2, 1]


def test_an_encoder_says_by_which_code_it_was_made(monkeypatch):
    import numpy as np

    from bench.training.encoders import Encoder

    none = np.zeros((1, 1), dtype=np.int64)
    blob = save_encoder(
        Encoder({"w": np.ones(1, dtype=np.float32)}, none[0], none, none, 1.0, 2.0, 3.0)
    )
    assert by_this_code(blob)
    monkeypatch.setattr("bench.training.encoders.harness_hash", lambda: "0")
    assert not by_this_code(blob)


# ----------------------------------------------------------------------------
# a command


def test_the_same_command_names_trials_of_other_code(spec, tmp_path):
    specs = [dataclasses.replace(spec, train_seed=seed) for seed in range(9)]
    codes = [
        code_of("ce"),
        None,
        *[code_of("ce") | {"ce": "0"}] * 6,
        code_of("ce") | {HARNESS: "0"},
    ]
    for spec, code in zip(specs, codes, strict=True):
        write_trial(tmp_path, "ce", spec=spec.to_json(), done={"code": code})
    assert other_code(specs[:1], tmp_path) == ""
    earlier = other_code(specs[:2], tmp_path)
    assert earlier.startswith(
        "1 trial on record was made by other code than today's (an earlier version): "
        f"{specs[1].id}; "
    )
    sentence = other_code(specs, tmp_path)
    assert sentence.startswith(
        "8 trials on record were made by other code than today's (an earlier version, ce, "
        "harness): "
    )
    assert [name for name in (spec.id for spec in specs) if name in sentence] == [
        spec.id for spec in specs[1:6]
    ]
    assert (
        "and 3 more; to run them anew, move the folders trials/ID away and type the same command "
        "again" in sentence
    )
    assert other_code(specs[2:3], tmp_path).startswith(
        "1 trial on record was made by other code than today's (ce): "
    )


# ----------------------------------------------------------------------------
# a report


def method_column(sweep: Path) -> list[str]:
    report = write_report([sweep], sweep / "out", plots=False)
    return [
        entry.text + entry.mark for entry in (row[0] for row in report.sections[0].tables[0].rows)
    ]


def test_rows_of_mixed_code_are_marked_with_one_footnote(tmp_path):
    for seed, harness in enumerate("aab"):
        write_trial(tmp_path, "elr", seed=seed, done={"code": {"harness": harness, "elr": "e"}})
        write_trial(tmp_path, "ce", seed=seed, done={"code": {"harness": "a", "ce": "e"}})
        write_trial(
            tmp_path,
            "gce",
            seed=seed,
            done={"code": {"harness": "a", "gce": "e"} if seed else None},
        )
        write_trial(tmp_path, "sce", seed=seed, done={"code": None})
    assert sorted(method_column(tmp_path)) == ["ce", "elr¶", "gce¶", "sce"]
    rows = load_rows([tmp_path])
    report = write_report([tmp_path], tmp_path / "out", plots=False)
    notes = [note for note in report.sections[0].notes if "¶" in note]
    assert notes == [
        "¶ Not all trials of the row were made by the same code, which done.json names: elr "
        "(harness); gce (an earlier version)."
    ]
    analysis = (tmp_path / "out" / "analysis.md").read_text(encoding="utf-8")
    assert "The code of harness was not the same for all rows (a: ce, elr, gce; b: elr)" in analysis
    assert (
        "Trials of gce, sce were made by an earlier version, which kept no hash of its code: "
        "differences may be" in analysis
    )
    latex = to_latex(board_of(rows))
    assert r"elr\textsuperscript{\P} & " in latex and latex.count("Not all trials of the row") == 1


def test_rows_that_differ_across_noise_rates_are_marked_too(tmp_path):
    for rate, code in ((0.2, "a"), (0.5, "b")):
        write_trial(tmp_path, "elr", rate=rate, done={"code": {"harness": "a", "elr": code}})
        write_trial(tmp_path, "ce", rate=rate, done={"code": {"harness": "a", "ce": "e"}})
    assert sorted(method_column(tmp_path)) == ["ce", "elr¶"]


def test_records_without_hashes_are_reported_as_before(tmp_path):
    for method in ("ce", "elr"):
        for seed in range(2):
            write_trial(tmp_path, method, seed=seed)
    assert sorted(method_column(tmp_path)) == ["ce", "elr"]
    assert "¶" not in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    assert "The code of" not in (tmp_path / "out" / "analysis.md").read_text(encoding="utf-8")
