"""Ranges around the authors' settings.

They choose lambda_u among 0, 25, 50 and 150 by the noise; here validation chooses.
"""

from ray import tune

SPACE = {
    "warmup_epochs": tune.randint(5, 41),
    "clean_threshold": tune.uniform(0.3, 0.8),
    "temperature": tune.uniform(0.2, 1.0),
    "mixup_alpha": tune.loguniform(0.5, 8.0),
    "unlabelled_weight": tune.choice([0.0, 25.0, 50.0, 150.0, "estimate"]),
    "ramp_epochs": tune.randint(4, 33),
    "loss_window": tune.choice([1, 5]),
    "confidence_penalty": tune.choice([False, True]),
}
