"""On a GPU: the records of the CPU, memory that is given back, no waiting within an epoch. Most of it needs one to run."""

import gc
import json

import pytest
import torch
from test_golden_records import TOLERANCES

from bench.datasets import Dataset, load_dataset
from bench.registry import method_names
from bench.spec import Plan, TrialSpec, expand_hparams
from bench.speed import together
from bench.speed.__main__ import main
from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.sessions import Session, dataset_for
from bench.speed.sessions import specification as timed
from bench.trial import pretrain_job, run_pretraining, run_trial

METHODS = [name for name in method_names() if not name.startswith("_")]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits", subset=320)


def moved(draw):
    """Draws on the CPU; what it gives goes where it was asked for."""

    def call(*arguments, device=None, **keywords):
        drawn = draw(*arguments, device="cpu", **keywords)
        return drawn if device is None else drawn.to(device)

    return call


@pytest.fixture
def draws_on_the_cpu(monkeypatch):
    """Generators give other numbers on another device: what is drawn comes from the CPU's, wherever it goes."""
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator("cpu"))
    for name in ("rand", "randn", "randint", "randperm"):
        monkeypatch.setattr(torch, name, moved(getattr(torch, name)))


def trial(name: str, data: Dataset, device: str, epochs: int = 1) -> list[dict]:
    plan = Plan(subset=320, overrides=(("epochs", epochs),), device=device)
    settings = {"rmd.pretrain_epochs": ["2"]} if name == "rmd" else {}
    [spec] = plan.specs(data, expand_hparams([name], {}, settings), [0.4], [0])
    job = pretrain_job(spec)
    encoder = run_pretraining(job, data) if job else None
    records: list[dict] = []
    outcome = run_trial(spec, data, encoder=encoder, report=lambda new, _: records.extend(new))
    assert outcome.facts["status"] == "finished", outcome.facts
    return records


def timeless(records: list[dict]) -> list[dict]:
    return [{key: value for key, value in epoch.items() if not key.endswith("_seconds")} for epoch in records]


def test_draws_on_the_cpu_are_those_of_a_trial_there(data, request):
    """Needs no GPU: a check of the fixture itself, with a method that draws of every kind."""
    expected = timeless(trial("divide_mix", data, "cpu"))
    request.getfixturevalue("draws_on_the_cpu")
    assert timeless(trial("divide_mix", data, "cpu")) == expected


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_an_epoch_gives_the_record_of_the_cpu(name, data, draws_on_the_cpu):
    """The first: later ones multiply what rounding does. What a main phase computes is held by the test below."""
    [expected], [found] = trial(name, data, "cpu"), trial(name, data, "cuda")
    for key, tolerance in TOLERANCES.items():
        assert found[key] == pytest.approx(expected[key], abs=tolerance), key
    for key in ("samples_trained", "samples_inferred"):
        assert found[key] == pytest.approx(expected[key], rel=0.02), key


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_its_main_phase_learns_as_much_as_on_the_cpu(name, data, draws_on_the_cpu):
    """By the fifth epoch warm-ups are over: mixtures, neighbours and guessed labels are at work."""
    expected, found = trial(name, data, "cpu", epochs=5)[-1], trial(name, data, "cuda", epochs=5)[-1]
    assert found["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.15)
    assert found["samples_trained"] == pytest.approx(expected["samples_trained"], rel=0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_a_trial_gives_its_memory_back(name, data):
    trial("ce", data, "cuda")  # what libraries keep for good
    gc.collect()
    before = torch.cuda.memory_allocated()
    trial(name, data, "cuda", epochs=2)
    gc.collect()
    assert torch.cuda.memory_allocated() == before


def session(name: str) -> Session:
    case = Case("tiny", "tiny_cnn", 8, 1)
    images = dataset_for(case, 512)
    spec: TrialSpec = timed(case, images, name, Settings(device="cuda"), {}, epochs=5)
    return Session(spec, images, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ce", "elr", "gce", "mixup", "sce", "softmix"])
def test_no_step_waits_for_the_device(name):
    """After what an epoch begins with, which may read a mixture's bound."""
    prepared = session(name)
    prepared.rewind()
    prepared.method.epoch_start()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in prepared.method.batches():
            prepared.method.update(batch, prepared.optimizer)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.slow
def test_steps_are_measured_in_every_form(tmp_path):
    file = tmp_path / "speed.json"
    with pytest.raises(SystemExit) as end:
        main(["step", "--device", "cuda", "--repeats", "1", "--json", str(file)])
    assert not end.value.code
    rows = json.loads(file.read_text())
    assert {row["network"] for row in rows} == {f"{net}, batch {b}" for net in ("resnet18", "resnet34") for b in (128, 512)}
    assert sum("graphed" in row["name"] for row in rows) == 4


@pytest.mark.gpu
@pytest.mark.slow
def test_trials_are_measured_side_by_side(monkeypatch):
    monkeypatch.setattr(together, "CASES", {"cuda": (Case("resnet18, batch 128", "resnet18", 32, 3),)})
    rows = together.together(Settings(repeats=1, device="cuda"))
    assert [row.name for row in rows] == [f"{n} at a time, bf16" for n in ("1 trial", "2 trials", "4 trials")]
    assert all(row.share is not None and 0 < row.share < 1 for row in rows)
