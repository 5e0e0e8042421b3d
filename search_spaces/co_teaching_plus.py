"""Co-teaching's ranges, and the epoch from which disagreement counts."""

from ray import tune

SPACE = {
    "forget_rate": tune.choice(["estimate", 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "ramp_epochs": tune.randint(5, 21),
    "disagreement_start": tune.randint(0, 41),
}
