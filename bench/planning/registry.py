"""Registry of methods: found by name, built from a name and hyper-parameters."""

import ast
import importlib.util
import keyword
import math
import pkgutil
import re
import sys
import tokenize
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any, Literal

from bench.common import plugins
from bench.common.importing import import_bundled
from bench.errors import InputError, one_line, unknown

if typing.TYPE_CHECKING:
    from bench.method import Method

#: Base of a wrapper without a base, and the method that every leaderboard compares with.
REFERENCE = "ce"

Scalar = bool | int | float | str | None


#: Names that the command line uses for something else: --reference none, --set recipe.epochs=10.
_RESERVED = ("none", "recipe")


def _packaged() -> dict[str, list[EntryPoint]]:
    """Return methods of installed packages: entry points of the group ``bench.methods``."""
    return plugins.points_by_name("bench.methods")


def method_names() -> list[str]:
    """Return all methods, also those that cannot be used.

    They are the files of ``methods/``, and the entry points of installed packages.
    """
    modules = pkgutil.iter_modules(import_bundled("methods").__path__)
    files = {module.name for module in modules if not module.name.startswith("_")}
    return sorted(files | set(_packaged()))


def _module_name(name: str) -> str:
    if name not in method_names():
        raise unknown("method", name, method_names())
    file = importlib.util.find_spec(f"methods.{name}")
    points = _packaged().get(name, [])
    if points:
        point = plugins.single_point(points, "methods", file is not None)
    where = (
        plugins.display_path(file.origin or name)
        if file
        else f"the entry point {name!r} ({point.value})"
    )
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        fitting = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
        fits = (
            fitting.isidentifier() and not keyword.iskeyword(fitting) and fitting not in _RESERVED
        )
        hint = f", such as {fitting}" if fits else ""
        raise InputError(
            f"{where} has a name that is no identifier of Python: use letters, digits and _{hint}"
        )
    if name in _RESERVED:
        raise InputError(
            f"{where} has a name that means something else on the command line: rename it"
        )
    if file:
        return f"methods.{name}"
    try:
        return point.module
    except AttributeError:  # of a value that its pattern does not match
        raise InputError(f'{where} names no module: write {name} = "package.module"') from None


@cache
def load_method(name: str) -> "type[Method]":
    """Return the checked class of a method's file.

    Raises:
        InputError: where the file, or what the class declares, cannot be used.
    """
    from bench.method import Method
    from bench.planning.method_checks import check_class

    module = plugins.import_file(_module_name(name))
    with plugins.blame(plugins.file_of(module), "its class"):
        classes = {  # a set: one class may have two names
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Method)
            and value.__module__ == module.__name__
        }
        if len(classes) != 1:
            helper = "" if classes else " (the name of a file of helpers begins with _)"
            raise InputError(
                f"it defines {len(classes)} subclasses of Method: a method's file has exactly "
                f"one{helper}"
            )
        [cls] = classes
        check_class(cls)
    return cls


def method_file(name: str) -> str:
    """Return the file of a method, for people."""
    return plugins.file_of(sys.modules[load_method(name).__module__])


@dataclass(frozen=True)
class Card:
    """Description of a method for people."""

    summary: str  # with citation and year
    networks: int  # 0: those of the method that it wraps
    # passes of an average sample in an epoch, with gradients + without; those of a wrapper add to
    # its base's
    passes: str
    reads: tuple[str, ...]  # privileges that some of its settings need
    lines: int  # of its file


def card(name: str) -> Card:
    """Return the description of a method.

    Raises:
        InputError: where its file is broken.
    """
    from bench.method import Wrapper

    cls = load_method(name)
    source = source_of(name)
    wraps = issubclass(cls, Wrapper)
    passes = " + ".join(f"{count:g}" for count in cls.passes if count)
    reads = sorted(
        {
            *re.findall(r"\boracle\.(\w+)", source),
            *(fact for facts in cls.oracles.values() for fact in facts),
        }
    )
    return Card(
        summary(name),
        0 if wraps else cls.num_networks,
        passes,
        tuple(reads),
        len(source.splitlines()),
    )


