"""From the plain matrix to one with even errors."""

from ray import tune

SPACE = {"crossfit.spread": tune.uniform(0.0, 1.0)}
