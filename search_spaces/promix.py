"""Ranges around the authors' settings for CIFAR-10 and CIFAR-100.

They choose rho by the noise rate; here it is estimated, or validation chooses.
"""

from ray import tune

SPACE = {
    "warmup_epochs": tune.randint(5, 41),
    "selected_share": tune.choice(["estimate", 0.2, 0.3, 0.5, 0.7, 0.9]),
    "confidence": tune.uniform(0.9, 0.999),
    "debiasing": tune.uniform(0.0, 1.0),
    "unlabelled_weight": tune.loguniform(0.01, 1.0),
    "mixup_alpha": tune.loguniform(0.5, 8.0),
    "guess_epochs": tune.randint(0, 401),
    "confidence_penalty": tune.choice([False, True]),
}
