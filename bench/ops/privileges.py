"""Facts about the noise, in the terms in which authors state their settings: privileges all."""

from collections.abc import Iterable

from bench.task import Task


def is_asymmetric(task: Task) -> bool:
    """Tell whether the noise is of a kind that the field calls asymmetric."""
    return str(task.oracle.noise_kind).startswith("asymmetric")


def inclusive_rate(task: Task) -> float:
    """Noise rate as most authors count it: noisy labels are drawn from all classes, the true one
    among them.
    """
    return float(task.oracle.noise_rate) * task.num_classes / (task.num_classes - 1)  # type: ignore[arg-type]  # a fact


def nearest(value: float, choices: Iterable[float]) -> float:
    """Return the choice nearest to the value."""
    return min(choices, key=lambda choice: abs(choice - value))
