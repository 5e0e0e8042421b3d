"""Ranges around the authors' sizes, and both metrics."""

from ray import tune

SPACE = {
    "k_min": tune.choice([5, 11, 15]),
    "k_max": tune.choice([31, 51, 101]),
    "metric": tune.choice(["euclidean", "cosine"]),
}
