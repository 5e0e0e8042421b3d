"""Check of planned trials against their methods, before anything runs."""

from collections.abc import Iterable

from bench.common import plugins
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
        pretrain_job(spec)
