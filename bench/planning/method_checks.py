"""Checks of the class of a method, so that its mistakes are found before anything runs.

Each message is one sentence; ``registry.load_method`` puts the name of the method's file before it.
"""

import dataclasses
import inspect
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from bench.errors import InputError, one_line, unknown
from bench.method import Method, Wrapper
from bench.networks.backbones import check_backbone
from bench.networks.pretrained import is_library_name
from bench.planning.registry import convert, options
from bench.recipe import RECIPE_FIELDS, Recipe, SimSiam, default_recipe
from bench.task import PRIVILEGES

_DATACLASS = "@dataclass(frozen=True)"


def check_class(cls: type[Method]) -> None:
    """Raise InputError where the class of a method cannot be used."""
    if absent := sorted(getattr(cls, "__abstractmethods__", ())):
        raise InputError(f"its class is abstract: write def {absent[0]}")
    _check_hparams(cls.HParams)
    fields = {field.name for field in dataclasses.fields(cls.HParams)}
    _check_numbers(cls)
    _check_names(cls, fields)
    _check_paper("paper", cls.paper)
    for dataset, paper in cls.papers.items():
        _check_paper(f"papers of {dataset}", paper)
    privileges = inspect.getattr_static(cls, "privileges")
    if not isinstance(privileges, property) and not inspect.isfunction(privileges):
        check_privileges(cls.privileges)
    _check_hooks(cls)


def check_privileges(privileges: object) -> frozenset[str]:
    """Return the privileges of a method, as a set of known names.

    Raises:
        InputError: where they are anything else.
    """
    if not isinstance(privileges, set | frozenset | list | tuple) or not all(
        isinstance(p, str) for p in privileges
    ):
        raise InputError(
            f"privileges is {_short(privileges)}: give a set of names, as {{'noise_rate'}}, or a "
            "property"
        )
    if unsupported := set(privileges) - set(PRIVILEGES):
        raise InputError(
            f"it declares the privileges {sorted(unsupported)}: there are {', '.join(PRIVILEGES)}"
        )
    return frozenset(privileges)


def check_instance(method: Method, hparams: object, base: Method | None) -> None:
    """Check that a method's own constructor keeps its hyper-parameters and its base.

    Raises:
        InputError: where it does not pass them on.
    """
    attributes = vars(method)
    if (
        attributes.get("hp") is not hparams
        or "_modules" not in attributes
        or (base and attributes["_modules"].get("base") is not base)
    ):
        arguments = "hparams, base" if base else "hparams"
        raise InputError(
            f"its __init__ does not pass on what it is given: write super().__init__({arguments})"
        )


def check_plan(method: Method) -> None:
    """Check the results of the hooks that planning calls, for a method with its recipe.

    Raises:
        InputError: where one cannot be used.
    """
    if not _is_number(epochs := method.grace()) or epochs < 0:
        raise InputError(f"grace() returns {_short(epochs)}: return a number of epochs from 0")
    if not isinstance(encoder := method.pretraining(), SimSiam | None):
        raise InputError(
            f"pretraining() returns {_short(encoder)}: return a bench.method.SimSiam, or None"
        )
    if not isinstance(method, Wrapper) and not _is_number(factor := method.schedule(0.0)):
        raise InputError(
            f"schedule(0) returns {_short(factor)}: return a factor of the learning rate"
        )


# ----------------------------------------------------------------------------
# hyper-parameters


def _check_hparams(hparams: object) -> None:
    if not isinstance(hparams, type) or "__dataclass_params__" not in vars(hparams):
        raise InputError(f"HParams is no dataclass: write {_DATACLASS} above it")
    if not vars(hparams)["__dataclass_params__"].frozen:
        raise InputError(f"HParams can be changed after it was made: write {_DATACLASS} above it")
    if inputs := [
        name
        for name, hint in vars(hparams).get("__annotations__", {}).items()
        if "InitVar" in str(hint)
    ]:
        raise InputError(
            f"HParams.{inputs[0]} is an InitVar, which is in no record: give it a plain type"
        )
    _check_untyped(hparams)
    try:
        hints = typing.get_type_hints(hparams)
    except Exception as error:  # a NameError, and whatever an annotation may raise
        raise InputError(
            f"the types of HParams cannot be read ({one_line(error)}): import what they name"
        ) from error
    for field in dataclasses.fields(hparams):
        _check_field(field, hints[field.name])
    for name, value in _defaults(hparams).items():
        _check_value(f"HParams.{name}", value, hints[name])


