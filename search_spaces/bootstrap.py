"""Values of beta around the paper's two; None is the paper's value for the kind."""

from ray import tune

SPACE = {
    "kind": tune.choice(["hard", "soft"]),
    "beta": tune.choice([None, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]),
}
