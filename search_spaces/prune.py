"""The rules of confident learning, and how the epochs are shared out."""

from ray import tune

SPACE = {
    "folds": tune.randint(3, 7),
    "rule": tune.choice(["prune_by_noise_rate", "prune_by_class", "both", "confident_learning"]),
    "validation_share": tune.uniform(0.3, 0.7),
    "reweight": tune.choice([False, True]),
}
