"""Running of a planned sweep: progress, leaderboard, and a summary of what is missing."""

import sys

from rich.console import Console

from bench.cli.commands import writable
from bench.cli.plan import PlannedSweep, check_command
from bench.cli.progress import Display, duration, rate_of
from bench.cli.tables import print_place, print_report
from bench.cli.terminal import line
from bench.embedding import embed
from bench.planning.registry import display
from bench.records.trials import without_weights
from bench.records.writer import extra_results
from bench.report.writer import write_report
from bench.sweep.run import SweepResult, other_code, pending, run_sweep
from bench.sweep.work import Settings


def execute_sweep(sweep: PlannedSweep, console: Console) -> int:
    """Run the trials, write and print the leaderboard, and return the exit status."""
    check_command()
    out, output, specs = writable(sweep.folder), sweep.request.output, sweep.specs
    network, data = sweep.network, sweep.data
    on_cluster = sweep.resources.address is not None  # its workers embed the images
    retry_failed = sweep.request.resources.retry_failed
    work_left = sweep.tuning or pending(specs, out, retry_failed)
    if network and network.network.frozen and work_left and not on_cluster:
        data = embed(data, network, device=specs[0].device)
    rates = {spec.id: rate_of(spec) for spec in specs}
    with Display(console, rates, {spec.id: display(spec.method) for spec in specs}) as progress:
        result = run_sweep(
            specs,
            data,
            out,
            command=sys.argv[1:],
            options=sweep.request.options(),
            settings=Settings(
                resources=sweep.resources,
                keep=extra_results(output.save_models, output.save_features),
                retry_failed=retry_failed,
                checkpoint_seconds=sweep.request.resources.checkpoint_seconds,
                track=output.track or [],
            ),
            observer=progress,
            tuning=sweep.tuning,
            network=network,
        )
    line(console, _duration_of(result))
    report = write_report([out], out, sweep.request.methods.reference, not output.no_plots)
    print_report(console, report, output.details)
    print_place(console, out, not output.no_plots)
    for sentence in _remarks(sweep, result):
        line(console, sentence, wrap=True)
    return 1 if result.missing or result.failures else 0


def _duration_of(result: SweepResult) -> str:
    if not result.ran:
        return "nothing was missing: every trial is on record"
    text = f"{_trials(result.ran)} in {duration(result.wall_seconds)}"
    if result.overhead:
        text += f"; harness overhead {result.overhead:.2f} (wall time over work)"
    return text


def _remarks(sweep: PlannedSweep, result: SweepResult) -> list[str]:
    """Return sentences on trials that are missing, diverged, failed or differ from the others."""
    remarks, count = [], len(result.statuses)
    if result.missing:
        why = f" ({len(result.lost)} lost with a worker or machine)" if result.lost else ""
        verb = "is" if len(result.missing) == 1 else "are"
        remarks.append(
            f"{_trials(len(result.missing))} {verb} missing{why}: run the same command again"
        )
    if result.diverged:
        remarks.append(f"{len(result.diverged)} of {count} trials diverged: a result, at chance")
    if result.failures:
        names = f"{', '.join(result.failures[:5])}{' ...' if len(result.failures) > 5 else ''}"
        remarks.append(
            f"{len(result.failures)} of {count} trials failed; see trials/ID/done.json for "
            f"{names}; to run them again: the same command with --retry-failed"
        )
    specs = [*sweep.specs, *(sweep.tuning.trials if sweep.tuning else [])]
    if made_otherwise := other_code(specs, sweep.folder):
        remarks.append(made_otherwise)
    if sweep.request.output.save_models and (
        bare := without_weights(sweep.folder, result.statuses)
    ):
        remarks.append(f"{bare} trials were run without --save-models: their weights were not kept")
    return remarks


def _trials(count: int) -> str:
    return f"{count} trial{'s' * (count != 1)}"
