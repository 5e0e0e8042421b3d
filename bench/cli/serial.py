"""Trials of a sweep one after the other, in this process, without Ray."""

from collections.abc import Sequence

from bench.cli.commands import writable
from bench.cli.estimate import print_plan
from bench.cli.plan import plan_sweep
from bench.cli.recorded import run_recorded
from bench.cli.request import Request
from bench.cli.run import requested, run
from bench.cli.tables import print_place, print_report
from bench.cli.terminal import console, echo
from bench.common.files import to_json, write_atomically
from bench.embedding import embed
from bench.errors import InputError
from bench.noise import reading_once
from bench.planning.spec import record_of
from bench.records.schema import COMPLETED
from bench.records.trials import check_own, check_specification, finished_statuses
from bench.records.writer import extra_results, lock
from bench.report.writer import write_report
from bench.sweep.provenance import describe


def run_serially(arguments: Sequence[str]) -> int:
    """Run the sweep that ``python -m bench.run`` would run with these words; return the status.

    Trials on record are not run again; an interrupted one goes on from its checkpoint.

    Raises:
        InputError: where ``bench.run`` would refuse the words.
    """
    request = requested(run.make_context("bench.run", list(arguments)))
    _refuse_ray(request)
    with reading_once():
        sweep = plan_sweep(request)
    check_own(sweep.folder)
    output = request.output
    if output.dry_run:
        print_plan(console(), sweep)
        return 0
    out, data, start = writable(sweep.folder), sweep.data, sweep.network
    if start and start.network.frozen:
        data = embed(data, start, device=sweep.specs[0].device)
        start = None
    keep = extra_results(output.save_models, output.save_features)
    with lock(out):
        facts = describe(sweep.specs, list(arguments), out, request.options())
        write_atomically(out / "sweep.json", to_json(facts, indent=1))
        statuses = finished_statuses(out)
        for spec in sweep.specs:
            if statuses.get(spec.id) in COMPLETED:
                check_specification(out, spec.id, record_of(spec))
                continue
            seconds = request.resources.checkpoint_seconds
            outcome = run_recorded(spec, data, out, keep, seconds, start)
            reason = f": {outcome.error}" if outcome.error else ""
            echo(f"{spec.method} {spec.id} {outcome.status}{reason}", err=True)
    report = write_report([out], out, request.methods.reference, not output.no_plots)
    print_report(console(), report, output.details)
    print_place(console(), out, not output.no_plots)
    statuses = finished_statuses(out)
    return int(any(statuses.get(spec.id) not in COMPLETED for spec in sweep.specs))


def _refuse_ray(request: Request) -> None:
    """Raise InputError where an option needs Ray."""
    tuning, resources = request.tuning, request.resources
    options = {
        "--tune": tuning.tune,
        "--tune-seconds": tuning.tune_seconds,
        "--address": resources.address,
        "--storage": resources.storage,
        "--trial-timeout": resources.trial_timeout,
        "--track": request.output.track,
    }
    if given := [name for name, value in options.items() if value]:
        raise InputError(
            f"{given[0]} needs Ray, and this study runs without it: leave it out, or type the "
            "study's command with python -m bench.run"
        )
