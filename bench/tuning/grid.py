"""Grid search: every configuration of a search space, in a random order.

Optuna's samplers of grids do not fit: ``GridSampler`` knows no ranges that depend on other draws,
and ``BruteForceSampler`` goes through all earlier trials for each value, so that its order depends
on what was under way or refused before a search was interrupted.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from bench.common.identity import identity
from bench.errors import InputError
from bench.planning.registry import Scalar
from bench.planning.spec import TrialSpec
from bench.tuning.spaces import space_file, space_of

#: Largest number of configurations of a grid: it is held in memory.
MOST = 100_000


class Grid:
    """Configurations of one search space; it takes the place of ``bench.tuning.study.Study``."""

    def __init__(self, base: TrialSpec, fixed: Mapping[str, Scalar]) -> None:
        """Enumerate the configurations of a search; its first one, ``base``, is among them.

        Raises:
            InputError: where the space is not finite, or too large.
        """
        configurations = [*grid(base.method, tuple(sorted(fixed.items())))]
        text = json.dumps(identity(base.to_json()), sort_keys=True)
        random.Random(hashlib.sha256(text.encode()).digest()).shuffle(configurations)
        self.size = len(configurations)
        self._left = iter(configurations)

    def open(self, finished: Sequence[tuple[int, TrialSpec, float]], drawn: int) -> None:
        """Do nothing: a grid learns nothing."""

    def tell(self, spec: TrialSpec, value: float, ask: Any = None) -> None:
        """Do nothing: a grid learns nothing."""

    def suggestions(self, drawn: int) -> Iterator[tuple[None, Callable[[], dict[str, Scalar]]]]:
        """Yield the configurations that were not yielded before, in the order of the grid."""
        for configuration in self._left:
            yield None, configuration.copy

    def refuse(self, ask: Any) -> None:
        """Do nothing: a configuration is yielded once."""


@cache
def grid(method: str, fixed: tuple[tuple[str, Scalar], ...]) -> tuple[dict[str, Scalar], ...]:
    """Return all configurations of a search space, "part.name" -> value, without ``fixed`` ones.

    They are enumerated once for all searches of a method.

    Args:
        fixed: hyper-parameters that are not searched, and their values, in the order of their
            names.

    Raises:
        InputError: where a range is continuous, or there are more than ``MOST``.
    """
    configurations = tuple(itertools.islice(_each(method, dict(fixed)), MOST + 1))
    if len(configurations) > MOST:
        raise InputError(
            f"the search space of {method} has more than {MOST} configurations, too many for "
            "--sampler grid: fix some hyper-parameters with --set, or use --sampler random"
        )
    return configurations


def _each(method: str, fixed: Mapping[str, Scalar]) -> Iterator[dict[str, Scalar]]:
    """Yield the configurations depth first, as an odometer: the last draw changes fastest.

    Raises:
        InputError: where a configuration draws from continuous ranges.
    """
    go_through = space_of(method, fixed)
    wheels: list[tuple[Sequence[Any], int]] = []  # values of each draw, and the present one's place
    place = 0
    continuous: list[str] = []

    def take(key: str, drawn_from: Any) -> Any:
        nonlocal place
        if _is_continuous(drawn_from):
            continuous.append(key)
            return drawn_from.low
        if place == len(wheels):
            wheels.append((_values(drawn_from), 0))
        values, number = wheels[place]
        place += 1
        return values[number]

    while True:
        place = 0
        configuration = go_through(take)
        if continuous:
            raise _refusal(continuous)
        yield configuration
        while wheels and wheels[-1][1] == len(wheels[-1][0]) - 1:
            wheels.pop()
        if not wheels:
            return
        values, number = wheels.pop()
        wheels.append((values, number + 1))


def _refusal(continuous: Sequence[str]) -> InputError:
    files = dict.fromkeys(space_file(key.partition(".")[0]) for key in continuous)
    return InputError(
        f"--sampler grid cannot try all values of {', '.join(continuous)}, drawn from a "
        f"continuous range: fix them with --set, give them steps or choices in "
        f"{' and '.join(files)}, or use --sampler random"
    )


def _is_continuous(drawn_from: Any) -> bool:
    return not hasattr(drawn_from, "choices") and drawn_from.step is None


def _values(drawn_from: Any) -> Sequence[Any]:
    """Return all values of a hyper-parameter, in order."""
    if hasattr(drawn_from, "choices"):
        return list(drawn_from.choices)
    low, high, step = drawn_from.low, drawn_from.high, drawn_from.step
    if isinstance(low, int):
        return range(low, high + 1, step)
    first, width = Decimal(str(low)), Decimal(str(step))
    count = int((Decimal(str(high)) - first) / width) + 1
    return [float(first + number * width) for number in range(count)]
