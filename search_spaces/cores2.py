"""Ranges around the authors' beta and phases."""

from ray import tune

SPACE = {
    "weight": tune.uniform(0.5, 4.0),
    "ramp_start": tune.randint(0, 21),
    "ramp_epochs": tune.randint(10, 51),
    "sieve_start": tune.randint(10, 61),
}
