"""Where the work of a planned sweep would run on a cluster: lines of ``--dry-run --address``."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bench.cli.plan import PlannedSweep
from bench.cli.terminal import line
from bench.embedding import images_to_embed
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import TrialSpec
from bench.sweep.encoders import Encoders
from bench.sweep.environment import prepare_environment

if TYPE_CHECKING:
    from bench.sweep.cluster import Survey

#: Largest number of hosts that a line names.
_HOSTS = 4


def look_at(address: str) -> "Survey":
    """Return the machines of the cluster at an address.

    Raises:
        InputError: where no cluster answers there.
    """
    prepare_environment(address)
    from bench.sweep.session import survey  # Ray

    return survey(address)


def print_placement(
    console: Console,
    sweep: PlannedSweep,
    survey: "Survey",
    trials: Sequence[tuple[TrialSpec, int]],
) -> int:
    """Print what would run where, and return how many of these trials run at a time.

    Args:
        trials: each as (specification, how many like it), those without a record.

    Raises:
        InputError: where no trial fits on any machine.
    """
    from bench.sweep.cluster import fitting_trials, parallel_trials

    resources = sweep.resources
    line(console, f"cluster {survey.address}: {survey.use}")
    hosts: dict[tuple[str, int], Counter[str]] = {}
    for node in survey.nodes:
        fitting = fitting_trials(resources, node.resources)
        hosts.setdefault((node.description, fitting), Counter())[node.host] += 1
    for (description, fitting), names in hosts.items():
        count = names.total()
        shown = ", ".join([*names][:_HOSTS]) + ", ..." * (len(names) > _HOSTS)
        fit = f"{_count(fitting, 'trial')} at a time" + " on each" * (count > 1)
        line(console, f"  {_count(count, 'node')} with {description} ({shown}): {fit}")
    if not trials:
        line(console, "nothing to run: every trial is on record")
        return 0
    jobs = {job.key for spec, _ in trials if (job := pretrain_job(spec))}
    encoders = Encoders(sweep.folder / "encoders")
    missing = [key for key in jobs if not encoders.path(key).exists()]
    runs = sum(count for _, count in trials)
    pieces = runs + len(missing)
    open_ended = sweep.tuning is not None and sweep.tuning.open_ended
    slots = parallel_trials(
        resources, [node.resources for node in survey.nodes], sys.maxsize if open_ended else pieces
    )
    share = f"{resources.cpus_per_trial:g} CPU{'s' * (resources.cpus_per_trial != 1)}"
    share += f" and {resources.gpus_per_trial:g} GPU" * bool(resources.gpus_per_trial)
    if embedding := _embedding(sweep):
        line(console, f"first {embedding}, on all nodes, with {share} each")
    work = _count(runs, "trial") + f" and {_count(len(missing), 'pretraining')}" * bool(missing)
    if open_ended:
        work, waves = f"at least {work}", f"up to {slots} at a time"
    else:
        waves = f"in {_count(math.ceil(pieces / slots), 'wave')} of {slots}"
    line(console, f"{work} to run, {waves}, with {share} each, wherever they are free")
    return min(slots, pieces)


def _embedding(sweep: PlannedSweep) -> str:
    """Return the images and tasks of the embedding, where some vectors are missing."""
    from bench.sweep.embedding import tasks_of  # Ray

    network = sweep.network
    if not network or not network.network.frozen:
        return ""
    images = images_to_embed(sweep.data, network)
    tasks = tasks_of(images, "cuda" if sweep.resources.gpus_per_trial else "cpu")
    return f"{images:,} images to embed in {_count(tasks, 'task')}" if images else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
