"""The paper's values are unknown: wide ranges. EGA, which does not divide its losses by the batch,
is at weight 128.
"""

from ray import tune

SPACE = {
    "temperature": tune.loguniform(0.05, 2.0),
    "k": tune.choice([0, 4, 8, 16, 32]),
    "weight": tune.loguniform(0.1, 300.0),
    "edge_weight": tune.loguniform(0.03, 3.0),
}
