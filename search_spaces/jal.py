"""Ranges around the authors' settings for CIFAR-10 (1, 1, 30, 5e-5) and CIFAR-100 (5, 1, 20, 5e-6).

Beta keeps its default: with a, alpha decides what it would.
"""

from ray import tune

SPACE = {
    "active": tune.choice(["nce", "nfl"]),
    "alpha": tune.loguniform(0.2, 20.0),
    "a": tune.loguniform(2.0, 50.0),
    "delta": tune.loguniform(1e-6, 1e-4),
}