def summary(name: str) -> str:
    """Return the first paragraph of the method's docstring, without running its file."""
    docstring = ast.get_docstring(ast.parse(source_of(name))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def source_of(name: str) -> str:
    """Return the source of a method's file, without running it.

    Raises:
        InputError: where it cannot be read.
    """
    path = plugins.find_file(_module_name(name))
    try:
        with tokenize.open(path) as file:  # in the encoding that the file itself names
            source = file.read()
        ast.parse(source)
    except (SyntaxError, ValueError, OSError, RecursionError) as error:
        raise InputError(
            f"{plugins.display_path(path)} cannot be read: {one_line(error)}: mend it"
        ) from error
    return source


def split_name(name: str) -> list[str]:
    """Return the parts of a name: wrappers from the outermost one on, then the base.

    A wrapper alone wraps the reference.

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
        hint = (
            f"did you mean {'+'.join(wrappers + bases)}?"
            if len(bases) == 1
            else f"choose {' or '.join(bases)}"
        )
        raise InputError(f"{bases[0]} cannot wrap another method (in {name!r}): {hint}")
    return [*wrappers, *(bases or [REFERENCE])]


def canonical(name: str) -> str:
    """Return the one spelling of a method: a wrapper alone gets the reference as its base."""
    return "+".join(split_name(name))


def display(name: str) -> str:
    """Return the spelling for people: a wrapper on the reference stands alone."""
    return name.removesuffix(f"+{REFERENCE}")


def resolve(name: str, settings: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return all hyper-parameters of a method, "part.name" -> value.

    Args:
        settings: values in place of defaults. Strings, as from a command line, become the declared
            types.

    Raises:
        InputError: where a setting is unknown or does not fit.
    """
    resolved: dict[str, Scalar] = {}
    known = set()
    for part in split_name(name):
        cls = load_method(part)
        hints = hyper_parameter_types(part)
        values = {}
        for field in fields(cls.HParams):
            key = f"{part}.{field.name}"
            known.add(key)
            if key in settings:
                value = convert(key, settings[key], hints[field.name])
                # The default itself where it is equal: 1 and 1.0 would be two trials.
                same_kind = isinstance(value, bool) == isinstance(field.default, bool)
                is_default = value == field.default and same_kind
                values[field.name] = field.default if is_default else value
        resolved.update({f"{part}.{k}": v for k, v in asdict(_hparams_of(part, values)).items()})
    for key in settings:
        if key not in known:
            raise unknown(f"hyper-parameter of {display(name)}", key, known)
    return resolved


def neutral_hparams(method: str) -> dict[str, Any]:
    """Return neutral values of a method's younger hyper-parameters, namespaced by part."""
    # Not above: it loads NumPy, and the --help of a command has to answer at once.
    from bench.common.identity import neutral_values

    return {
        f"{part}.{key}": value
        for part in split_name(method)
        for key, value in neutral_values(load_method(part).HParams).items()
    }


def _hparams_of(part: str, values: Mapping[str, Any]) -> Any:
    """Return the part's ``HParams`` with these values; its own InputErrors pass."""
    try:
        return load_method(part).HParams(**values)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin's __post_init__ may raise anything
        settings = ", ".join(f"{part}.{name}={value!r}" for name, value in values.items())
        raise InputError(
            f"{method_file(part)}: HParams refuses {settings or 'its defaults'} "
            f"({one_line(error)}): give other values"
        ) from error


@cache
def hyper_parameter_types(part: str) -> dict[str, Any]:
    """Return the declared type of each hyper-parameter of one part of a method."""
    return typing.get_type_hints(load_method(part).HParams)


def estimated_settings(part: str) -> list[str]:
    """Return the hyper-parameters with a fixed default that can be "estimate" instead."""
    defaults = resolve(part, {})
    return [
        name
        for name, hint in hyper_parameter_types(part).items()
        if any("estimate" in typing.get_args(option) for option in options(hint))
        and defaults[f"{part}.{name}"] != "estimate"
    ]


def changes(name: str, hparams: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the hyper-parameters that differ from the method's defaults."""
    defaults = resolve(name, {})
    return {key: value for key, value in hparams.items() if value != defaults[key]}


def build(name: str, settings: Mapping[str, Any]) -> "Method":
    """Return a method, not yet set up: ``build("rmd+elr", {"rmd.weight": 2.0})``.

    Raises:
        InputError: where settings do not fit, or the method's own constructor fails.
    """
    hparams = resolve(name, settings)
    method: Method | None = None
    for part in reversed(split_name(name)):
        values = {
            key.partition(".")[2]: value
            for key, value in hparams.items()
            if key.partition(".")[0] == part
        }
        method = _build_part(part, values, method)
    assert method is not None
    return method


def _build_part(part: str, values: Mapping[str, Any], base: "Method | None") -> "Method":
    from bench.planning.method_checks import check_instance, check_privileges

    cls: Any = load_method(part)
    place, hparams = method_file(part), _hparams_of(part, values)
    with plugins.blame(place, "its __init__"):
        method = cls(hparams) if base is None else cls(hparams, base)
        check_instance(method, hparams, base)
    with plugins.blame(place, "privileges"):
        check_privileges(method.privileges)
    return method


def options(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def convert(key: str, value: Any, hint: Any) -> Scalar:
    """Return a value as its declared type, from a string if need be.

    Args:
        key: name of the value in an error.
        hint: the declared type, such as ``float | Literal["oracle"]``.

    Raises:
        InputError: where the value does not fit.
    """
    if value is None and type(None) in options(hint):
        return None
    for option in options(hint):
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
            except (TypeError, ValueError, OverflowError):
                continue
            if option is not float or math.isfinite(converted):
                return converted
    raise InputError(f"{key} is {value!r}: give {describe_type(hint)}")


def describe_type(hint: Any) -> str:
    """Return a declared type for people, such as "a whole number"."""
    return " or ".join(_describe(option) for option in options(hint))


def _describe(option: Any) -> str:
    if typing.get_origin(option) is Literal:
        return " or ".join(map(str, typing.get_args(option)))
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}.get(
        option, "none"
    )
