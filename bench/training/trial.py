"""One trial, from a specification to its record. No Ray here: a test, a shell and a sweep all call
``run_trial``.

python -m bench.trial SPEC.json
"""

import errno
import hashlib
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import noise
from bench.common import plugins
from bench.datasets import OUTSIDE, UNKNOWN, Dataset, ImageFiles, stratified_choice
from bench.errors import InputError, Unavailable, first_line, one_line
from bench.method import Method
from bench.networks.backbones import Network
from bench.planning.code_hash import code_of
from bench.planning.method_checks import check_plan, check_privileges
from bench.planning.registry import build, method_file, split_name
from bench.planning.selection import clean_validation
from bench.planning.spec import SCHEMA, TrialSpec
from bench.records.schema import LOST
from bench.records.trials import pack_classes
from bench.task import Pixels, SharedPixels, Task
from bench.training import scoring
from bench.training.checks import (
    PART,
    TRIED,
    check_alike,
    check_probabilities,
    shaped,
    tensor_of,
    untouched,
)
from bench.training.encoders import Encoder
from bench.training.graphs import steps_of
from bench.training.isolation import as_new, give_back_memory, seed_globals
from bench.training.memory import keep_freed_memory, return_freed_memory
from bench.training.pretrain import PretrainJob, job_for, pretrain
from bench.training.seeds import hidden_seed, shuffled
from bench.training.storage import StoredFile, write_whole
from bench.training.stream import StreamedPixels


def check_trials(specs: Iterable[TrialSpec]) -> None:
    """Ask each method what planning needs of it, with each of its configurations and recipes.

    Raises:
        InputError: where a method fails, or answers what cannot be used.
    """
    for spec in {(spec.method, str(spec.hparams), spec.recipe): spec for spec in specs}.values():
        method = method_for(spec)
        for name, part in zip(reversed(split_name(spec.method)), method.parts(), strict=True):
            with plugins.blame(method_file(name), "planning its trials"):
                check_plan(part)
        pretrain_job(spec)


def run_trial(
    spec: TrialSpec,
    dataset: Dataset,
    *,
    encoder: Encoder | None = None,
    report: Report = lambda epochs, restart: None,
    checkpoint: Checkpoint | None = None,
    keep: Collection[str] = (),
) -> Outcome:
    """Train and evaluate as the specification says.

    Args:
        dataset: the one the specification names, whole (the hash is compared).
        encoder: the pretrained encoder, where ``pretrain_job(spec)`` names one; without it, it is
            trained here.
        report: gets each epoch's record as it is made. With ``restart`` true it gets all the epochs
            that a checkpoint kept, before any other, and whatever was reported earlier is void.
        keep: what to keep beside the record, as ``records.kept`` names it.
        checkpoint: where to go on from, and where to keep the state. Whoever writes the outcome
            down removes it then.

    Returns:
        The outcome. A method that raises is a failed outcome, not an exception; an error of the
        machine is a lost one.

    Raises:
        Unavailable: where the data or the noise file are not those of the specification.
    """
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "failed",
        "error": None,
        "code": code_of(spec.method),
    }
    start = time.perf_counter()
    outcome = Outcome(facts)
    try:
        _reset_peak_memory(spec.device)
        keep_freed_memory()
        with as_new(spec.device), use_threads(spec.threads):
            Run(spec, dataset, encoder, report, checkpoint, keep, outcome).go()
    except InputError:
        raise
    except Exception as error:
        # anything a plugin may raise: it becomes a row, and the sweep goes on
        facts["status"] = LOST if of_machine(error) else "failed"
        facts["error"] = describe(error)
        facts["traceback"] = traceback.format_exc()
        # of a trial that ran out of it, what it had
        facts["peak_memory_bytes"] = peak_memory(spec.device)
    if facts["status"] in ("failed", LOST):
        give_back_memory(spec.device)  # until here the error's traceback held the networks
    facts["work_seconds"] = time.perf_counter() - start
    return outcome

