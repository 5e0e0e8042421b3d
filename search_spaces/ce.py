"""An empty space: cross-entropy has no hyper-parameters."""

from ray.tune.search.sample import Domain

SPACE: dict[str, Domain] = {}
