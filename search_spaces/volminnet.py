"""Ranges around the authors' lambda, and of init.

Rows of ten classes start between nearly uniform and nearly the identity.
"""

from ray import tune

SPACE = {"weight": tune.loguniform(1e-6, 1e-1), "init": tune.uniform(1.0, 6.0)}
