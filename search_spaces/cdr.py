"""The estimate or a fixed rate: the true rate is a privilege, which tuning may not use."""

from ray import tune

SPACE = {
    "noise_rate": tune.choice(["estimate", 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "ramp_epochs": tune.randint(5, 41),
}
