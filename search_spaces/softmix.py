"""Ranges around the authors' settings; k counts the neighbours besides the sample."""

from ray import tune

SPACE = {
    "k": tune.choice([1, 2, 4, 8]),
    "warmup_epochs": tune.randint(5, 41),
    "correction_start": tune.randint(20, 121),
    "update_every": tune.choice([1, 5, 10, 20]),
    "momentum": tune.uniform(0.5, 0.99),
    "mixup_alpha": tune.loguniform(0.2, 4.0),
    "early_loss": tune.choice(["mae", "ce"]),
    "mixture": tune.choice(["gmm", "bmm"]),
    "loss_window": tune.choice([1, 5]),
    "scope": tune.choice(["batch", "dataset"]),
}
