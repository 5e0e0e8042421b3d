"""Ranges around the authors' settings for CIFAR-10 (5, 5, 5e-5) and CIFAR-100 (10, 1, 5e-7)."""

from ray import tune

SPACE = {
    "active": tune.choice(["nce", "nfl"]),
    "alpha": tune.loguniform(0.5, 20.0),
    "beta": tune.loguniform(0.2, 20.0),
    "delta": tune.loguniform(1e-7, 1e-4),
}
