"""Searches without training: their trials end with records that a test computes by hand."""

from bench.planning.spec import Plan, Seeds, TrialSpec, expand_hparams, record_of
from bench.records.schema import Done, Epoch
from bench.records.writer import TrialWriter
from bench.sweep.stopping import TuneStopper
from bench.tuning.plan import plan_tuning
from bench.tuning.search import Settings

EPOCHS = 8
PLAN = Plan(subset=200, overrides=(("epochs", EPOCHS),))


def make(data, *methods: str, rates=(0.5,), seeds=(0, 1), fixed=None, **settings):
    settings = Settings(**({"configurations": 3} | settings))
    given = {key: [value] for key, value in (fixed or {}).items()}
    configurations = expand_hparams(methods, {}, given)
    return plan_tuning(
        PLAN, data, configurations, set(given), rates, Seeds(seeds), settings, TuneStopper
    )


def curve(*values: float, seconds: float = 1.0) -> list[Epoch]:
    return [
        Epoch(
            epoch=epoch,
            noisy_val_accuracy=value,
            test_accuracy=1 - value,
            train_seconds=seconds,
        )
        for epoch, value in enumerate(values)
    ]


def finish(
    tuning, spec: TrialSpec, value: float, status: str = "finished", seconds: float = 1.0
) -> None:
    tuning.end(spec, Done(status=status), curve(*[value] * EPOCHS, seconds=seconds))


def drain(tuning, value=lambda spec: 0.5, **facts) -> list[TrialSpec]:
    """Run all of the searches' trials, one after another."""
    ran = []
    while spec := tuning.next():
        finish(tuning, spec, value(spec), **facts)
        ran.append(spec)
    return ran


def write(out, spec: TrialSpec, values, status: str | None = "finished") -> None:
    writer = TrialWriter(out, spec.id, record_of(spec))
    writer.restart(curve(*values))
    if status:
        writer.finish(Done(status=status, epochs=len(values)))
