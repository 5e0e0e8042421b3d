"""Ranges around the authors' settings for CIFAR-10; they use the Student kernel for CIFAR-100."""

from ray import tune

SPACE = {
    "mixup_alpha": tune.loguniform(0.5, 16.0),
    "temperature": tune.loguniform(0.1, 1.0),
    "structure_weight": tune.loguniform(0.02, 2.0),
    "kernel": tune.choice(["gaussian", "student"]),
}
