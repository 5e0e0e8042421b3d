"""Ranges around the authors' settings for CIFAR-10."""

from ray import tune

SPACE = {
    "warmup_epochs": tune.randint(5, 41),
    "unlabelled_weight": tune.loguniform(3.0, 300.0),
    "contrast_weight": tune.loguniform(0.0025, 0.25),
    "temperature": tune.uniform(0.2, 1.0),
    "mixup_alpha": tune.loguniform(0.5, 8.0),
    "confidence_penalty": tune.choice([False, True]),
}
