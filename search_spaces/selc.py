"""The estimate, or a turning point around the authors' 20 to 40 of 200 epochs."""

from ray import tune

from bench.tuning.spaces import Draw


def space(draw: Draw) -> None:
    draw("momentum", tune.uniform(0.5, 0.99))
    if draw("turning_point", tune.choice(["estimate", 10, 20, 30, 40, 60, 80])) == "estimate":
        draw("warmup_epochs", tune.randint(5, 31))
        draw("patience", tune.randint(5, 31))
