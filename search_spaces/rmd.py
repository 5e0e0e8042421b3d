"""Wide ranges, since the paper's values are unknown.

EGA, which does not divide its losses by the batch size, corresponds to a weight of 128.
"""

from ray import tune

SPACE = {
    "temperature": tune.loguniform(0.05, 2.0),
    "k": tune.choice([0, 4, 8, 16, 32]),
    "weight": tune.loguniform(0.1, 300.0),
    "edge_weight": tune.loguniform(0.03, 3.0),
}
