"""Rehearsal of a search space: tries configurations from all its ends and branches."""

import contextlib
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.planning.registry import Scalar

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: Function of a hyper-parameter, "part.name", and Optuna's distribution; it returns a value.
Take = Callable[[str, "BaseDistribution"], Any]

#: Values of a configuration, and the distribution of each.
_Context = tuple[dict[str, Scalar], dict[str, "BaseDistribution"]]

#: Configurations of a rehearsal, enough to meet rare branches; it takes some milliseconds.
ROUNDS = 64

#: Values that have to be accepted lie this share of a range within its ends. An end itself may be
#: excluded, and a range that is wrong by less wastes few draws.
INSIDE = 0.05

#: Number of values up to which a range of whole numbers is tried at the ends themselves.
_FEW = 20


def rehearse(
    draw: Callable[[Take], Mapping[str, Scalar]], accept: Callable[[Mapping[str, Scalar]], object]
) -> tuple[str, str] | None:
    """Draw configurations, and find a value that no configuration can have.

    A combination of values may be refused: a search then draws another one. A value that is refused
    in all combinations is a mistake, and so is a space that is refused as a whole.

    Args:
        draw: goes through the space, with values of the function that it is given.
        accept: raises InputError where the method refuses a configuration.

    Returns:
        The fault, as a sentence, and the key of the hyper-parameter ("" for the whole space); None
        without a fault.
    """
    drawer = _Drawer()
    contexts: list[_Context] = []
    for number in range(ROUNDS):
        drawer.begin(number)
        drawn = dict(draw(drawer.take))
        contexts.append((drawn, dict(drawer.drawn_from)))
        if key := _differs_again(draw, *contexts[-1]):
            return (
                f"{key} is drawn in another way when the values before it are the same: let it "
                "depend on them alone",
                key,
            )

    def refusal(values: Mapping[str, Scalar]) -> str | None:
        try:
            accept(values)
        except InputError as error:
            return str(error)
        return None

    refusals = [refusal(drawn) for drawn, _ in contexts]
    if all(refusals):
        return f"no configuration can be drawn: {refusals[0]}", ""
    return _refused_value(contexts, refusal)


def _refused_value(
    contexts: Sequence[_Context], refusal: Callable[[Mapping[str, Scalar]], str | None]
) -> tuple[str, str] | None:
    """Find a value that is refused in every configuration that draws its hyper-parameter."""
    for key in dict.fromkeys(key for drawn, _ in contexts for key in drawn):
        uses = [(drawn, drawn_from[key]) for drawn, drawn_from in contexts if key in drawn]
        for place in range(max(len(_probes(drawn_from)) for _, drawn_from in uses)):
            why = None
            for drawn, drawn_from in uses:
                value = _probes(drawn_from)[place]
                if (why := refusal({**drawn, key: value})) is None:
                    break
            if why is not None:
                return (
                    f"it draws {key} as {_text(value)}, which is refused ({why}): leave that out "
                    "of its range",
                    key,
                )
    return None


def _differs_again(
    draw: Callable[[Take], object],
    drawn: Mapping[str, Scalar],
    drawn_from: Mapping[str, "BaseDistribution"],
) -> str | None:
    """Return the first key whose range differs when the same values are drawn again, or None.

    A search that is resumed knows its values alone.
    """
    ranges: dict[str, BaseDistribution] = {}

    def take(key: str, again: "BaseDistribution") -> Any:
        ranges[key] = again
        return drawn.get(key)

    with contextlib.suppress(InputError):  # of a value that was not drawn the first time
        draw(take)
    return next(
        (key for key in {**drawn_from, **ranges} if ranges.get(key) != drawn_from.get(key)), None
    )


def defaults_of(hparams: Mapping[str, Scalar]) -> Take:
    """Return a function that draws the first configuration's values.

    It raises InputError where one lies outside the space.
    """

    def take(key: str, drawn_from: "BaseDistribution") -> Any:
        from optuna.trial import create_trial

        value = hparams[key]
        try:
            create_trial(value=0.0, params={key: value}, distributions={key: drawn_from})
        except ValueError as error:
            raise InputError(
                f"the defaults of {key.partition('.')[0]} are not in its search space ({key} is "
                f"{_text(value)}, and {_described(drawn_from)}): widen it"
            ) from error
        return value

    return take


class _Drawer:
    """Sampler of choices and ends of ranges, the least drawn first, and of values between."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._drawn: Counter[tuple[str, Any]] = Counter()
        self._first: dict[str, BaseDistribution] = {}
        self._number = 0
        self.drawn_from: dict[str, BaseDistribution] = {}  # of the present configuration

    def begin(self, number: int) -> None:
        self._number = number
        self.drawn_from = {}

    def take(self, key: str, drawn_from: "BaseDistribution") -> Any:
        from optuna.distributions import CategoricalDistribution, check_distribution_compatibility

        try:
            check_distribution_compatibility(self._first.setdefault(key, drawn_from), drawn_from)
        except ValueError as error:
            raise InputError(
                f"{key} is not always drawn from the same choices or the same kind of range, which "
                f"Optuna cannot learn from ({str(error).rstrip('.')}): draw the same ones"
            ) from error
        self.drawn_from[key] = drawn_from
        if isinstance(drawn_from, CategoricalDistribution):
            places = range(len(drawn_from.choices))
            fewest = min(self._drawn[key, place] for place in places)
            place = self._random.choice(
                [place for place in places if self._drawn[key, place] == fewest]
            )
            self._drawn[key, place] += 1
            return drawn_from.choices[place]
        # First all values at the same end, which a method accepts that requires an order of them.
        if self._number < 2:
            return _at(drawn_from, (0.001, 0.999)[self._number])
        return _at(drawn_from, self._random.choice([0.001, 0.999, self._random.random()]))


def _probes(drawn_from: "BaseDistribution") -> list[Any]:
    """Return the values that have to be accepted in at least one configuration."""
    range_: Any = drawn_from
    if hasattr(range_, "choices"):
        return list(range_.choices)
    whole = isinstance(range_.low, int) and (range_.high - range_.low) // range_.step < _FEW
    return [range_.low, range_.high] if whole else [_at(range_, INSIDE), _at(range_, 1 - INSIDE)]


def _at(range_: Any, share: float) -> Any:
    """Return the value of a range at a share of its length, on its own scale and steps."""
    if range_.log:
        value = math.exp(
            math.log(range_.low) + share * (math.log(range_.high) - math.log(range_.low))
        )
    else:
        value = range_.low + share * (range_.high - range_.low)
    if range_.step is not None and not range_.log:
        value = range_.low + round((value - range_.low) / range_.step) * range_.step
    return max(range_.low, min(range_.high, round(value))) if isinstance(range_.low, int) else value


def _described(range_: Any) -> str:
    if hasattr(range_, "choices"):
        return f"the choices are {', '.join(map(str, range_.choices))}"
    steps = f" in steps of {_text(range_.step)}" if range_.step not in (None, 1) else ""
    return f"the range goes from {_text(range_.low)} to {_text(range_.high)}{steps}"


def _text(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
