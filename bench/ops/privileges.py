"""Facts about the noise by which authors choose their settings; all of them are privileges."""

from collections.abc import Iterable

from bench.task import Task


def is_asymmetric(task: Task) -> bool:
    """Tell whether the noise is of a kind that the field calls asymmetric."""
    return str(task.oracle.noise_kind).startswith("asymmetric")


def inclusive(rate: float, num_classes: int) -> float:
    """Share of wrong labels as most authors count it, who draw labels from the true class too."""
    return rate * num_classes / (num_classes - 1)


def inclusive_rate(task: Task) -> float:
    """Noise rate as most authors count it."""
    return inclusive(float(task.oracle.noise_rate), task.num_classes)  # type: ignore[arg-type]  # a fact


def nearest(value: float, choices: Iterable[float]) -> float:
    """Return the choice nearest to the value."""
    return min(choices, key=lambda choice: abs(choice - value))
