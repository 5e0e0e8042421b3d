"""From a few neighbours, for clean labels, to many, for noisy ones; odd numbers, against ties."""

from ray import tune

SPACE = {
    "k": tune.choice([5, 11, 21, 51, 101]),
    "metric": tune.choice(["euclidean", "cosine"]),
}
