"""Ranges that hold the learning rates of the paper's table A.1.

These go from 0.1 and 1 for Clothing1M to 10 and 100 for asymmetric CIFAR-10.
"""

from ray import tune

SPACE = {"rate_u": tune.loguniform(0.1, 100.0), "rate_v": tune.loguniform(1.0, 300.0)}
