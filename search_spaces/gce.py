"""Ranges around figure 2 of the paper, which tries q from 0.1 to 1.

Threshold and warm-up matter only where the loss is truncated.
"""

from ray import tune

from bench.tuning.spaces import Draw


def space(draw: Draw) -> None:
    draw("q", tune.uniform(0.1, 1.0))
    if draw("truncated", tune.choice([False, True])):
        draw("threshold", tune.uniform(0.1, 0.9))
        draw("warmup_epochs", tune.randint(10, 81))
