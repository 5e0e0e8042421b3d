"""Rungs and brackets of the schedulers that stop poor trials of a search early."""

import hashlib
import math
from typing import NamedTuple

#: Factor between two rungs, and between the first rungs of Hyperband's brackets.
ETA = 4


class Bracket(NamedTuple):
    """Part of the trials of a search, which are compared with each other alone."""

    first_rung: int  # epochs after which its trials are judged first
    share: float  # of all trials


def brackets(scheduler: str, grace: int, epochs: int) -> list[Bracket]:
    """Return the brackets of asha or hyperband; hyperband's last bracket stops no trial.

    Args:
        grace: number of epochs before which no trial is judged.
        epochs: number of epochs of a whole trial.
    """
    rungs = [grace + 1]
    if scheduler == "hyperband":
        while rungs[-1] * ETA < epochs:
            rungs.append(rungs[-1] * ETA)
        rungs.append(epochs)
    # Numbers of trials in Hyperband's brackets (Li et al., 2018).
    halvings = range(len(rungs) - 1, -1, -1)
    counts = [math.ceil(len(rungs) / (s + 1) * ETA**s) for s in halvings]
    return [Bracket(rung, count / sum(counts)) for rung, count in zip(rungs, counts, strict=True)]


def bracket_of(trial_id: str, shares: list[float]) -> int:
    """Return the position of a trial's bracket, which depends on its id alone."""
    place = int(hashlib.sha256(trial_id.encode()).hexdigest()[:8], 16) / 2**32
    for number, share in enumerate(shares):
        if place < share:
            return number
        place -= share
    return len(shares) - 1
