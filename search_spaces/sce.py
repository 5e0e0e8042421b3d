"""Ranges around the authors' settings for CIFAR-10 and CIFAR-100.

The clamp keeps its default: it only scales beta.
"""

from ray import tune

SPACE = {"alpha": tune.loguniform(0.01, 10.0), "beta": tune.loguniform(0.05, 10.0)}
