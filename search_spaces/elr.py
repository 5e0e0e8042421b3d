"""The authors' grid (lambda 1 to 10, beta 0.5 to 0.99), made continuous."""

from ray import tune

SPACE = {"weight": tune.loguniform(0.5, 20.0), "momentum": tune.uniform(0.5, 0.99)}