def _check_untyped(hparams: type) -> None:
    """Refuse attributes without a type: they look like hyper-parameters, and are none."""
    for name, value in vars(hparams).items():
        plain = isinstance(value, bool | int | float | str | list | dict | tuple | None)
        if plain and not name.startswith("_") and name not in hparams.__dataclass_fields__:  # type: ignore[attr-defined]
            raise InputError(
                f"HParams.{name} has no type: write {name}: {type(value).__name__} = {value!r}"
            )


def _check_field(field: dataclasses.Field, hint: Any) -> None:
    where = f"HParams.{field.name}"
    if not field.init:
        raise InputError(f"{where} cannot be given to the constructor: leave out init=False")
    if not all(_is_supported(option) for option in options(hint)):
        raise InputError(
            f"{where} is of the type {_type_name(hint)}: use bool, int, float, str, Literal, None "
            "or a union of them"
        )
    if field.default is dataclasses.MISSING:
        raise InputError(f"{where} has no default: write = and the authors' value after its type")
    _check_value(where, field.default, hint)


def _check_value(where: str, value: Any, hint: Any) -> None:
    """Check that a default is of its type, and that JSON can hold it."""
    plain = isinstance(value, bool | int | float | str | None)
    converted = convert(where, value, hint) if plain else None
    if (
        not plain
        or converted != value
        or (isinstance(value, float) and not isinstance(converted, float))
    ):
        kind = "value" if plain else "plain value, nothing of NumPy or torch,"
        raise InputError(
            f"{where} is {_short(value)} by default: give a {kind} of the type {_type_name(hint)}"
        )


def _defaults(hparams: type) -> dict[str, Any]:
    """Return the defaults by name; raise InputError unless ``HParams`` keeps them unchanged.

    Trials are rebuilt from their records, which hold these values.
    """
    try:
        defaults = hparams()
        values = dataclasses.asdict(defaults)
        again = dataclasses.asdict(hparams(**values))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's __post_init__ may raise anything
        reason = str(error) if isinstance(error, InputError) else one_line(error)
        raise InputError(
            f"HParams refuses its own defaults ({reason}): mend __post_init__"
        ) from error
    if changed := [name for name in values if again[name] != values[name]]:
        raise InputError(
            f"HParams.{changed[0]} is {values[changed[0]]!r}, and {again[changed[0]]!r} when made "
            "again from that: let __post_init__ check values, and change none"
        )
    return values


def _is_supported(option: Any) -> bool:
    if typing.get_origin(option) is Literal:
        return all(
            isinstance(value, bool | int | float | str | None) for value in typing.get_args(option)
        )
    return option in (bool, int, float, str, type(None))


def _type_name(hint: Any) -> str:
    return (
        hint.__name__
        if isinstance(hint, type) and not typing.get_args(hint)
        else str(hint).replace("typing.", "")
    )


# ----------------------------------------------------------------------------
# declarations


def _check_numbers(cls: type[Method]) -> None:
    _check_number("num_networks", cls.num_networks, whole=True)
    _check_number("reference_epochs", cls.reference_epochs, whole=False)
    passes = cls.passes
    if (
        not isinstance(passes, tuple | list)
        or len(passes) != 2
        or not all(_is_number(count) and count >= 0 for count in passes)
        or (sum(passes) == 0 and not issubclass(cls, Wrapper))
    ):
        raise InputError(
            f"passes is {_short(passes)}: give two numbers from 0, of passes with gradients and "
            "without, as (1, 0)"
        )
    if not isinstance(cls.static_step, bool | property):
        raise InputError(f"static_step is {_short(cls.static_step)}: give True or False")


def _check_number(name: str, value: object, whole: bool) -> None:
    if not _is_number(value) or not value > 0 or (whole and value != int(value)):
        kind = "a whole number from 1" if whole else "a number above 0"
        raise InputError(f"{name} is {_short(value)}: give {kind}")


