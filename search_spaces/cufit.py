"""An empty space: CUFIT has no hyper-parameters."""

from ray.tune.search.sample import Domain

SPACE: dict[str, Domain] = {}
