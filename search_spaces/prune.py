"""Rules of confident learning, and the division of the epochs."""

from ray import tune

SPACE = {
    "folds": tune.randint(3, 7),
    "rule": tune.choice(["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"]),
    "validation_share": tune.uniform(0.3, 0.7),
    "reweight": tune.choice([False, True]),
}
