"""Names of all methods by kind, and short trial specifications of them."""

import inspect
import re

from bench.datasets import Dataset
from bench.method import Wrapper
from bench.planning import registry
from bench.planning.spec import Plan, TrialSpec, expand_hparams

NAMES = registry.method_names()
WRAPPERS = [name for name in NAMES if issubclass(registry.load_method(name), Wrapper)]
BASES = [name for name in NAMES if name not in WRAPPERS]
SPECS = BASES + [f"{wrapper}+{base}" for wrapper in WRAPPERS for base in BASES]
RATE = 0.4375  # of 160 images: exactly 70, and no number that turns up elsewhere
SEED = 7919  # of noise, split and training, and likewise


#: Call of a mixture fit, in the file of a method or of its base class.
FITS = re.compile(
    r"\bops\.(clean_probability|fit_mixture|fit_gaussians|fit_betas|estimated_rate|gaussian_mixture)\("
)
FITTING = [
    name
    for name in NAMES
    if any(
        FITS.search(inspect.getsource(module))
        for module in map(inspect.getmodule, registry.load_method(name).__mro__)
        if module.__name__.startswith("methods.")
    )
]


def spec_of(
    name: str, data: Dataset, epochs: int = 3, settings: dict[str, list[str]] | None = None
) -> TrialSpec:
    plan = Plan(overrides=(("batch_size", 32), ("epochs", epochs)), subset=160)
    [spec] = plan.specs(data, expand_hparams([name], {}, settings or {}), [RATE], [SEED])
    return spec
