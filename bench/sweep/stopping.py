"""Early stopping of poor configurations, by Ray Tune's schedulers.

Each search has a scheduler of its own: at another noise rate it would stop the wrong trials.
"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Trial:
    """Trial in the form that Tune's schedulers read."""

    trial_id: str


class TuneStopper:
    """Scheduler of one search, a ``Stopper`` of ``bench.tuning.search``."""

    def __init__(self, scheduler: str, grace: int, epochs: int) -> None:
        """Make the scheduler.

        Args:
            scheduler: asha, median or none.
            grace: number of epochs before which no trial is judged.
            epochs: number of epochs of a whole trial.
        """
        self._tune: Any = None
        if scheduler == "none" or epochs < 2:
            return
        # Planning makes stoppers, too, and does without Ray where none stops anything.
        from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

        settings: dict[str, Any] = {
            "time_attr": "epochs",
            "metric": "value",
            "mode": "max",
            "grace_period": grace + 1,
        }
        if scheduler == "asha":
            self._tune = ASHAScheduler(max_t=epochs, stop_last_trials=False, **settings)
        else:
            # A finite slice would pause trials that cannot be judged yet.
            settings["min_time_slice"] = math.inf
            self._tune = MedianStoppingRule(**settings)

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Return whether to stop a trial that has reached ``value`` after ``epochs``."""
        if self._tune is None:
            return False
        self._tune.on_trial_add(None, _Trial(trial_id))
        return (
            self._tune.on_trial_result(None, _Trial(trial_id), {"epochs": epochs, "value": value})
            == "STOP"
        )

    def remember(self, trial_id: str, epochs: int, value: float) -> None:
        """Take a value of a trial that is over, without a decision."""
        if self._tune is not None:
            self._tune.on_trial_add(None, _Trial(trial_id))
            self._tune.on_trial_complete(None, _Trial(trial_id), {"epochs": epochs, "value": value})
