"""The estimate or a fixed forget rate: the true rate is a privilege, which tuning may not use."""

from ray import tune

SPACE = {
    "forget_rate": tune.choice(["estimate", 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "ramp_epochs": tune.randint(5, 21),
    "exponent": tune.choice([0.5, 1.0, 2.0]),
}
