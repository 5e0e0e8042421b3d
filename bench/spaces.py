"""Search spaces: from the Ray Tune domains of ``search_spaces/NAME.py`` to configurations that Optuna draws.

A file holds either ``SPACE``, a dictionary from hyper-parameters to domains, or, where a range depends on what was drawn
before, a function ``space(draw)`` that calls ``draw(name, domain)`` and gets the value:

    def space(draw):
        draw("q", tune.uniform(0.1, 1.0))
        if draw("truncated", tune.choice([False, True])):
            draw("threshold", tune.uniform(0.1, 0.9))
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from bench.errors import InputError
from bench.importing import own_package
from bench.registry import Scalar, split_name
from bench.sweep.domains import suggest

#: Takes the name of a hyper-parameter and its domain; returns a value.
Draw = Callable[[str, Any], Any]

#: Where installed packages name the search spaces of their methods.
GROUP = "bench.search_spaces"


def load_space(part: str) -> Callable[[Draw], Any]:
    """The search space of one part of a method, as a function of ``draw``.

    Raises:
        InputError: where there is none, or none that can be used.
    """
    packaged = {point.name: point.module for point in entry_points(group=GROUP)}
    own_package("search_spaces")
    module_name = f"search_spaces.{part}"
    if importlib.util.find_spec(module_name) is None:
        module_name = packaged.get(part, "")
    if not module_name:
        raise InputError(
            f"{part} has no search space to tune in: write search_spaces/{part}.py (CONTRIBUTING.md shows one), name one in "
            f"the entry-point group {GROUP}, or leave out --tune"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # anything that somebody's file may do
        raise InputError(f"{module_name} cannot be imported: {type(error).__name__}: {error}: mend its file") from error
    if callable(function := getattr(module, "space", None)):
        return function
    domains = getattr(module, "SPACE", None)
    if not isinstance(domains, Mapping):
        raise InputError(f"{module_name} defines neither SPACE nor space(draw): CONTRIBUTING.md shows both")
    return lambda draw: [draw(name, domain) for name, domain in domains.items()]


def draw(method: str, trial: Any, fixed: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """One configuration: hyper-parameters drawn for all parts of the method, namespaced by part, without the ``fixed`` ones.

    Args:
        trial: an Optuna trial; a ``FixedTrial`` goes through the space with given values.
    """
    drawn: dict[str, Scalar] = {}

    def of(part: str) -> Draw:
        def one(name: str, domain: Any) -> Any:
            key = f"{part}.{name}"
            if key in fixed:
                return fixed[key]
            drawn[key] = suggest(trial, key, domain)
            return drawn[key]

        return one

    for part in split_name(method):
        load_space(part)(of(part))
    return drawn
