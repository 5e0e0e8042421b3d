"""Finding methods by name, and building them from a name and hyper-parameters."""

import ast
import importlib
import importlib.util
import math
import pkgutil
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

import methods
from bench.errors import InputError, unknown

if typing.TYPE_CHECKING:
    from bench.method import Method

#: What a wrapper without a base wraps, and the row that every leaderboard compares with.
REFERENCE = "ce"

Scalar = bool | int | float | str | None


def _packaged() -> dict[str, EntryPoint]:
    """Methods of installed packages: entry points of the group ``bench.methods``, name = module."""
    return {point.name: point for point in entry_points(group="bench.methods")}


def method_names() -> list[str]:
    """All methods: files of ``methods/`` and those that installed packages offer."""
    files = {module.name for module in pkgutil.iter_modules(methods.__path__) if not module.name.startswith("_")}
    return sorted(files | set(_packaged()))


def _module_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]+", name) or name not in method_names():
        raise unknown("method", name, method_names())
    point = _packaged().get(name)
    own = importlib.util.find_spec(f"methods.{name}") is not None
    if own and point:
        raise InputError(f"two methods are called {name!r}, one here and one in {point.value}: rename either")
    return f"methods.{name}" if own else typing.cast(EntryPoint, point).module


@cache
def load_method(name: str) -> "type[Method]":
    """The class in the method's file."""
    from bench.method import Method

    module_name = _module_name(name)
    try:
        module = importlib.import_module(module_name)
    except InputError:
        raise
    except Exception as error:  # anything that somebody's file may do
        where = f" in {error.filename!r}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"{module_name} cannot be imported: {type(error).__name__}: {error}{where}: mend its file") from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise InputError(f"{module.__name__} defines {len(classes)} subclasses of Method: a method's file has exactly one")
    return classes[0]


@dataclass(frozen=True)
class Card:
    """What there is to know of a method before it runs."""

    summary: str  # with citation and year
    networks: int  # 0: those of the method that it wraps
    passes: str  # of an average sample in an epoch, with gradients + without; a wrapper's are on top of its base's
    reads: tuple[str, ...]  # privileges that some of its settings ask for
    lines: int  # of its file


def card(name: str) -> Card:
    """The method's card; ``summary`` and ``lines`` are read without running its file.

    Raises:
        InputError: where the file is broken.
    """
    from bench.method import Wrapper

    source = _source(name)
    cls = load_method(name)
    wraps = issubclass(cls, Wrapper)
    passes = " + ".join(f"{count:g}" for count in cls.passes if count)
    reads = sorted({*re.findall(r"\boracle\.(\w+)", source), *(fact for facts in cls.oracles.values() for fact in facts)})
    return Card(summary(name), 0 if wraps else cls.num_networks, passes, tuple(reads), len(source.splitlines()))


def summary(name: str) -> str:
    """First paragraph of the method's docstring, read without running the file."""
    docstring = ast.get_docstring(ast.parse(_source(name))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def _source(name: str) -> str:
    spec = importlib.util.find_spec(_module_name(name))
    assert spec is not None and spec.origin is not None
    try:
        source = Path(spec.origin).read_text(encoding="utf-8")
        ast.parse(source)
    except (SyntaxError, ValueError, OSError) as error:
        raise InputError(f"{spec.origin!r} cannot be read: {error}: mend it") from error
    return source


def split_name(name: str) -> list[str]:
    """Parts of a name, outermost wrapper first, the base last; a wrapper alone wraps the reference.

    Raises:
        InputError: where a part is no method, or stands in the wrong place.
    """
    from bench.method import Wrapper

    parts = name.split("+")
    if not all(parts):
        raise InputError(f"{name!r} has an empty part: write wrapper+method, as rmd+elr")
    if len(set(parts)) < len(parts):
        raise InputError(f"{name!r} names a part twice: write each once")
    wrappers = [part for part in parts if issubclass(load_method(part), Wrapper)]
    bases = [part for part in parts if part not in wrappers]
    if parts != wrappers + bases or len(bases) > 1:
        hint = f"did you mean {'+'.join(wrappers + bases)}?" if len(bases) == 1 else f"choose {' or '.join(bases)}"
        raise InputError(f"{bases[0]} cannot wrap another method (in {name!r}): {hint}")
    return [*wrappers, *(bases or [REFERENCE])]


def canonical(name: str) -> str:
    """One spelling for one method: a wrapper alone gets the reference as its base."""
    return "+".join(split_name(name))


def display(name: str) -> str:
    """The spelling for people: a wrapper on the reference stands alone."""
    return name.removesuffix(f"+{REFERENCE}")


def resolve(name: str, settings: Mapping[str, Any]) -> dict[str, Scalar]:
    """All hyper-parameters of a method, namespaced by part: the defaults, with ``settings`` in their place.

    Settings may be strings from a command line; they are converted to the declared types.
    """
    resolved: dict[str, Scalar] = {}
    known = set()
    for part in split_name(name):
        cls = load_method(part)
        hints = typing.get_type_hints(cls.HParams)
        values = {}
        for field in fields(cls.HParams):
            key = f"{part}.{field.name}"
            known.add(key)
            if key in settings:
                values[field.name] = convert(key, settings[key], hints[field.name])
        try:
            resolved.update({f"{part}.{k}": v for k, v in asdict(cls.HParams(**values)).items()})
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(f"hyper-parameters of {part} do not fit: {error}") from error
    for key in settings:
        if key not in known:
            raise unknown(f"hyper-parameter of {display(name)}", key, known)
    return resolved


def changes(name: str, hparams: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The hyper-parameters that differ from the method's defaults."""
    defaults = resolve(name, {})
    return {key: value for key, value in hparams.items() if value != defaults[key]}


def build(name: str, settings: Mapping[str, Any]) -> "Method":
    """A method, not yet set up: ``build("rmd+elr", {"rmd.weight": 2.0})``."""
    hparams = resolve(name, settings)
    *wrappers, base = split_name(name)

    def make(part: str) -> Any:
        own = {key.partition(".")[2]: value for key, value in hparams.items() if key.partition(".")[0] == part}
        return load_method(part).HParams(**own)

    method = load_method(base)(make(base))
    for wrapper in reversed(wrappers):
        method = load_method(wrapper)(make(wrapper), method)  # type: ignore[call-arg]  # a Wrapper takes a base too
    return method


def convert(key: str, value: Any, hint: Any) -> Scalar:
    """``value`` as the declared type ``hint``, from a string if need be; InputError where it does not fit."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if typing.get_origin(option) is Literal:
            for choice in typing.get_args(option):
                if str(value) == str(choice):
                    return choice
        elif option is type(None):
            if value is None or str(value).lower() == "none":
                return None
        elif option is bool:
            if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
        elif not isinstance(value, bool):
            if option is int and isinstance(value, float) and not value.is_integer():
                continue
            try:
                converted = option(value)
            except (TypeError, ValueError):
                continue
            if option is not float or math.isfinite(converted):
                return converted
    wanted = " or ".join(_describe(option) for option in options)
    raise InputError(f"{key} is {value!r}: give {wanted}")


def _describe(option: Any) -> str:
    if typing.get_origin(option) is Literal:
        return " or ".join(map(str, typing.get_args(option)))
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}.get(option, "none")
