"""The paper tries q from 0.1 to 1 in figure 2."""

from ray import tune

SPACE = {
    "q": tune.uniform(0.1, 1.0),
    "truncated": tune.choice([False, True]),
    "threshold": tune.uniform(0.1, 0.9),
    "warmup_epochs": tune.randint(10, 81),
}
