"""Ranges around the authors' settings; hard and soft are their M-DYR-H and M-DYR-S."""

from ray import tune

SPACE = {
    "correction_start": tune.randint(20, 151),
    "mixup_alpha": tune.loguniform(1.0, 64.0),
    "bootstrap": tune.choice(["hard", "soft"]),
    "uniform_weight": tune.loguniform(0.1, 3.0),
}
