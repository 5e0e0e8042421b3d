"""Ranges around the authors' settings for CIFAR-10 and CIFAR-100."""

from ray import tune

SPACE = {
    "warmup_epochs": tune.randint(5, 41),
    "momentum": tune.uniform(0.8, 0.995),
    "hard_weight": tune.uniform(0.1, 2.0),
    "mixup_alpha": tune.loguniform(0.5, 8.0),
    "magnitude": tune.randint(2, 11),
}
