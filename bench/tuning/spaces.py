"""Search spaces: ``search_spaces/NAME.py`` holds Ray Tune's domains, from which Optuna draws.

A file holds either ``SPACE``, a dictionary from hyper-parameters to domains, or, where a range
depends on what was drawn before, a function ``space(draw)`` that calls ``draw(name, domain)`` and
gets the value:

    def space(draw):
        draw("q", tune.uniform(0.1, 1.0))
        if draw("truncated", tune.choice([False, True])):
            draw("threshold", tune.uniform(0.1, 0.9))
"""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from bench.common import plugins
from bench.common.importing import import_bundled
from bench.errors import InputError, unknown
from bench.planning.registry import (
    Scalar,
    convert,
    describe_type,
    hyper_parameter_types,
    resolve,
    split_name,
)
from bench.tuning.domains import distribution
from bench.tuning.rehearsal import Take, defaults_of, rehearse

#: Function of the name of a hyper-parameter and its domain; it returns a value.
Draw = Callable[[str, Any], Any]

#: Entry-point group in which installed packages name the search spaces of their methods.
GROUP = "bench.search_spaces"


def load_space(part: str) -> Callable[[Draw], None]:
    """Return the search space of one part of a method, as a function of ``draw``.

    Raises:
        InputError: where there is none, or none that can be used; it names the file.
    """
    module = plugins.import_file(_module_name(part))
    place = plugins.file_of(module)
    with plugins.blame(place, "its search space"):
        function = _function(module)

    def go_through(draw: Draw) -> None:
        with plugins.blame(place, "space(draw)"):
            if (returned := function(draw)) is not None:
                if inspect.iscoroutine(returned):
                    returned.close()  # without this, Python warns that it was never awaited
                raise InputError(
                    f"space(draw) returns a {type(returned).__name__}: call draw(name, domain) for "
                    "each hyper-parameter, and return nothing"
                )

    return go_through


def space_file(part: str) -> str:
    """Return the file of the search space of one part of a method, for people."""
    return plugins.file_of(plugins.import_file(_module_name(part)))


def _module_name(part: str) -> str:
    import_bundled("search_spaces")
    packaged = f"search_spaces.{part}"
    names = [packaged] * (importlib.util.find_spec(packaged) is not None)
    names += [point.module for point in entry_points(group=GROUP) if point.name == part]
    if not names:
        raise InputError(
            f"{part} has no search space to tune in: write search_spaces/{part}.py "
            f"(CONTRIBUTING.md shows one), name one in the entry-point group {GROUP}, or leave out "
            "--tune"
        )
    if len(set(names)) > 1:
        raise InputError(
            f"{part} has two search spaces, {' and '.join(sorted(set(names)))}: remove either"
        )
    return names[0]


def _function(module: ModuleType) -> Callable[[Draw], Any]:
    """Return the space that the file defines, as a function of ``draw``."""
    function, domains = getattr(module, "space", None), getattr(module, "SPACE", None)
    if function is not None and domains is not None:
        raise InputError("it defines both SPACE and space(draw): keep one")
    if domains is not None:
        if not isinstance(domains, Mapping):
            raise InputError(
                f"SPACE is a {type(domains).__name__}: give a dictionary from hyper-parameters to "
                "domains"
            )
        return partial(_draw_each, domains)
    if function is None:
        raise InputError("it defines neither SPACE nor space(draw): CONTRIBUTING.md shows both")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        raise InputError("space is no function of one argument: write def space(draw)") from None
    return function


def _draw_each(domains: Mapping[str, Any], draw: Draw) -> None:
    for name, domain in domains.items():
        draw(name, domain)


def space_of(method: str, fixed: Mapping[str, Scalar]) -> Callable[[Take], dict[str, Scalar]]:
    """Return a function that goes through a method's search space with values of its argument.

    It returns a configuration, "part.name" -> value, without ``fixed`` settings, and raises
    InputError where the search space fails; ``check_space`` finds most faults before. It may be
    called many times.
    """
    spaces = _spaces(method)
    return lambda take: _go_through(spaces, take, fixed)


