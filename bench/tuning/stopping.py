"""Ray Tune's schedulers, each for the trials of one search alone: at another noise rate they would
stop the wrong ones.
"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Trial:
    """All that Tune's schedulers want to know of a trial."""

    trial_id: str


class Stopper:
    """Says which trials of a search are not worth going on with."""

    def __init__(self, scheduler: str, grace: int, epochs: int) -> None:
        """``scheduler``: asha, median or none; ``grace``: epochs before which none is judged;
        ``epochs``: of a whole trial.
        """
        self._tune: Any = None
        if scheduler == "none" or epochs < 2:
            return
        from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

        about: dict[str, Any] = {
            "time_attr": "epochs",
            "metric": "value",
            "mode": "max",
            "grace_period": grace + 1,
        }
        if scheduler == "asha":
            self._tune = ASHAScheduler(max_t=epochs, stop_last_trials=False, **about)
        else:
            # else it would pause trials that it cannot judge yet
            about["min_time_slice"] = math.inf
            self._tune = MedianStoppingRule(**about)

    def judge(self, trial_id: str, epochs: int, value: float) -> bool:
        """Whether a trial that has reached ``value`` after so many epochs is to be stopped."""
        if self._tune is None:
            return False
        self._tune.on_trial_add(None, _Trial(trial_id))
        return (
            self._tune.on_trial_result(None, _Trial(trial_id), {"epochs": epochs, "value": value})
            == "STOP"
        )

    def remember(self, trial_id: str, epochs: int, value: float) -> None:
        """The same of a trial that is over, without asking: its end is history."""
        if self._tune is not None:
            self._tune.on_trial_add(None, _Trial(trial_id))
            self._tune.on_trial_complete(None, _Trial(trial_id), {"epochs": epochs, "value": value})
