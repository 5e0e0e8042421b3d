"""Both rules, and numbers of voting samples around the authors' 10."""

from ray import tune

from bench.tuning.spaces import Draw


def space(draw: Draw) -> None:
    draw("rule", tune.choice(["vote", "rank"]))
    draw("k", tune.choice([5, 10, 20, 50]))
    draw("warmup_epochs", tune.randint(5, 61))
