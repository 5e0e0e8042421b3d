"""Methods that reach for what they may not know, by intent or carelessness.

Either it does not help, or the trial fails.
"""

import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from fabricate import timeless
from torch import Tensor, nn
from torch.nn import functional as F

from bench import noise
from bench.datasets import Dataset, load_dataset
from bench.errors import InputError
from bench.method import Method
from bench.noise import generator
from bench.noise.flips import symmetric
from bench.planning.labels import Labels
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.records.schema import Epoch
from bench.task import SharedPixels, stream_seed
from bench.training import data as trial_data
from bench.training import evaluation, pixels
from bench.training.checkpoint import Checkpoint
from bench.training.checks import EvaluationError, check_alike, untouched
from bench.training.outcome import Outcome, stopped_outcome
from bench.training.pixels import pixels_for
from bench.training.seeds import hidden_seed, shuffled
from bench.training.trial import run_trial

RATE, SEED, CLASSES = 0.5, 3, 10


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Digits, class by class."""
    digits = load_dataset("digits", subset=300)
    order = np.argsort(digits.train_labels, kind="stable")
    return dataclasses.replace(
        digits, train_images=digits.train_images[order], train_labels=digits.train_labels[order]
    )


@pytest.fixture(scope="module")
def spec(data) -> TrialSpec:
    plan = Plan(overrides=(("batch_size", 64), ("epochs", 2)), subset=300)
    [spec] = plan.specs(data, expand_hparams(["ce"], {}, {}), [RATE], [SEED])
    return spec


class Plain(Method):
    """Cross-entropy."""

    def loss(self, batch) -> Tensor:
        return F.cross_entropy(self.networks[0](batch.x), batch.y)


@pytest.fixture
def run(data, spec, monkeypatch):
    def run(
        method: type[Method], data: Dataset = data, spec: TrialSpec = spec
    ) -> tuple[list[dict], Outcome, Method]:
        made: list[Method] = []
        monkeypatch.setattr(
            "bench.planning.spec.build", lambda name, hparams: made.append(method()) or made[-1]
        )
        epochs: list[dict] = []
        outcome = run_trial(
            spec, data, report=lambda new, restart: epochs.extend(map(Epoch.to_json, new))
        )
        return epochs, outcome, made[0]

    return run


def finished(result) -> tuple[list[dict], Outcome, Method]:
    assert result[1].status == "finished", result[1]
    return result


# ----------------------------------------------------------------------------
# seeds


@pytest.mark.parametrize("hidden", [True, False])
def test_redrawn_noise_does_not_fit_the_samples(hidden, data, spec, run, monkeypatch):
    """Whoever tries small seeds gets the noise, but not which of it is whose."""
    if not hidden:
        for module in (trial_data, evaluation):
            monkeypatch.setattr(module, "shuffled", lambda count, seed: np.arange(count))
    labels = Labels.of(spec, data)
    rates: list[float] = []

    class Redraws(Plain):
        def setup(self, task):
            super().setup(task)
            for seed in (*range(8), task.generator.initial_seed(), torch.initial_seed()):
                shift = symmetric(np.zeros(300, np.int64), CLASSES, RATE, generator(seed), "exact")
                # positions are a gift of this test
                guess = (task.noisy_labels.numpy() - shift[labels.train]) % CLASSES
                rates.append(float((guess == data.train_labels[labels.train]).mean()))

    finished(run(Redraws))
    assert (max(rates) < 0.5) if hidden else (max(rates) == 1)


def test_no_seed_that_a_method_sees_comes_from_a_small_number(run):
    seeds: set[int] = set()

    class Looks(Plain):
        def look(self):
            state = np.random.get_state()
            seeds.update(
                (self.task.generator.initial_seed(), torch.initial_seed(), int(state[1][0]))
            )

        def setup(self, task):
            super().setup(task)
            self.look()

        def epoch_start(self):
            self.look()

    finished(run(Looks))
    rest = ((), (0,), (1,), (0, 0), (1, 0), (0, 2000), (1, 2000))
    tried = {
        stream_seed(*key)
        for seed in range(100)
        for tail in rest
        for key in ((seed, *tail), (seed,))
    } | set(range(1000))
    assert len(seeds) >= 6
    assert not seeds & (tried | {seed % 2**32 for seed in tried})


def test_a_hidden_seed_depends_on_everything_and_on_nothing_else(data):
    other_truth = dataclasses.replace(data, train_labels=np.roll(data.train_labels, 1))
    other_test = dataclasses.replace(data, test_labels=np.roll(data.test_labels, 1))
    seeds = {
        hidden_seed("training", 0, data),
        hidden_seed("training", 1, data),
        hidden_seed("positions", 0, data),
        hidden_seed("training", 0, other_truth),
        hidden_seed("training", 0, other_test),
    }
    assert len(seeds) == 5 and all(0 <= seed < 2**128 for seed in seeds)
    copied = dataclasses.replace(
        data, train_labels=data.train_labels.astype(np.int32), name="elsewhere"
    )
    assert hidden_seed("training", 0, copied) == hidden_seed("training", 0, data)


def test_noise_and_split_are_drawn_as_they_always_were(data, spec):
    """So that new trials are paired with older ones: what commit 6141edd draws."""
    labels = Labels.of(spec, data)
    assert noise.label_hash(labels.noisy) == "8800959489cb88bf"
    assert labels.validation[:5].tolist() == [1, 4, 20, 26, 35]


# ----------------------------------------------------------------------------
# positions


def votes(y: Tensor, width: int = 10) -> Tensor:
    """The commonest label (N,) among neighbours in number."""
    counts = F.one_hot(y, CLASSES).float()
    return F.avg_pool1d(counts.T[None], 2 * width + 1, 1, width)[0].T.argmax(1)


@pytest.mark.parametrize("hidden", [True, False])
def test_numbers_say_nothing_of_classes_in_a_sorted_set(hidden, run, monkeypatch):
    if not hidden:
        for module in (trial_data, evaluation):
            monkeypatch.setattr(module, "shuffled", lambda count, seed: np.arange(count))

    class Votes(Plain):
        def soft_targets(self):
            order = torch.cat([batch.index for batch in self.task.loader(train=False)])
            assert torch.equal(order, torch.arange(self.task.num_train))
            return F.one_hot(votes(self.task.noisy_labels), CLASSES)

    epochs, _, _ = finished(run(Votes))
    assert (
        (epochs[-1]["label_correction_accuracy"] < 0.3)
        if hidden
        else (epochs[-1]["label_correction_accuracy"] > 0.8)
    )


def test_records_keep_the_order_of_the_data_set(data, spec, run):
    class Measures(Plain):
        """Says of each sample how bright it is, and what it is labelled."""

        def clean_probability(self):
            return torch.cat(
                [batch.x.mean((1, 2, 3)) for batch in self.task.loader(train=False)]
            ).sigmoid()

        def soft_targets(self):
            return F.one_hot(self.task.noisy_labels, CLASSES)

    epochs, outcome, method = finished(run(Measures))
    labels, samples = Labels.of(spec, data), outcome.samples
    assert (samples["train_positions"] == labels.train).all() and (np.diff(labels.train) > 0).all()
    brightness = pixels_for(data, spec)(torch.from_numpy(labels.train)).mean((1, 2, 3)).sigmoid()
    np.testing.assert_allclose(samples["clean_probability"], brightness, rtol=1e-5)
    assert (samples["soft_targets"].argmax(1) == labels.noisy[labels.train]).all()
    assert epochs[-1]["label_correction_accuracy"] == pytest.approx(1 - RATE, abs=0.05)
    assert not torch.equal(
        method.task.noisy_labels, torch.from_numpy(labels.noisy[labels.train])
    ), "it sees another order"
    guesses = samples["validation_probabilities"].astype(np.float32).argmax(1)
    assert epochs[-1]["noisy_val_accuracy"] == pytest.approx(
        (guesses == labels.noisy[labels.validation]).mean()
    )


def test_the_order_is_that_of_the_seed_for_every_method(data, spec, run):
    class Wide(Plain):
        num_networks = 2

    def order(method, seed=SEED):
        return finished(run(method, spec=dataclasses.replace(spec, train_seed=seed)))[
            2
        ].task.noisy_labels.tolist()

    assert order(Plain) == order(Wide) != order(Plain, seed=4)


def test_a_checkpoint_of_samples_in_another_order_is_not_taken_up(
    data, spec, run, tmp_path, monkeypatch
):
    """Checkpoints from before samples were numbered at random do not name the order.

    Labels count as well.
    """
    warnings: list[str] = []
    resumed: list[int] = []
    checkpoint = Checkpoint(tmp_path / "state.pt", every_seconds=0, warn=warnings.append)
    expected = run_trial(spec, data, checkpoint=checkpoint)
    state = checkpoint.load(spec)
    assert [epoch["epoch"] for epoch in state["records"]] == [0]
    for numbering, starts in ((state["numbering"], 1), ("0" * 16, 0), (None, 0)):
        if numbering is None:
            state.pop("numbering")
        checkpoint.save(state | ({"numbering": numbering} if numbering else {}))
        again = run_trial(
            spec,
            data,
            report=lambda new, restart: resumed.append(len(new) * restart),
            checkpoint=checkpoint,
        )
        assert resumed[0] == starts
        assert len(warnings) == (not starts) and all(
            "its samples have other numbers or labels" in text for text in warnings
        )
        assert timeless(msgspec.to_builtins(again.done())) == timeless(
            msgspec.to_builtins(expected.done())
        )
        resumed.clear()
        warnings.clear()


def test_a_checkpoint_of_other_labels_is_not_taken_up(data, spec, run, tmp_path, monkeypatch):
    """The noise of a plugin that was changed between a crash and the next run."""
    warnings: list[str] = []
    starts: list[int] = []
    checkpoint = Checkpoint(tmp_path / "state.pt", every_seconds=0, warn=warnings.append)
    run_trial(spec, data, checkpoint=checkpoint)
    corrupt = noise.corrupt
    monkeypatch.setattr(
        noise,
        "corrupt",
        lambda dataset, noise_spec: corrupt(dataset, dataclasses.replace(noise_spec, rate=0.1)),
    )
    run_trial(
        spec,
        data,
        checkpoint=checkpoint,
        report=lambda new, restart: starts.append(len(new)) if restart else None,
    )
    assert starts == [0] and "its samples have other numbers or labels than today's" in warnings[0]


def test_images_to_evaluate_come_in_a_random_order(data, spec, run):
    batches: list[Tensor] = []

    class Hoards(Plain):
        def predict(self, x):
            batches.append(x.clone())
            return super().predict(x)

    finished(run(Hoards))
    test = pixels_for(data, spec, data.test_images)(torch.arange(360))
    batch = next(x for x in batches if len(x) == 360)
    assert not torch.equal(batch, test)
    torch.testing.assert_close(
        batch.flatten(1).sum(1).sort().values, test.flatten(1).sum(1).sort().values
    )


@pytest.mark.parametrize(
    ("hook", "given", "expected"),
    [
        ("clean_probability", (5,), "(270,)"),
        ("clean_probability", (270, 1), "(270,)"),
        ("soft_targets", (270,), "(270, 10)"),
        ("soft_targets", (10, 270), "(270, 10)"),
        ("transition_matrix", (3,), "(10, 10)"),
        ("transition_matrix", (11, 11), "(10, 10)"),
    ],
)
def test_hooks_give_tensors_of_their_shape_or_a_sentence(hook, given, expected, run):
    outcome = run(type("Shapes", (Plain,), {hook: lambda self: torch.ones(given)}))[1]
    assert (
        outcome.error
        == f"EvaluationError: {hook} gives a tensor of shape {given}: give one of shape {expected}"
    )


def test_hooks_give_tensors(run):
    given = run(type("Array", (Plain,), {"clean_probability": lambda self: np.ones(270)}))[1]
    assert given.error == "EvaluationError: clean_probability gives ndarray: give a tensor"
    given = run(
        type("Array", (Plain,), {"predict": lambda self, x: Plain.predict(self, x).numpy()})
    )[1]
    assert given.error == "EvaluationError: predict gives ndarray: give a tensor"


def _relabelling(self):
    self.task.noisy_labels[0] = (self.task.noisy_labels[0] + 1) % CLASSES


def _replacing_labels(self):
    self.task.noisy_labels = self.task.noisy_labels.flip(0)


def _dropping_labels(self):
    self.task.noisy_labels = self.task.noisy_labels[:5]


@pytest.mark.parametrize("change", [_relabelling, _replacing_labels, _dropping_labels])
def test_labels_are_not_written_into(change, run):
    """Changes would be lost when a trial goes on from its checkpoint."""
    epochs, outcome, _ = run(type("Writes", (Plain,), {"epoch_end": change}))
    assert epochs == []
    assert outcome.error.startswith(
        "RuntimeError: training changed task.noisy_labels: write into a buffer"
    )


def test_a_batch_may_be_written_into(data, spec, run):
    def loss(self, batch):
        batch.y.fill_(0), batch.x.zero_()
        return Plain.loss(self, batch)

    finished(run(type("Smears", (Plain,), {"loss": loss})))
    assert data.train_images.any() and len(set(Labels.of(spec, data).noisy)) == CLASSES


def test_a_hook_may_give_what_requires_a_gradient(run):
    class Differentiable(Plain):
        def soft_targets(self):
            return torch.ones(self.task.num_train, CLASSES, requires_grad=True)

    finished(run(Differentiable))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: p.log(),
            "predict gives numbers that are no class probabilities: end it with softmax(1)",
        ),
        (
            lambda p: p * 2,
            "predict gives numbers that are no class probabilities: end it with softmax(1)",
        ),
        (lambda p: p[:, :5], "predict gives a tensor of shape (30, 5): give one of shape (30, 10)"),
        (
            lambda p: p.argmax(1),
            "predict gives a tensor of shape (30,): give one of shape (30, 10)",
        ),
        (lambda p: p[:3], "predict gives a tensor of shape (3, 10): give one of shape (30, 10)"),
    ],
)
def test_predictions_are_probabilities(change, message, run):
    outcome = run(
        type("Odd", (Plain,), {"predict": lambda self, x: change(Plain.predict(self, x))})
    )[1]
    assert outcome.error == f"EvaluationError: {message}"


# ----------------------------------------------------------------------------
# privileges


class Fickle(Plain):
    """Asks for something else each time it is asked, as ``answers`` say, and tries to read it."""

    answers: list = []

    def __init__(self):
        super().__init__()
        self.left = list(self.answers)

    @property
    def privileges(self):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def setup(self, task):
        super().setup(task)
        self.rate = task.oracle.noise_rate


def test_what_is_granted_is_what_is_on_record(data, spec, run):
    class Later(Fickle):
        answers = [frozenset(), frozenset({"noise_rate"})]

    class Earlier(Fickle):
        answers = [["noise_rate"], frozenset()]

    outcome = run(Later)[1]
    assert outcome.privileges == []
    assert outcome.status == "failed" and "task.oracle.noise_rate is privileged" in outcome.error
    epochs, outcome, _ = finished(run(Earlier))
    assert outcome.privileges == ["noise_rate"]
    assert epochs[0]["privileges"] == ["noise_rate"] and "privileges" not in epochs[1]


@pytest.mark.parametrize(
    ("first", "expected"), [([], []), (["noise_rate"], ["noise_rate"]), (None, ["noise_kind"])]
)
def test_a_trial_that_is_stopped_has_on_record_what_it_was_granted(
    first, expected, data, spec, run, monkeypatch
):
    monkeypatch.setattr(Fickle, "answers", [{"noise_kind"}])
    monkeypatch.setattr("bench.planning.spec.build", lambda name, hparams: Fickle())
    epoch = Epoch(epoch=0) if first is None else Epoch(epoch=0, privileges=first)
    assert stopped_outcome(spec, data, [epoch]).privileges == expected
    assert stopped_outcome(spec, data, []).privileges == ["noise_kind"]


def test_a_set_that_grows_later_grants_nothing(run):
    class Grows(Fickle):
        answers = [{"noise_kind"}]

        def setup(self, task):
            self.left[0].add("noise_rate")
            super().setup(task)

    outcome = run(Grows)[1]
    assert outcome.privileges == ["noise_kind"] and "noise_rate is privileged" in outcome.error


def test_a_privilege_that_there_is_none_of(run):
    class Wants(Fickle):
        answers = [{"test_labels"}]

    with pytest.raises(
        InputError,
        match=r"declares the privileges \['test_labels'\]: there are noise_rate, noise_kind",
    ):
        run(Wants)


# ----------------------------------------------------------------------------
# evaluation


class Counting(Plain):
    def setup(self, task):
        super().setup(task)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("passing", torch.zeros(3, dtype=torch.bool), persistent=False)
        self.dropout = nn.Dropout(0.5)


def _predicting(predict):
    return type("Predicting", (Counting,), {"predict": predict})


def _plain(self, x):
    return Plain.predict(self, x)


def _in_train_mode(self, x):
    self.train()
    return _plain(self, x)


def _in_train_mode_and_back(self, x):
    self.train()
    result = _plain(self, x)
    self.eval()
    return result


def _with_statistics_of_the_batch(self, x):
    for module in self.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.track_running_stats, module.momentum = False, 0.0
            module.running_mean_, module.running_mean = (
                module.running_mean.clone(),
                module.running_mean,
            )
    states = {name: value.clone() for name, value in self.named_buffers()}
    result = _plain(self, x)
    self.load_state_dict(states, strict=False)
    self.eval()
    return result


def _with_module_dropout(self, x):
    self.dropout.train()
    return _plain(self, self.dropout(x))


def _with_dropout(self, x):
    return _plain(self, F.dropout(x, 0.8))


def _balanced(self, x):
    probabilities = _plain(self, x)
    return F.normalize(probabilities / probabilities.sum(0), p=1, dim=1)


def _counting(self, x):
    self.seen += len(x)
    return _plain(self, x)


def _replacing(self, x):
    self.seen = self.seen + 1
    return _plain(self, x)


def _passing(self, x):
    self.passing.numpy()[0] = True
    return _plain(self, x)


def _registering(self, x):
    self.register_buffer("later", torch.zeros(1))
    return _plain(self, x)


def _learning(self, x):
    self.networks[0].head.bias.data += 1e-7
    return _plain(self, x)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (
            _in_train_mode,
            "evaluation changed running statistics of networks.0.body.1 (and of 2 more): predict "
            "in eval mode",
        ),
        (
            _in_train_mode_and_back,
            "evaluation changed running statistics of networks.0.body.1 (and of 2 more)",
        ),
        (
            _with_statistics_of_the_batch,
            "predict gives images other probabilities in another batch",
        ),
        (_with_module_dropout, "predict leaves dropout in training mode: predict in eval mode"),
        (_with_dropout, "predict gives images other probabilities in another batch"),
        (_balanced, "predict gives images other probabilities in another batch"),
        (_counting, "evaluation changed seen: predict"),
        (_replacing, "evaluation changed seen: predict"),
        (_passing, "evaluation changed passing: predict"),
        (_registering, "evaluation changed later: predict"),
        (_learning, "evaluation changed networks.0.head.bias: predict"),
    ],
)
def test_predict_learns_nothing_and_draws_nothing(predict, message, run):
    epochs, outcome, _ = run(_predicting(predict))
    assert outcome.status == "failed" and outcome.error.startswith(f"EvaluationError: {message}")
    assert epochs == [], "before anything is on record"


def test_predictions_that_come_to_depend_on_the_batch_fail_too(run):
    """After a warm-up, say; the first epoch was in order."""

    def later(self, x):
        return _balanced(self, x) if self.epoch else _plain(self, x)

    epochs, outcome, _ = run(_predicting(later))
    assert len(epochs) == 1
    assert outcome.error.startswith(
        "EvaluationError: predict gives images other probabilities in another batch"
    )


def test_a_few_validation_images_show_it_as_well(spec, run):
    # 6 images, fewer than are predicted alone elsewhere
    few = dataclasses.replace(spec, validation_share=0.02)
    assert "other probabilities in another batch" in run(_predicting(_balanced), spec=few)[1].error


def test_other_hooks_of_evaluation_learn_nothing_either(run):
    class Writes(Counting):
        def soft_targets(self):
            self.seen += 1
            return F.one_hot(self.task.noisy_labels, CLASSES)

    class LearnsAtTheEnd(Counting):
        def transition_matrix(self):
            self.seen += 1
            return torch.eye(CLASSES)

    for method in (Writes, LearnsAtTheEnd):
        assert "evaluation changed seen" in run(method)[1].error


def test_random_numbers_that_predict_draws_do_not_reach_training(run):
    def drawing(self, x):
        (
            torch.rand(7),
            np.random.rand(),
            self.task.rng.random(),
            torch.rand(3, generator=self.task.generator),
        )
        return _plain(self, x)

    expected, actual = (finished(run(method))[0] for method in (Counting, _predicting(drawing)))
    assert timeless({"epochs": [timeless(epoch) for epoch in actual]}) == {
        "epochs": [timeless(epoch) for epoch in expected]
    }


def test_what_counts_as_a_change():
    module = nn.Module()
    for name, value in {
        "nan": torch.tensor([torch.nan, 1.0]),
        "short": torch.zeros(2, dtype=torch.bfloat16),
        "complex": torch.zeros(2, dtype=torch.complex64),
        "empty": torch.zeros(0, 3),
        "whole": torch.arange(4)[::2],
    }.items():
        module.register_buffer(name, value)
    module.eval()
    with untouched(module):
        pass
    for name, value in (("nan", -torch.nan), ("short", 0.01), ("complex", 1j), ("whole", 9)):
        with pytest.raises(EvaluationError, match=f"changed {name}:"), untouched(module):
            getattr(module, name)[0] = value
    with pytest.raises(EvaluationError, match="changed empty:"), untouched(module):
        module.empty = torch.zeros(3, 0)
    with untouched(nn.Module().eval()):
        pass
    with pytest.raises(KeyError), untouched(module):  # an error of its own goes first
        module.short += 1
        raise KeyError


def test_rounding_is_no_other_prediction():
    whole = torch.full((64, 4), 0.25)
    check_alike(whole, whole[:8] + 1e-3, "fp32")
    check_alike(whole, whole[:8] + 1e-2, "bf16")
    check_alike(whole * torch.nan, whole[:8], "fp32")  # that it diverged is said elsewhere
    with pytest.raises(EvaluationError, match=r"differ by 0\.02"):
        check_alike(whole, whole[:8] + 1e-2, "fp32")


# ----------------------------------------------------------------------------
# memory


class Vandal(Plain):
    """Writes into whatever it is given, but for its labels, which fails the trial."""

    def setup(self, task):
        super().setup(task)
        task._pixels.images.zero_()

    def loss(self, batch):
        batch.index.zero_()
        batch.views[0].zero_()
        return super().loss(batch)

    def predict(self, x):
        return super().predict(x.zero_())


def test_nothing_written_reaches_the_harness(data, spec, run):
    before = [
        array.copy()
        for array in (data.train_images, data.train_labels, data.test_images, data.test_labels)
    ]
    _, outcome, _ = finished(run(Vandal))
    after = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    assert (outcome.samples["noisy_labels"] == Labels.of(spec, data).noisy).all()


def locked(data: Dataset) -> Dataset:
    """The same data set in read-only memory, as from Ray's object store or a decoded cache."""
    images = data.train_images.copy()
    images.flags.writeable = False
    return dataclasses.replace(data, train_images=images)


