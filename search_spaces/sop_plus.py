"""Ranges of ``sop``, and weights around the authors'."""

from ray import tune

SPACE = {
    "rate_u": tune.loguniform(0.1, 100.0),
    "rate_v": tune.loguniform(1.0, 300.0),
    "balance_weight": tune.uniform(0.0, 1.0),
    "consistency_weight": tune.uniform(0.0, 2.0),
}
