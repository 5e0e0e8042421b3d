"""Facts about the noise by which authors choose their settings; all of them are privileges."""

from collections.abc import Iterable

from bench.task import Task


def is_asymmetric(task: Task) -> bool:
    """Tell whether the noise is of a kind that the field calls asymmetric."""
    return str(task.oracle.noise_kind).startswith("asymmetric")


def inclusive_rate(task: Task) -> float:
    """Noise rate as most authors count it, who draw noisy labels from the true class too."""
    return float(task.oracle.noise_rate) * task.num_classes / (task.num_classes - 1)  # type: ignore[arg-type]  # a fact


def nearest(value: float, choices: Iterable[float]) -> float:
    """Return the choice nearest to the value."""
    return min(choices, key=lambda choice: abs(choice - value))
