"""Ranges that hold all of the authors' settings for CIFAR-10, CIFAR-100 and CIFAR-N."""

from ray import tune

SPACE = {
    "alpha": tune.loguniform(0.004, 1.0),
    "beta": tune.loguniform(0.5, 10.0),
    "m": tune.choice([1e2, 1e3, 1e4, 1e5]),
}
