"""From the plain matrix to one with even errors."""

from ray import tune

SPACE = {"spread": tune.uniform(0.0, 1.0), "folds": tune.randint(3, 11)}
