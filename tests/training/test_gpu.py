"""Trials on a GPU: records as on a CPU, returned memory, no waits within an epoch.

Most of these tests need a GPU.
"""

import gc
import json
import warnings

import pytest
import torch
from golden_records import TOLERANCES
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from bench.datasets import Dataset, load_dataset
from bench.networks import auto_augment
from bench.planning.pretraining import pretrain_job
from bench.planning.registry import method_names
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.speed.__main__ import main
from bench.speed.measure import Settings
from bench.speed.networks import Case
from bench.speed.sessions import Session, dataset_for
from bench.speed.sessions import specification as timed
from bench.training.pretrain import run_pretraining
from bench.training.trial import run_trial

METHODS = [name for name in method_names() if not name.startswith("_")]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits", subset=320)


def moved(draw):
    """Return a draw on the CPU, whose result moves to the requested device."""

    def call(*arguments, device=None, **keywords):
        drawn = draw(*arguments, device="cpu", **keywords)
        return drawn if device is None else drawn.to(device)

    return call


@pytest.fixture
def draws_on_the_cpu(monkeypatch):
    """Draw all random numbers on the CPU: each device's generator gives other numbers."""
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator("cpu"))
    for name in ("rand", "randn", "randint", "randperm"):
        monkeypatch.setattr(torch, name, moved(getattr(torch, name)))


def trial(
    name: str, data: Dataset, device: str, epochs: int = 1, precision: str = "fp32"
) -> list[dict]:
    plan = Plan(subset=320, overrides=(("epochs", epochs),), device=device, precision=precision)
    settings = {"rmd.pretrain_epochs": ["2"]} if name == "rmd" else {}
    [spec] = plan.specs(data, expand_hparams([name], {}, settings), [0.4], [0])
    job = pretrain_job(spec)
    encoder = run_pretraining(job, data) if job else None
    records: list[dict] = []
    outcome = run_trial(
        spec, data, encoder=encoder, report=lambda new, _: records.extend(map(Epoch.to_json, new))
    )
    assert outcome.status == "finished", outcome
    return records


def timeless(records: list[dict]) -> list[dict]:
    return [
        {key: value for key, value in epoch.items() if not key.endswith("_seconds")}
        for epoch in records
    ]


