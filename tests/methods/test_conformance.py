"""Conformance of every method, and of every wrapper on every base.

A new method is found and tested without being named here.
"""

import dataclasses
import pkgutil
import shutil
import typing
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import optuna
import pytest
import torch
from fabricate import timeless
from method_specs import BASES, NAMES, RATE, SEED, SPECS, WRAPPERS, spec_of

import methods
import search_spaces
from bench.datasets import Dataset, load_dataset
from bench.errors import InputError
from bench.planning import registry
from bench.planning.labels import Labels
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import Plan, TrialSpec, expand_hparams, method_for
from bench.records.schema import Epoch
from bench.task import stream_seed
from bench.training.checkpoint import Checkpoint
from bench.training.outcome import Outcome
from bench.training.pixels import pixels_for
from bench.training.pretrain import run_pretraining
from bench.training.trial import run_trial
from bench.tuning.domains import suggest
from bench.tuning.spaces import space_of

#: Seeds of a generator that would give it away.
TELLING = {
    SEED,
    *(
        stream_seed(SEED, *rest)
        for rest in ((), (0,), (1,), *((e, s) for e in range(3) for s in (0, 1, 2000)))
    ),
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Digits in the order of their classes, as folders of images come.

    Positions in the set then tell the truth.
    """
    digits = load_dataset("digits", subset=160)
    training, test = (
        np.argsort(labels, kind="stable") for labels in (digits.train_labels, digits.test_labels)
    )
    return dataclasses.replace(
        digits,
        train_images=digits.train_images[training],
        train_labels=digits.train_labels[training],
        test_images=digits.test_images[test],
        test_labels=digits.test_labels[test],
    )


@pytest.fixture(scope="module")
def encoders(data):
    """Encoders by key, each trained once for all tests here."""
    trained = {}

    def get(spec: TrialSpec):
        job = pretrain_job(spec)
        if job is None:
            return None
        if job.key not in trained:
            trained[job.key] = run_pretraining(job, data)
        return trained[job.key]

    return get


def undisturbed(
    spec: TrialSpec, data: Dataset, encoders, checkpoint: Checkpoint | None = None
) -> tuple[list[dict], Outcome]:
    """Run a trial to its end; its checkpoint before the last epoch stays, as .copy."""
    records: list[dict] = []

    def collect(epochs, restart):
        records.extend(map(Epoch.to_json, epochs))
        if checkpoint and epochs and epochs[-1].epoch == spec.recipe.epochs - 1:
            shutil.copy(checkpoint.path, f"{checkpoint.path}.copy")

    outcome = run_trial(spec, data, encoder=encoders(spec), report=collect, checkpoint=checkpoint)
    assert outcome.status == "finished", outcome.traceback
    return records, outcome


@pytest.mark.parametrize("name", SPECS)
def test_learns_evaluates_and_resumes_to_the_bit(name, data, encoders, tmp_path):
    spec = spec_of(name, data)
    path = tmp_path / "state.pt"
    records, outcome = undisturbed(spec, data, encoders, Checkpoint(path, every_seconds=0))

    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert all(np.isfinite(record["train_loss"]) for record in records)
    assert all(record["samples_trained"] > 0 for record in records)
    for part in ("validation_probabilities", "test_probabilities"):
        probabilities = outcome.samples[part].astype(np.float32)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=5e-3)  # stored as halves
    clean = outcome.samples.get("clean_probability")
    assert clean is None or (clean.shape == (144,) and clean.min() >= 0 and clean.max() <= 1)
    targets = outcome.samples.get("soft_targets")
    assert targets is None or targets.shape == (144, 10)

    resumed: list[dict] = []
    starts: list[int] = []

    def collect(epochs, restart):
        if restart:
            starts.append(len(epochs))
            resumed.clear()
        resumed.extend(map(Epoch.to_json, epochs))

    # Random states left behind by whatever ran before must not matter.
    torch.manual_seed(99)
    np.random.seed(99)
    checkpoint = Checkpoint(Path(f"{path}.copy"), every_seconds=0)
    again = run_trial(spec, data, encoder=encoders(spec), report=collect, checkpoint=checkpoint)
    assert starts == [2], "it did not go on from the checkpoint"
    assert [timeless(record) for record in resumed] == [timeless(record) for record in records]
    assert timeless(msgspec.to_builtins(again.done())) == timeless(
        msgspec.to_builtins(outcome.done())
    )
    assert again.samples.keys() == outcome.samples.keys()
    for key, value in outcome.samples.items():
        np.testing.assert_array_equal(again.samples[key], value, err_msg=key)


IDENTITY = '''
"""Changes nothing, but draws from its own random streams."""
import torch
from bench.method import Wrapper

class Identity(Wrapper):
    def setup(self, task):
        self.unused = torch.nn.Linear(3, 3)
    def batches(self):
        for batch in self.base.batches():
            next(self.task.loader())
            self.task.rng.random()
            torch.randn(3, generator=self.task.generator)
            yield batch
'''


@pytest.mark.parametrize("base", BASES)
def test_an_identity_wrapper_changes_nothing_to_the_bit(
    base, data, encoders, tmp_path, monkeypatch
):
    (tmp_path / "identity.py").write_text(IDENTITY)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    records, outcome = undisturbed(spec_of(base, data, epochs=2), data, encoders)
    wrapped_records, wrapped = undisturbed(
        spec_of(f"identity+{base}", data, epochs=2), data, encoders
    )
    assert [timeless(record) for record in wrapped_records] == [
        timeless(record) for record in records
    ]
    for key, value in outcome.samples.items():
        np.testing.assert_array_equal(wrapped.samples[key], value, err_msg=key)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_trains_the_host_on_the_batches_that_it_sees_alone(
    name, data, encoders, monkeypatch
):
    indices: dict[str, list[torch.Tensor]] = {"ce": [], f"{name}+ce": []}
    cls = registry.load_method("ce")
    original = cls.loss
    for method in indices:
        monkeypatch.setattr(
            cls,
            "loss",
            lambda self, batch, m=method: indices[m].append(batch.index) or original(self, batch),
        )
        undisturbed(spec_of(method, data, epochs=1), data, encoders)
    alone, wrapped = indices.values()
    assert len(alone) == len(wrapped) > 0
    assert all(torch.equal(a, b) for a, b in zip(alone, wrapped, strict=True))


def reachable(root) -> typing.Iterator[object]:
    """Everything that code holding ``root`` could get at without importing or reading files."""
    visited: set[int] = set()
    stack = [root]
    while stack:
        item = stack.pop()
        if id(item) in visited or isinstance(item, type) or type(item).__name__ == "module":
            continue
        visited.add(id(item))
        yield item
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            stack += item
        if hasattr(item, "__closure__") and item.__closure__:
            stack += [cell.cell_contents for cell in item.__closure__]
        if hasattr(item, "__self__"):
            stack.append(item.__self__)
        if hasattr(item, "func"):  # functools.partial
            stack += [item.func, *item.args, *item.keywords.values()]
        if isinstance(getattr(item, "__dict__", None), dict):
            stack.append(item.__dict__)


def leaks(root, data: Dataset, labels: Labels) -> list[str]:
    """Which secrets can be reached from ``root``."""
    clean, test = data.train_labels, data.test_images
    secrets: dict[str, list[np.ndarray]] = {
        "clean labels": [
            clean,
            clean[labels.train],
            clean[labels.validation],
            labels.noisy != clean,
        ],
        "noisy validation labels": [labels.noisy, labels.noisy[labels.validation]],
        "test labels": [data.test_labels],
        "test images": [test],
    }
    held = [value for value in vars(data).values() if isinstance(value, np.ndarray)]
    reached = []
    for item in reachable(root):
        if type(item) is int and item == SEED:
            reached.append("seed")
        if isinstance(item, torch.Generator) and item.initial_seed() in TELLING:
            reached.append("seed of a generator")
        if isinstance(item, float) and abs(item - RATE) < 1e-9:
            reached.append("noise rate")
        if isinstance(item, str) and item == "symmetric":
            reached.append("noise kind")
        if isinstance(item, torch.Tensor | np.ndarray):
            array = item.detach().cpu().numpy() if isinstance(item, torch.Tensor) else item
            if array.flags.writeable and any(np.may_share_memory(array, values) for values in held):
                reached.append("memory of the data set")
            if array.shape == labels.train.shape and np.array_equal(np.sort(array), labels.train):
                reached.append("positions in the data set")
            reached += [
                name
                for name, values in secrets.items()
                for value in values
                if array.shape == value.shape
                and np.array_equal(array.astype(np.float64), value.astype(np.float64))
            ]
    return reached


def kept_test_images(root, data: Dataset, spec: TrialSpec) -> int:
    """Count the images given to ``predict`` that can be reached from ``root``."""
    test = pixels_for(data, spec, data.test_images)(
        torch.arange(len(data.test_labels))
    ).contiguous()
    given = {image.tobytes() for image in test.numpy()}
    held = [
        item
        for item in reachable(root)
        if isinstance(item, torch.Tensor) and item.shape[1:] == test.shape[1:]
    ]
    images = [
        image
        for item in held
        if item.is_floating_point()
        for image in item.detach().float().contiguous().numpy()
    ]
    return len(given & {image.tobytes() for image in images})


@pytest.mark.parametrize("name", SPECS)
def test_a_method_reaches_neither_the_truth_nor_the_test_data(name, data, encoders, monkeypatch):
    """Looked for from inside a running trial, in all that hangs on the method and its task."""
    spec = spec_of(name, data, epochs=1)
    labels = Labels.of(spec, data)
    results: list[list[str]] = []
    method: list[torch.nn.Module] = []
    outermost = registry.load_method(name.split("+")[0])  # from a wrapper its base is in reach
    original = outermost.loss
    given: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spy(self, batch):
        if not results:
            method.append(self)
            results.append(
                leaks(self, data, labels)
                + leaks(self.task, data, labels)
                + leaks(batch, data, labels)
            )
            given.extend(
                (lent, lent.clone()) for lent in (self.task.noisy_labels, self.task._pixels.images)
            )
        return original(self, batch)

    monkeypatch.setattr(outermost, "loss", spy)
    undisturbed(spec, data, encoders)
    assert results == [[]]
    assert leaks(method[0], data, labels) == [], "after evaluation"
    assert kept_test_images(method[0], data, spec) == 0
    assert all(torch.equal(now, before) for now, before in given), (
        "labels and images are there to be read"
    )
    y = given[0][0]
    assert (y[1:] == y[:-1]).float().mean() < 0.2, "neighbours in number are no neighbours in class"


def test_the_search_for_leaks_finds_what_is_hidden(data):
    labels = Labels.of(spec_of("ce", data), data)

    class Thing:
        pass

    def hide():
        secret = data.train_labels.copy()
        return lambda: secret

    thing = Thing()
    thing.inner = {"deep": [(hide(), torch.from_numpy(data.test_images), RATE)]}
    expected = {"clean labels", "test images", "noise rate", "memory of the data set"}
    assert set(leaks(thing, data, labels)) == expected
    thing.inner = [
        SEED,
        torch.Generator().manual_seed(stream_seed(SEED, 2, 0)),
        labels.train[::-1].copy(),
    ]
    assert leaks(thing, data, labels) == [
        "positions in the data set",
        "seed of a generator",
        "seed",
    ]
    spec = spec_of("ce", data)
    thing.inner = [
        pixels_for(data, spec, data.test_images)(torch.arange(3)),
        pixels_for(data, spec)(torch.arange(3)),
    ]
    assert kept_test_images(thing, data, spec) == 3 and leaks(thing, data, labels) == []
    thing.inner = np.split(data.train_images, 2)
    assert set(leaks(thing, data, labels)) == {"memory of the data set"}
    assert leaks(Thing(), data, labels) == []


@pytest.mark.parametrize("name", NAMES)
def test_search_space_agrees_with_the_hyper_parameters(name):
    """Draws have the declared types, ranges are reached, and defaults lie inside."""
    defaults = registry.resolve(name, {})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    go_through = space_of(name, {})
    for _ in range(50):
        ask = study.ask()
        drawn = go_through(partial(suggest, ask))
        for key, distribution in ask.distributions.items():
            # Raises where the default is outside.
            optuna.trial.create_trial(
                value=0.0, params={key: defaults[key]}, distributions={key: distribution}
            )
        assert registry.resolve(name, drawn) == {**defaults, **drawn}
        assert all(
            type(registry.resolve(name, drawn)[key]) is type(value) for key, value in drawn.items()
        )
        registry.build(name, drawn)


def test_every_method_has_a_search_space_of_its_own():
    spaces = {module.name for module in pkgutil.iter_modules(search_spaces.__path__)}
    assert spaces >= {module.name for module in pkgutil.iter_modules(methods.__path__)}


@pytest.mark.parametrize("name", NAMES)
def test_hyper_parameters_and_names_are_fit_for_a_command_line(name):
    cls = registry.load_method(name)
    for field in dataclasses.fields(cls.HParams):
        assert field.default is not dataclasses.MISSING, "every hyper-parameter has a default"
        hint = typing.get_type_hints(cls.HParams)[field.name]
        assert registry.convert(field.name, str(field.default), hint) == field.default
    assert set(cls.axes.values()) <= {field.name for field in dataclasses.fields(cls.HParams)}
    assert registry.summary(name)
    assert min(cls.passes) >= 0


@pytest.mark.parametrize("name", SPECS)
def test_a_papers_recipe_is_stated_whole_and_trained_with(name, data):
    """Planned as in a sweep, which refuses a part of a recipe.

    A method that states none has the data set's.
    """
    stated = registry.load_method(name.split("+")[-1]).paper
    [spec] = Plan(recipe="paper").specs(data, expand_hparams([name], {}, {}), [0.2], [0])
    assert {key: getattr(spec.recipe, key) for key in stated} == stated
    assert spec.recipe.rate_factor(0) > 0


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_states_no_recipe(name):
    assert not registry.load_method(name).paper, "its base's is the one that counts"


def test_a_wrapper_that_adds_a_loss_refuses_a_base_that_takes_its_own_steps(tmp_path, monkeypatch):
    (tmp_path / "own_steps.py").write_text(
        '"""Takes its own steps."""\nfrom bench.method import Method\n'
        "class OwnSteps(Method):\n    def update(self, batch, optimizer):\n        raise "
        "NotImplementedError\n"
    )
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    with pytest.raises(InputError, match="own_steps takes its own steps"):
        registry.build("rmd+own_steps", {})


def test_a_privilege_that_is_not_declared_cannot_be_read(data):
    spec = spec_of("co_teaching", data)
    told = spec_of("co_teaching", data, settings={"co_teaching.forget_rate": ["oracle"]})
    assert run_trial(spec, data).privileges == []
    assert run_trial(told, data).privileges == ["noise_rate"]
    method = method_for(spec)
    from bench.task import Oracle

    with pytest.raises(AttributeError, match="lists 'noise_rate' in its `privileges`"):
        _ = Oracle({}).noise_rate
    assert method.privileges == frozenset()
