"""The paper's values are unknown: wide ranges around the start values."""

from ray import tune

SPACE = {
    "temperature": tune.loguniform(0.05, 2.0),
    "k": tune.choice([0, 4, 8, 16, 32]),
    "weight": tune.loguniform(0.1, 10.0),
    "edge_weight": tune.loguniform(0.03, 3.0),
}