def _is_number(value: Any) -> typing.TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_names(cls: type[Method], fields: set[str]) -> None:
    """Check the hyper-parameters and privileges that axes, begins and oracles name."""
    for name, example in (
        ("axes", "{'k': 'k'}"),
        ("oracles", "{'rate': ['noise_rate']}"),
        ("paper", "{'epochs': 300}"),
        ("papers", "{'clothing1m': {'epochs': 15}}"),
    ):
        value = getattr(cls, name)
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise InputError(f"{name} is {_short(value)}: give a dictionary, as {example}")
    if not _are_names(cls.begins):
        raise InputError(
            f"begins is {_short(cls.begins)}: give a list of hyper-parameters, as ['warmup_epochs']"
        )
    hints = typing.get_type_hints(cls.HParams)
    for where, names in (
        ("axes", cls.axes.values()),
        ("begins", cls.begins),
        ("oracles", cls.oracles),
    ):
        for name in names:
            if name not in fields:
                raise _named(where, unknown("hyper-parameter", str(name), fields))
    for name in cls.begins:
        if not {int, float} & set(options(hints[name])):
            raise InputError(
                f"begins names {name}, which is no number of epochs: name those that are, or leave "
                "it out"
            )
    for name, facts in cls.oracles.items():
        if not _are_names(facts):
            raise InputError(
                f"oracles[{name!r}] is {_short(facts)}: give a list of privileges, as "
                "['noise_rate']"
            )
        for fact in facts:
            if fact not in PRIVILEGES:
                raise _named("oracles", unknown("privilege", fact, PRIVILEGES))
        try:
            convert(name, "oracle", hints[name])
        except InputError as error:
            raise InputError(
                f"oracles names {name}, which cannot be 'oracle': give it the type "
                "Literal['oracle'] | ..."
            ) from error


def _are_names(value: object) -> bool:
    return (
        isinstance(value, Sequence | set | frozenset)
        and not isinstance(value, str)
        and all(isinstance(v, str) for v in value)
    )


def _named(where: str, error: InputError) -> InputError:
    return InputError(f"in {where}, {error}")


def _check_paper(where: str, paper: Mapping[str, Any]) -> None:
    """Check the fields of the authors' recipe."""
    hints = typing.get_type_hints(Recipe)
    if not isinstance(paper, Mapping):
        raise InputError(f"{where} is {_short(paper)}: give a dictionary, as {{'epochs': 15}}")
    for key, value in paper.items():
        if key not in RECIPE_FIELDS:
            raise _named(where, unknown("field of the recipe", key, RECIPE_FIELDS))
        if key == "milestones":
            if not isinstance(value, tuple | list) or not all(map(_is_number, value)):
                raise InputError(
                    f"in {where}, milestones is {_short(value)}: give a tuple of numbers, as (0.5, "
                    "0.75)"
                )
        elif (
            isinstance(value, str) != (hints[key] is str)
            or convert(f"in {where}, {key}", value, hints[key]) != value
        ):
            raise InputError(
                f"in {where}, {key} is {_short(value)}: give a value of the type "
                f"{hints[key].__name__}"
            )
    try:
        recipe = default_recipe("cifar10", 32).override(paper)
        if not is_library_name(recipe.backbone):  # the library is asked where the method is used
            check_backbone(recipe.backbone)
    except InputError as error:
        raise _named(where, error) from error


# ----------------------------------------------------------------------------
# hooks


def _check_hooks(cls: type[Method]) -> None:
    """Check that hooks are functions or properties, and take what the harness gives."""
    for name, ours in vars(Method).items():
        theirs = inspect.getattr_static(cls, name)
        if name.startswith("_") or theirs is ours:
            continue
        if isinstance(ours, property) and inspect.isfunction(theirs):
            raise InputError(f"{name} is a function: write @property above it")
        if inspect.isfunction(ours):
            _check_call(name, theirs, list(inspect.signature(ours).parameters))
    parameters = ["self", "hparams", "base"] if issubclass(cls, Wrapper) else ["self", "hparams"]
    _check_call("__init__", inspect.getattr_static(cls, "__init__"), parameters)
    if not issubclass(cls, Wrapper) and cls.loss is Method.loss and cls.update is Method.update:
        raise InputError(
            "it overrides neither loss nor update, and would train nothing: write def loss(self, "
            "batch)"
        )


def _check_call(name: str, hook: object, parameters: Iterable[str]) -> None:
    """Raise InputError unless a hook can be called with these parameters, by position."""
    names = list(parameters)
    if isinstance(hook, staticmethod | classmethod):
        hook, names = hook.__func__, names[isinstance(hook, staticmethod) :]
    if not callable(hook):
        raise InputError(f"{name} is {_short(hook)}: write def {name}({', '.join(names)})")
    try:
        signature = inspect.signature(hook)
    except (ValueError, TypeError):  # compiled code may have no signature
        return
    try:
        signature.bind(*names)
    except TypeError:
        raise InputError(
            f"{name} takes {signature}: write def {name}({', '.join(names)})"
        ) from None


def _short(value: object) -> str:
    """Return a value of any class in a few words."""
    try:
        text = repr(value)
    except Exception:  # a plugin's class may fail to print
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
