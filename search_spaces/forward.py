"""Percentiles around the paper's two, and [inferred] ranges of the estimate's share of the run."""

from ray import tune

SPACE = {
    "warmup_epochs": tune.randint(40, 161),
    "percentile": tune.choice([80.0, 90.0, 95.0, 97.0, 99.0, 100.0]),
    "held_out": tune.choice([0.05, 0.1, 0.2]),
}
