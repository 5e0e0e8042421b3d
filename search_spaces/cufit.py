"""Rates of the probe around that of the practical recipe for linear heads."""

from ray import tune

SPACE = {"probe_rate": tune.loguniform(10.0, 300.0)}