def test_draws_on_the_cpu_are_those_of_a_trial_there(data, request):
    """Check the fixture, without a GPU, by a method that draws in every way."""
    expected = timeless(trial("divide_mix", data, "cpu"))
    request.getfixturevalue("draws_on_the_cpu")
    assert timeless(trial("divide_mix", data, "cpu")) == expected


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_an_epoch_gives_the_record_of_the_cpu(name, data, draws_on_the_cpu):
    """Compare first epochs: rounding grows in later ones, whose phase the next test holds."""
    [expected], [found] = trial(name, data, "cpu"), trial(name, data, "cuda")
    for key, tolerance in TOLERANCES.items():
        assert found[key] == pytest.approx(expected[key], abs=tolerance), key
    for key in ("samples_trained", "samples_inferred"):
        assert found[key] == pytest.approx(expected[key], rel=0.02), key


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_its_main_phase_learns_as_much_as_on_the_cpu(name, data, draws_on_the_cpu):
    """Train five epochs, to the phase of mixtures, neighbours and guessed labels."""
    expected, found = (
        trial(name, data, "cpu", epochs=5)[-1],
        trial(name, data, "cuda", epochs=5)[-1],
    )
    assert found["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.15)
    assert found["samples_trained"] == pytest.approx(expected["samples_trained"], rel=0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_in_bfloat16_too(name, data, draws_on_the_cpu):
    """Train in the default precision of a GPU."""
    expected, found = (
        trial(name, data, "cpu", epochs=5)[-1],
        trial(name, data, "cuda", epochs=5, precision="bf16")[-1],
    )
    assert found["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.15)
    assert found["samples_trained"] == pytest.approx(expected["samples_trained"], rel=0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_a_trial_gives_its_memory_back(name, data):
    trial(name, data, "cuda", epochs=2)  # what libraries keep for good, and tables of numbers
    gc.collect()
    before = torch.cuda.memory_allocated()
    trial(name, data, "cuda", epochs=2)
    gc.collect()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.gpu
def test_a_failed_trial_gives_its_memory_back(data, monkeypatch):
    """Include memory that the allocator reserves, which no other process could use."""
    trial("ce", data, "cuda")
    before = torch.cuda.memory_reserved()
    kept = []

    def too_much(self, *_):
        kept.append(torch.empty(1 << 28, device="cuda"))
        held = kept.pop()
        raise torch.OutOfMemoryError(f"{len(held)} are too many")

    monkeypatch.setattr("bench.training.loop.Run.train", too_much)
    with pytest.raises(AssertionError, match="out of memory"):
        trial("ce", data, "cuda")
    assert torch.cuda.memory_reserved() <= before + (2 << 20)


def session(name: str, device: str, number: int, batch_size: int) -> Session:
    case = Case("tiny", "tiny_cnn", 8, 3)  # what changes colours is at work, too
    images = dataset_for(case, number)
    spec: TrialSpec = timed(
        case, images, name, Settings(device=device), epochs=5, batch_size=batch_size
    )
    job = pretrain_job(spec)
    return Session(spec, images, 3, run_pretraining(job, images) if job else None)


class Questions(TorchDispatchMode):
    """Record of operations that would wait for a GPU.

    Their results have a size or value that the host needs, or are made of its numbers. Copies by
    ``to`` are missing: on a CPU there are none.
    """

    OPERATIONS = frozenset(
        "_local_scalar_dense nonzero is_nonzero equal masked_select bincount _unique2 unique_dim "
        "unique_consecutive".split()
    )

    def __init__(self, monkeypatch) -> None:
        super().__init__()
        self.asked: list[str] = []
        for name in ("tensor", "as_tensor"):
            monkeypatch.setattr(torch, name, self.noting(getattr(torch, name)))
        for name in ("new_tensor", "tolist", "cpu"):
            monkeypatch.setattr(torch.Tensor, name, self.noting(getattr(torch.Tensor, name)))
        monkeypatch.setattr(functional, "one_hot", self.checks_on_a_cpu(functional.one_hot))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        indices = (
            args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        )
        masked = any(index is not None and index.dtype == torch.bool for index in indices)
        unsized = name == "repeat_interleave" and "output_size" not in (kwargs or {})
        if masked or unsized or name in self.OPERATIONS:
            self.asked.append(name)
        return func(*args, **(kwargs or {}))

    def noting(self, call):
        def wrapped(*args, **kwargs):
            self.asked.append(call.__name__)
            return call(*args, **kwargs)

        return wrapped

    def checks_on_a_cpu(self, call):
        """The range of classes; a GPU only asks how many there are, where nobody says."""

        def wrapped(tensor, num_classes=-1):
            before = len(self.asked)
            result = call(tensor, num_classes)
            if num_classes > 0:
                del self.asked[before:]
            return result

        return wrapped


#: Questions among an epoch's batches: the samples are divided, once for each network, and the host
#: has to know their number.
DIVIDES = {
    "crossfit": 5,
    "disc": 1,
    "divide_mix": 2 * 2,
    "pes": 1,
    "pes_semi": 2,
    "prune": 1,
    "simifeat": 1,
    "unicon": 2 * 5,
}

#: Questions in a step of methods that divide each batch by their predictions of it: the host has to
#: know how many of its samples pass once more.
DECIDES = {"promix": 1}


@pytest.mark.parametrize("name", METHODS)
def test_no_step_asks_for_a_value_or_a_size(name, monkeypatch):
    """Watch the operations, without a GPU: the start of an epoch may wait, a step may not."""
    prepared = session(name, "cpu", 160, 40)
    prepared.rewind()
    prepared.method.epoch_start()
    questions = Questions(monkeypatch)
    # The same code path as on a GPU.
    monkeypatch.setattr(auto_augment, "operate_in_groups", auto_augment.operate_on_all)
    batches, steps = [], []
    number = 0
    with questions:
        for batch in prepared.method.batches():
            batches += questions.asked
            questions.asked.clear()
            prepared.method.update(batch, prepared.optimizer)
            steps += questions.asked
            questions.asked.clear()
            number += 1
    assert len(steps) <= DECIDES.get(name, 0) * number, steps
    assert len(batches) <= DIVIDES.get(name, 0), batches


@pytest.mark.parametrize(
    ("wait", "asked"),
    [
        (lambda x: x[x > 0], "index"),
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: x.tolist(), "tolist"),
        (lambda x: functional.one_hot(x.long()), "_local_scalar_dense"),
        (lambda x: torch.where(x > 0)[0], "nonzero"),
        (lambda x: x.masked_fill(torch.tensor([True, False]), 0), "tensor"),
        (lambda x: x.repeat_interleave(x.long()), "repeat_interleave"),
    ],
)
def test_such_a_question_is_noticed(wait, asked, monkeypatch):
    x = torch.tensor([1.0, 2.0])
    with Questions(monkeypatch) as questions:
        functional.one_hot(x.long(), 3)
        x.index_select(0, x.long() - 1)
        assert not questions.asked
        wait(x)
    assert asked in questions.asked


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(set(METHODS) - DIVIDES.keys() - DECIDES.keys()))
def test_no_step_waits_for_the_device(name):
    """Leave out the start of the epoch, which may read the bound of a mixture."""
    prepared = session(name, "cuda", 512, 16)
    prepared.rewind()
    prepared.method.epoch_start()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in prepared.method.batches():
            prepared.method.update(batch, prepared.optimizer)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("name", DIVIDES)
def test_an_epoch_that_divides_waits_for_that_alone(name):
    """It waits fewer times than it has batches, and never in a step."""
    prepared = session(name, "cuda", 512, 16)
    prepared.rewind()
    prepared.method.epoch_start()
    steps = 0
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            for batch in prepared.method.batches():
                torch.cuda.set_sync_debug_mode("error")
                prepared.method.update(batch, prepared.optimizer)
                torch.cuda.set_sync_debug_mode("warn")
                steps += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert 0 < len(waits) < steps, [str(wait.message) for wait in waits]


@pytest.mark.gpu
@pytest.mark.slow
def test_steps_are_measured_in_every_form(tmp_path):
    """The graph must train the network as single steps do, or there would be no rows."""
    file = tmp_path / "speed.json"
    with pytest.raises(SystemExit) as end:
        main(["step", "--device", "cuda", "--repeats", "1", "--json", str(file)])
    assert not end.value.code
    rows = json.loads(file.read_text())
    assert {row["network"] for row in rows} == {
        f"{net}, batch {b}" for net in ("resnet18", "resnet34") for b in (128, 512)
    }
    assert sum("graphed" in row["name"] for row in rows) == 4
