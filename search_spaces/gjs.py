"""The authors' grid of pi_1, made continuous."""

from ray import tune

SPACE = {"label_weight": tune.uniform(0.1, 0.9)}
