"""Cross-entropy has no hyper-parameters of its own."""

from ray.tune.search.sample import Domain

SPACE: dict[str, Domain] = {}
