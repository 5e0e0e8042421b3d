"""Metrics to rank methods by: accuracy, and other figures of records (bench/training/scoring.py).

All are taken at the epochs that the selection rule picks: a metric ranks, it does not select.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.errors import unknown
from bench.records.schema import TEST_ACCURACY


@dataclass(frozen=True)
class Metric:
    """A figure of a trial, a fraction unless its label says otherwise."""

    name: str  # in the records, and of the column in leaderboard.csv
    label: str
    more_is_better: bool = True
    #: Figure of a failed trial, from the number of classes and the share of wrong labels. None
    #: where it is undefined: failed trials are left out.
    at_failure: Callable[[float, float], float] | None = None
    scale: int = 100  # from the records to the unit of the label

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.more_is_better else -1


ACCURACY = Metric(TEST_ACCURACY, "Test accuracy (%)", at_failure=lambda classes, wrong: 1 / classes)

_ALL = (
    ACCURACY,
    # A failed trial guesses one class, surely; it finds no wrong label, and leaves the labels as
    # they are.
    Metric(
        "worst_class_accuracy",
        "Accuracy on the worst class (%)",
        at_failure=lambda classes, wrong: 0.0,
    ),
    Metric(
        "calibration_error",
        "Calibration error (points)",
        False,
        at_failure=lambda classes, wrong: 1 - 1 / classes,
    ),
    Metric("detection_auc", "Wrong labels found (AUC, %)", at_failure=lambda classes, wrong: 0.5),
    Metric(
        "label_correction_accuracy",
        "Labels right after correction (%)",
        at_failure=lambda classes, wrong: 1 - wrong,
    ),
    Metric("recovered_wrong", "Wrong labels seen through (%)"),
    Metric("memorised_wrong", "Wrong labels memorised (%)", False),
    Metric("cost_seconds", "Cost (s)", False, scale=1),
    Metric("passes_trained", "Passes with gradients, per training image and epoch", False, scale=1),
    Metric(
        "passes_inferred", "Passes without gradients, per training image and epoch", False, scale=1
    ),
    Metric("peak_memory_mb", "Peak memory (MB)", False, scale=1),
)
#: All metrics, in the order of tables.
METRICS = {metric.name: metric for metric in _ALL}
#: Resources of a run besides seconds: passes through networks per training image and epoch, and
#: memory of the device.
RESOURCES = ["passes_trained", "passes_inferred", "peak_memory_mb"]
#: Metrics to rank by: a failed trial counts.
RANKED = {metric.name: metric.at_failure for metric in _ALL if metric.at_failure}


def ranked_by(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        InputError: where it is no metric to rank by.
    """
    if name not in RANKED:
        raise unknown("metric to rank by", name, RANKED)
    return METRICS[name]
