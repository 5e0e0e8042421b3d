"""An empty space: the average margin has no hyper-parameters."""

from ray.tune.search.sample import Domain

SPACE: dict[str, Domain] = {}