def _spaces(method: str) -> dict[str, Callable[[Draw], None]]:
    return {part: load_space(part) for part in split_name(method)}


def _go_through(
    spaces: Mapping[str, Callable[[Draw], None]],
    take: Take,
    fixed: Mapping[str, Scalar],
    check: Callable[[str, Any], None] = lambda key, domain: None,
) -> dict[str, Scalar]:
    """Draw a configuration, and show ``check`` each name, "part.name", and its domain."""
    drawn: dict[str, Scalar] = {}

    def draw_of(part: str) -> Draw:
        def draw(name: str, domain: Any) -> Any:
            if not isinstance(name, str):
                raise InputError(
                    f"draw is given a name of the type {type(name).__name__}: write draw(name, "
                    "domain)"
                )
            key = f"{part}.{name}"
            check(key, domain)
            if key in fixed:
                return fixed[key]
            drawn[key] = take(key, distribution(key, domain))
            return drawn[key]

        draw.__qualname__ = "draw"  # for Python's message about a missing argument
        return draw

    for part, space in spaces.items():
        space(draw_of(part))
    return drawn


def _check_value(key: str, value: Any) -> None:
    """Check that a value is of the declared type; a whole number may stand for any number."""
    part, _, name = key.partition(".")
    hint = hyper_parameter_types(part)[name]
    try:
        if convert(key, value, hint) == value:
            return
    except InputError:
        pass
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    described = describe_type(hint)
    fraction = described == "a whole number" and isinstance(value, float)
    fitting = "tune.randint" if fraction else "tune.choice, of values of that type"
    raise InputError(f"{key} draws {text}, but it is {described}: use {fitting}")


def check_space(method: str, hparams: Mapping[str, Scalar], fixed: Mapping[str, Scalar]) -> bool:
    """Check the search space of a method by many draws.

    Args:
        hparams: the first configuration, which has to lie in the space.
        fixed: hyper-parameters that are not searched.

    Returns:
        Whether there is anything to draw.

    Raises:
        InputError: where something is wrong, in one sentence with the name of the search space's
            file.
    """
    spaces, names = _spaces(method), set[str]()

    def drawn(take: Take) -> dict[str, Scalar]:
        values, keys = _checked_draw(spaces, take, fixed)
        names.update(keys)
        return values

    if fault := rehearse(drawn, lambda values: resolve(method, {**hparams, **values})):
        sentence, key = fault
        parts = [key.partition(".")[0]] if key else [*spaces]
        raise InputError(f"{', '.join(space_file(part) for part in parts)}: {sentence}")
    for part in spaces:
        if (types := hyper_parameter_types(part)) and not any(
            key.partition(".")[0] == part for key in names
        ):
            raise InputError(
                f"{space_file(part)}: it draws nothing: give ranges for {', '.join(types)}, or "
                "leave out --tune"
            )
    return bool(_go_through(spaces, defaults_of(hparams), fixed))


def _checked_draw(
    spaces: Mapping[str, Callable[[Draw], None]], take: Take, fixed: Mapping[str, Scalar]
) -> tuple[dict[str, Scalar], set[str]]:
    """Draw as ``_go_through`` does, check names and values; return the values and all names."""
    keys = set[str]()

    def check(key: str, domain: Any) -> None:
        part, _, name = key.partition(".")
        types = hyper_parameter_types(part)
        if name not in types:
            raise unknown(f"hyper-parameter of {part}", key, [f"{part}.{known}" for known in types])
        if key in keys:
            raise InputError(f"{key} is drawn twice: draw it once, and keep its value")
        keys.add(key)
        if key not in fixed:
            for choice in getattr(distribution(key, domain), "choices", ()):
                _check_value(key, choice)

    def take_checked(key: str, drawn_from: Any) -> Any:
        value = take(key, drawn_from)
        _check_value(key, value)
        return value

    return _go_through(spaces, take_checked, fixed, check), keys
