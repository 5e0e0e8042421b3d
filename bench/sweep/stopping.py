"""Early stopping of poor configurations, by Ray Tune's schedulers.

Each search has a scheduler of its own: at another noise rate it would stop the wrong trials.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

#: Factor between the first rungs of Hyperband's brackets, and Ray Tune's between two rungs.
ETA = 4


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
        rungs = [grace + 1]
        if scheduler == "hyperband":
            while rungs[-1] * ETA < epochs:
                rungs.append(rungs[-1] * ETA)
            rungs.append(epochs)  # trials of the last bracket have all their epochs
        if scheduler in ("asha", "hyperband"):
            self._tunes = [
                ASHAScheduler(
                    max_t=epochs,
                    stop_last_trials=False,
                    grace_period=rung,
                    reduction_factor=ETA,
                    **settings,
                )
                for rung in rungs
            ]
            # Numbers of trials in Hyperband's brackets (Li et al., 2018).
            halvings = range(len(rungs) - 1, -1, -1)
            counts = [math.ceil(len(rungs) / (s + 1) * ETA**s) for s in halvings]
            self._shares = [count / sum(counts) for count in counts]
        else:
            # A finite slice would pause trials that cannot be judged yet.
            settings["min_time_slice"] = math.inf
            self._tunes = [MedianStoppingRule(grace_period=grace + 1, **settings)]
            self._shares = [1.0]

    def _tune(self, trial_id: str) -> Any:
        """Return the scheduler of a trial's bracket, the same after any interruption."""
        if not self._tunes:
            return None
        place = int(hashlib.sha256(trial_id.encode()).hexdigest()[:8], 16) / 2**32
        for tune, share in zip(self._tunes, self._shares, strict=True):
            if place < share:
                return tune
            place -= share
        return self._tunes[-1]

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

    def remember(self, trial_id: str, epochs: int, value: float) -> None:
        """Take a value of a trial that is over, without a decision."""
        tune = self._tune(trial_id)
        if tune is not None:
            tune.on_trial_add(None, _Trial(trial_id))
            tune.on_trial_complete(None, _Trial(trial_id), {"epochs": epochs, "value": value})
