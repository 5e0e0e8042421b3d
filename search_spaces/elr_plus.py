"""Ranges around the authors' settings for CIFAR-10 and CIFAR-100."""

from ray import tune

SPACE = {
    "weight": tune.loguniform(0.5, 20.0),
    "momentum": tune.uniform(0.5, 0.99),
    "mixup_alpha": tune.loguniform(0.2, 8.0),
    "averaging": tune.uniform(0.9, 0.9999),
    "weight_ramp_epochs": tune.choice([0, 50, 102]),
    "refine_labels": tune.choice([False, True]),
}
