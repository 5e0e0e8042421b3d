"""Ranges around the authors' settings for CIFAR-10 and CIFAR-100."""

from ray import tune

SPACE = {
    "whole_epochs": tune.randint(10, 61),
    "block_epochs": tune.randint(1, 21),
    "head_epochs": tune.randint(1, 21),
    "learning_rate": tune.loguniform(1e-5, 1e-2),
    "freeze_renewed": tune.choice([False, True]),
}
