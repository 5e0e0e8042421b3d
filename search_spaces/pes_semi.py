"""Ranges around the authors' settings.

They choose lambda_u among 5, 15, 50, 75 and 150 by the noise; here validation chooses.
"""

from ray import tune

SPACE = {
    "whole_epochs": tune.randint(10, 61),
    "head_epochs": tune.randint(1, 21),
    "learning_rate": tune.loguniform(1e-5, 1e-3),
    "freeze_renewed": tune.choice([False, True]),
    "temperature": tune.uniform(0.2, 1.0),
    "mixup_alpha": tune.loguniform(0.5, 8.0),
    "late_mixup_alpha": tune.loguniform(0.1, 8.0),
    "unlabelled_weight": tune.loguniform(3.0, 300.0),
    "ramp_epochs": tune.randint(4, 33),
}
