"""Check of planned trials against their methods, before anything runs."""

import warnings
from collections.abc import Iterable

from bench.common import plugins
from bench.errors import InputError
from bench.method import Method
from bench.planning.method_checks import check_plan
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import method_file, split_name
from bench.planning.spec import TrialSpec, method_for


def check_trials(specs: Iterable[TrialSpec]) -> None:
    """Check the results of the hooks that planning calls, for each configuration and recipe.

    Raises:
        InputError: where a hook fails, or its result cannot be used.
    """
    for spec in {(spec.method, str(spec.hparams), spec.recipe): spec for spec in specs}.values():
        method = method_for(spec)
        for name, part in zip(reversed(split_name(spec.method)), method.parts(), strict=True):
            with plugins.blame(method_file(name), "planning its trials"):
                check_plan(part)
            _check_optimizer(name, part, spec)
            _check_network(name, part, spec)
        pretrain_job(spec)


def _check_optimizer(name: str, part: Method, spec: TrialSpec) -> None:
    if part.needs_sgd and spec.recipe.optimizer != "sgd":
        raise InputError(
            f"{name} trains by SGD alone: {part.needs_sgd}; use --set recipe.optimizer=sgd"
        )


def _check_network(name: str, part: Method, spec: TrialSpec) -> None:
    """Check that a part of a method can learn with the network of its trial.

    Two linear heads are hardly two opinions: training is a convex problem, and on 3,000 photographs
    two of them predicted different classes for 1.7 % of the images.

    Raises:
        InputError: where it cannot.
    """
    if spec.recipe.backbone == "linear":
        if part.linear_head:
            raise InputError(
                f"{name} cannot train a linear head: {part.linear_head}; use --head mlp"
            )
        if part.num_networks > 1:
            warnings.warn(
                f"{name} trains {part.num_networks} networks to disagree, and linear heads hardly "
                "do: --head mlp suits it better",
                stacklevel=2,
            )
    frozen = spec.pretrained is not None and spec.pretrained.frozen
    if part.needs_pretrained and (spec.pretrained is None or frozen):
        raise InputError(
            f"{name} takes the pretrained network for its teacher, and the trial fine-tunes none: "
            "add --backbone timm:NAME or torchvision:NAME without --freeze"
        )
