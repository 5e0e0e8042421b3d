"""CUDA graphs of training steps; without a GPU, a stand-in repeats the recorded step."""

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from bench.datasets import load_dataset
from bench.planning.registry import load_method, method_names
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.sessions import Session, dataset_for, specification
from bench.training import graphs
from bench.training.graphs import GraphedSteps, steps_of, tensors
from bench.training.trial import run_trial

TINY = Case("tiny", "tiny_cnn", 8, 1)
STATIC = [name for name in method_names() if load_method(name).static_step] + ["softmix"]


def session(name: str) -> Session:
    """Return a session before its fourth epoch of 10: nine steps of 32 samples, one of 12."""
    data = dataset_for(TINY, 300)
    return Session(specification(TINY, data, name, Settings(), epochs=10, batch_size=32), data, 3)


@pytest.fixture
def recorded(monkeypatch):
    """Recorded graphs, where a stand-in replaces the GPU."""
    made = []

    class Graph:
        steps: GraphedSteps
        replays = 0

        def __init__(self) -> None:
            made.append(self)

        def replay(self) -> None:
            counts = [(net.samples_trained, net.samples_inferred) for net in self.steps.networks]
            self.steps.loss.copy_(self.steps.method.update(self.steps.batch, self.steps.optimizer))
            for net, count in zip(self.steps.networks, counts, strict=True):
                net.samples_trained, net.samples_inferred = count
            self.replays += 1

    @contextmanager
    def recording(graph):
        """Recording computes nothing."""
        method, optimizer = graph.steps.method, graph.steps.optimizer
        before = copy.deepcopy((method.state_dict(), optimizer.state_dict()))
        yield
        method.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])

    class Steps(GraphedSteps):
        def record(self, batch) -> None:
            Graph.steps = self
            super().record(batch)

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "CUDAGraph": Graph,
        "graph": recording,
        "Stream": lambda: stream,
        "stream": lambda s: nullcontext(),
        "current_stream": lambda: stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(graphs, "GraphedSteps", Steps)
    monkeypatch.setattr(
        "bench.training.loop.steps_of",
        lambda *arguments: steps_of(*arguments[:3], "cuda", arguments[4]),
    )
    return made


@pytest.mark.parametrize("name", STATIC)
def test_an_epoch_of_replays_is_the_epoch(name, recorded):
    prepared = session(name)
    expected = prepared.again()
    after = copy.deepcopy(prepared.method.state_dict())
    prepared.run.spec = replace(prepared.run.spec, graphs=True)
    found = prepared.again()
    [graph] = recorded
    assert graph.replays == 8, "the first and the smaller last one are ordinary"
    for key in ("train_loss", "samples_trained", "samples_inferred"):
        assert found[key] == expected[key], key
    for key, value in prepared.method.state_dict().items():
        assert torch.equal(value, after[key]), key


@pytest.mark.parametrize("name", STATIC)
def test_a_static_step_draws_nothing_and_replaces_nothing(name):
    prepared = session(name)
    prepared.rewind()
    method, task = prepared.method, prepared.method.task
    method.epoch_start()
    assert method.static_step
    batches = list(method.batches())
    before = task.generator.get_state(), task.rng.bit_generator.state, torch.get_rng_state()
    places = {key: value.data_ptr() for key, value in method.state_dict().items()}
    for batch in batches[:2]:
        method.update(batch, prepared.optimizer)
    assert task.rng.bit_generator.state == before[1]
    assert torch.equal(task.generator.get_state(), before[0]) and torch.equal(
        torch.get_rng_state(), before[2]
    )
    assert {key: value.data_ptr() for key, value in method.state_dict().items()} == places


@pytest.mark.parametrize(
    ("asked", "device", "static", "optimizer", "graphed"),
    [
        (True, "cuda", True, torch.optim.SGD, True),
        (False, "cuda", True, torch.optim.SGD, False),
        (True, "cpu", True, torch.optim.SGD, False),
        (True, "cuda", False, torch.optim.SGD, False),
        (True, "cuda", True, torch.optim.Adam, False),
    ],
)
def test_graphs_are_taken_where_they_are_asked_for_and_possible(
    recorded, monkeypatch, asked, device, static, optimizer, graphed
):
    # is read when trials are planned, and not by a worker
    monkeypatch.setenv("LNL_BENCH_GRAPHS", "0" if asked else "1")
    method = SimpleNamespace(static_step=static, update=lambda batch, optimizer: torch.zeros(()))
    step = steps_of(method, optimizer([torch.zeros(1, requires_grad=True)]), [], device, asked)
    assert isinstance(step, GraphedSteps) == graphed
    assert step(None) == 0, "what is no Batch is an ordinary step in any case"


def test_random_partners_are_no_static_step():
    """In its mixup phase, softmix draws a partner for every sample."""
    data = dataset_for(TINY, 100)
    late = {"softmix.correction_start": 200}
    prepared = Session(specification(TINY, data, "softmix", Settings(), late, epochs=10), data, 4)
    prepared.rewind()
    prepared.method.epoch_start()
    assert not prepared.method.static_step


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", STATIC)
def test_graphs_change_no_record(name, precision, monkeypatch):
    data = load_dataset("digits", subset=320)
    plan = Plan(
        subset=320,
        overrides=(("epochs", 5), ("batch_size", 32)),
        device="cuda",
        precision=precision,
    )
    [spec] = plan.specs(data, expand_hparams([name], {}, {}), [0.4], [0])

    def records(spec: TrialSpec) -> list[dict]:
        epochs: list[dict] = []
        outcome = run_trial(
            spec, data, report=lambda new, _: epochs.extend(map(Epoch.to_json, new))
        )
        assert outcome.status == "finished", outcome
        return epochs

    plain = records(spec)
    replays, replay = [], torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(1), replay(graph))[1]
    )
    for expected, found in zip(plain, records(replace(spec, graphs=True)), strict=True):
        assert found["train_loss"] == pytest.approx(expected["train_loss"], abs=0.02)
        assert found["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.03)
        for key in ("samples_trained", "samples_inferred"):
            assert found[key] == expected[key]
    assert replays


def test_all_of_a_batch_is_copied():
    prepared = session("ce")
    batch = next(iter(prepared.method.batches()))
    assert [tensor.shape[0] for tensor in tensors(batch)] == [32, 32, 32]
