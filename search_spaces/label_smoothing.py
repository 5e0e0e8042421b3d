"""A wide range: noisy labels may need far more smoothing than the usual 0.1."""

from ray import tune

SPACE = {"smoothing": tune.uniform(0.01, 0.9)}
