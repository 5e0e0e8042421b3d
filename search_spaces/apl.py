"""Ranges around the authors' settings for CIFAR-10 (1 and 1) and CIFAR-100 (10 and 0.1)."""

from ray import tune

SPACE = {
    "active": tune.choice(["nce", "nfl"]),
    "passive": tune.choice(["rce", "mae"]),
    "alpha": tune.loguniform(0.05, 20.0),
    "beta": tune.loguniform(0.05, 20.0),
}