def test_memory_that_is_shared_cannot_be_written_to(data, spec, run):
    class Vandals(Plain):
        def setup(self, task):
            super().setup(task)
            task._pixels._memory[0] = 0

    assert "read-only" in run(Vandals, data=locked(data))[1].error


def test_shared_memory_gives_what_memory_of_ones_own_gives(data, run):
    shared, private = (finished(run(Plain, data=each)) for each in (locked(data), data))
    assert isinstance(shared[2].task._pixels, SharedPixels) and not isinstance(
        private[2].task._pixels, SharedPixels
    )
    assert [timeless(epoch) for epoch in shared[0]] == [timeless(epoch) for epoch in private[0]]
    for name, value in private[1].samples.items():
        np.testing.assert_array_equal(shared[1].samples[name], value)


def test_images_are_copied_or_shared(data, spec, monkeypatch):
    monkeypatch.setattr(pixels, "COPY_BATCH", 7)
    positions = shuffled(300, 0)[:40]
    private, shared = (pixels_for(each, spec, positions=positions) for each in (data, locked(data)))
    everything = torch.arange(40)
    assert len(private) == len(shared) == 40
    assert torch.equal(private.raw(everything), torch.from_numpy(data.train_images[positions]))
    assert torch.equal(shared.raw(everything), private.raw(everything))
    assert not np.may_share_memory(private.images.numpy(), data.train_images)
    assert [len(raw) for raw in shared.stream(everything.split(16))] == [16, 16, 8]


def test_results_are_no_view_of_a_methods_memory(run):
    class Keeps(Plain):
        def setup(self, task):
            super().setup(task)
            self.register_buffer("targets", F.one_hot(task.noisy_labels, CLASSES).float())
            self.register_buffer("answer", torch.full((1000, CLASSES), 0.1))

        def soft_targets(self):
            return self.targets

        def predict(self, x):
            return self.answer[: len(x)]

    _, outcome, method = finished(run(Keeps))
    buffers = SimpleNamespace(targets=method.targets.numpy(), answer=method.answer.numpy())
    assert not np.may_share_memory(outcome.samples["soft_targets"], buffers.targets)
    assert not np.may_share_memory(outcome.samples["test_probabilities"], buffers.answer)
