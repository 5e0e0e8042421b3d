"""A range around alpha 1; the paper tries 0.1 to 32 and finds CIFAR flat near 1."""

from ray import tune

SPACE = {"alpha": tune.loguniform(0.1, 8.0)}
