"""Early stopping of poor configurations, by Ray Tune's schedulers.

Each search has a scheduler of its own: at another noise rate it would stop the wrong trials.
"""

import math
from dataclasses import dataclass
from typing import Any

from bench.planning.brackets import ETA, bracket_of, brackets


@dataclass(frozen=True)
class _Trial:
    """Trial in the form that Tune's schedulers read."""

    trial_id: str


class TuneStopper:
    """Scheduler of one search, a ``Stopper`` of ``bench.tuning.search``."""

    def __init__(self, scheduler: str, grace: int, epochs: int) -> None:
        """Make the scheduler.

        Args:
            scheduler: asha, hyperband, median or none.
            grace: number of epochs before which no trial is judged.
            epochs: number of epochs of a whole trial.
        """
        self._tunes: list[Any] = []  # one for each bracket
        self._shares: list[float] = []  # of the trials, for each bracket
        if scheduler == "none" or epochs < 2:
            return
        # Planning makes stoppers, too, and does without Ray where none stops anything.
        from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

        settings: dict[str, Any] = {
            "time_attr": "epochs",
            "metric": "value",
            "mode": "max",
        }
        if scheduler in ("asha", "hyperband"):
            parts = brackets(scheduler, grace, epochs)
            self._tunes = [
                ASHAScheduler(
                    max_t=epochs,
                    stop_last_trials=False,
                    grace_period=part.first_rung,
                    reduction_factor=ETA,
                    **settings,
                )
                for part in parts
            ]
            self._shares = [part.share for part in parts]
        else:
            # A finite slice would pause trials that cannot be judged yet.
            settings["min_time_slice"] = math.inf
            self._tunes = [MedianStoppingRule(grace_period=grace + 1, **settings)]
            self._shares = [1.0]

    def _tune(self, trial_id: str) -> Any:
        """Return the scheduler of a trial's bracket, the same after any interruption."""
        if not self._tunes:
            return None
        return self._tunes[bracket_of(trial_id, self._shares)]

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Return whether to stop a trial that has reached ``value`` after ``epochs``."""
        tune = self._tune(trial_id)
        if tune is None:
            return False
        tune.on_trial_add(None, _Trial(trial_id))
        return (
            tune.on_trial_result(None, _Trial(trial_id), {"epochs": epochs, "value": value})
            == "STOP"
        )
