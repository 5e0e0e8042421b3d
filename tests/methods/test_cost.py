"""Cost: passes through the networks as the harness counts them, against the algorithm on paper.

They agree to the sample. On paper means: from the sizes of the training set, of its batches and
folds, and from the number of samples that a method says it selected.
"""

from collections.abc import Callable
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.datasets import load_dataset
from bench.method import Method
from bench.planning import registry
from bench.planning.pretraining import pretrain_job
from bench.planning.spec import Plan, expand_hparams
from bench.recipe import Recipe
from bench.training import loop
from bench.training.pretrain import run_pretraining
from bench.training.trial import run_trial
from methods import disc, promix, selc, unicon

EPOCHS = 8
BATCH = 41  # of 288 samples one is left, which a shuffled pass leaves out

Counts = tuple[float, float]  # samples with gradients, and without


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", subset=320)


def batches(samples: int, size: int) -> list[int]:
    """Sizes of the batches of a shuffled pass: a last one of a single sample is left out."""
    sizes = [size] * (samples // size) + [samples % size]
    return [n for n in sizes if n > 1]


def beside(samples: int, size: int, count: int) -> int:
    """Samples in ``count`` batches of one shuffled pass after another."""
    return sum(islice(cycle(batches(samples, size)), count))


def everything(m: Method) -> int:
    return sum(batches(m.task.num_train, m.task.batch_size))


def plain(m: Method) -> Counts:
    return everything(m), 0


def co_teaching(m: Method) -> Counts:
    """Both networks on every batch, and on all samples to estimate the rate.

    The estimate is made before each epoch of the ramp but the first.
    """
    estimating = m.hp.forget_rate == "estimate" and 1 <= m.epoch <= m.warmup(m.hp.ramp_epochs)
    return 2 * everything(m), 2 * m.task.num_train * estimating


def cdr(m: Method) -> Counts:
    """One pass a batch; in the ramp, all samples before each epoch but the first."""
    estimating = m.hp.noise_rate == "estimate" and 1 <= m.epoch <= m.warmup(m.hp.ramp_epochs)
    return everything(m), m.task.num_train * estimating


def forward(m: Method) -> Counts:
    """First nine tenths and a pass over all samples after each epoch; then all samples."""
    samples, held_out = m.task.num_train, round(0.1 * m.task.num_train)
    return (
        (everything(m), 0)
        if m.stage
        else (sum(batches(samples - held_out, m.task.batch_size)), samples)
    )


def selc_(m: Method) -> Counts:
    """One pass a batch; from warm-up to its turn, the losses of all samples after each epoch."""
    turned = int(m.turned)
    watching = m.hp.turning_point == "estimate" and m.epoch + 1 >= m.warmup(m.hp.warmup_epochs)
    return everything(m), m.task.num_train * (watching and not 0 <= turned <= m.epoch)


def m_correction(m: Method) -> Counts:
    """All samples for the mixture; each batch for predictions, and for losses in eval mode."""
    correcting = m.epoch >= m.warmup(m.hp.correction_start)
    return everything(m), (m.task.num_train + 2 * everything(m)) * correcting


def softmix(m: Method) -> Counts:
    """All samples for the mixture; the unmixed images in every step after the warm-up."""
    first, start = m.warmup(m.hp.warmup_epochs - 1), m.phase(m.hp.correction_start - 1)
    if m.epoch < first:
        return plain(m)
    since = m.epoch - max(first, start)
    in_set = since > 0 and m.hp.scope == "dataset"
    return everything(m), m.task.num_train * (1 + in_set) + everything(m)


def pes(m: Method) -> Counts:
    """All samples while layers are renewed; then the confident, found by two views of all."""
    if m.stage < 3:
        return plain(m)
    return sum(batches(int(m.confident.sum()), m.task.batch_size)), 2 * m.task.num_train


def pes_semi(m: Method) -> Counts:
    """As pes at first; then N // B steps, each of two views of a labelled and an unlabelled batch.

    The network also predicts the latter. Two views of all samples tell which are labelled.
    """
    if m.stage < 3:
        return plain(m)
    samples, size, confident = m.task.num_train, m.task.batch_size, int(m.confident.sum())
    guessed = int(size * min(0.5, (samples - confident) / samples))
    if guessed < 2:
        return pes(m)
    steps = samples // size
    labelled = beside(confident, size - guessed, steps)
    unlabelled = beside(samples - confident, guessed, steps)
    return 2 * (labelled + unlabelled), 2 * (samples + unlabelled)


def simifeat(m: Method) -> Counts:
    """The clean samples, found once by a view of all for each round: one without augmentation."""
    detecting = m.epoch == m.warmup(m.hp.warmup_epochs)
    return sum(batches(int(m.selected.sum()), m.task.batch_size)), m.task.num_train * detecting


def prune(m: Method) -> Counts:
    """Each fold's network on all others, then on all samples once; then the clean samples."""
    samples, folds, size = m.task.num_train, m.hp.folds, m.task.batch_size
    if m.epoch < EPOCHS // 2:
        sizes = [samples // folds + (fold < samples % folds) for fold in range(folds)]
        return sum(sum(batches(samples - fold_size, size)) for fold_size in sizes), 0
    return sum(batches(int(m.clean.sum()), size)), folds * samples * (m.epoch == EPOCHS // 2)


def crossfit(m: Method) -> Counts:
    """Each fold's network on all others; all on all samples, before the turn and at the end."""
    sizes, size = m.fold.bincount(minlength=m.hp.folds).tolist(), m.task.batch_size
    trained = sum(sum(batches(m.task.num_train - fold, size)) for fold in sizes)
    judging = m.epoch + 1 in (m.boundary, m.recipe.epochs)
    return trained, m.hp.folds * m.task.num_train * judging


def divided(labelled: list[int], unlabelled: int, peers: int = 2) -> tuple[int, int]:
    """Two views of both batches train.

    One network predicts the labelled batch, both predict the unlabelled.
    """
    return 2 * (sum(labelled) + unlabelled), 2 * sum(labelled) + 2 * peers * unlabelled


def divide_mix(m: Method) -> Counts:
    """Both networks over all samples, then a step for each batch of the peer's clean samples."""
    samples, size = m.task.num_train, m.task.batch_size
    warm_up = sum(batches(samples, 2 * size))
    if m.epoch < m.warmup(m.hp.warmup_epochs):
        return 2 * warm_up, 0
    trained, inferred = 0, 2 * samples
    for clean in (m.clean > m.hp.clean_threshold).sum(1).tolist():
        if min(clean, samples - clean) < 2:
            trained += warm_up
            continue
        labelled = batches(clean, size)
        learnt, guessed = divided(labelled, beside(samples - clean, size, len(labelled)))
        trained, inferred = trained + learnt, inferred + guessed
    return trained, inferred


def unicon_(m: Method, selections: list[tuple[float, int]]) -> Counts:
    """As DivideMix, with two more passes and views.

    Before each network's turn both pass over all samples. Two more strong views of the unlabelled
    samples are contrasted, in batches of half the labelled ones' size over the share below the
    cutoff.
    """
    samples, size = m.task.num_train, m.task.batch_size
    if m.epoch < m.warmup(m.hp.warmup_epochs):
        return 2 * everything(m), 0
    trained, inferred = 0, 4 * samples
    for share, chosen in selections:
        if min(chosen, samples - chosen) < 2:
            trained += everything(m)
            continue
        labelled = batches(chosen, size)
        unlabelled = beside(samples - chosen, max(2, int(size / (2 * share))), len(labelled))
        learnt, guessed = divided(labelled, unlabelled)
        trained, inferred = trained + learnt + 2 * unlabelled, inferred + guessed
    return trained, inferred


def disc_(m: Method, mixed: list[int]) -> Counts:
    """Two views of all samples, and after warm-up those of each batch's samples to mix."""
    warming = m.epoch < m.warmup(m.warmup_epochs)
    return 2 * (everything(m) + (0 if warming else sum(n for n in mixed if n > 1))), 0


def promix_(m: Method, selected: list[int]) -> Counts:
    """Two views of all samples for both networks, which pass over all once more to select.

    Each mixes those selected of a batch in two ways, for each of its heads or once for both.
    """
    if m.epoch < m.warmup(m.hp.warmup_epochs):
        return 2 * everything(m), 0
    mixed = sum(n for n in selected if n > 1)
    return 4 * everything(m) + (2 if m.hp.share_mix else 4) * mixed, 2 * m.task.num_train


PAPER: dict[str, Callable[..., Counts]] = {
    "co_teaching": co_teaching,
    "co_teaching_plus": co_teaching,
    "jocor": co_teaching,
    "cdr": cdr,
    "gjs": lambda m: (2 * everything(m), 0),  # two strong views
    "forward": forward,
    "selc": selc_,
    "m_correction": m_correction,
    "softmix": softmix,
    "pes": pes,
    "pes_semi": pes_semi,
    "sop_plus": lambda m: (2 * everything(m), 0),  # a weak and a strong view
    "prune": prune,
    "crossfit": crossfit,
    "simifeat": simifeat,
    "cufit": lambda m: (2 * everything(m), 0),
    "divide_mix": divide_mix,
    # the mixed images; the averages on the unmixed ones
    "elr_plus": lambda m: (2 * everything(m), 2 * everything(m)),
    # features of all samples, in which neighbours are looked up
    **{name: lambda m: (everything(m), m.task.num_train) for name in ("knn", "wann")},
    # mixed images and two strong views; a weak one
    "co_learning": lambda m: (3 * everything(m), everything(m)),
}


MIXING = {"disc": disc_, "promix": promix_}


def steps(m: Method) -> list[int]:
    """Number of networks that each step trains, of rmd's hosts here."""
    samples, size = m.task.num_train, m.task.batch_size
    if not hasattr(m, "clean"):
        return [m.num_networks] * len(batches(samples, size))
    if m.epoch < m.warmup(m.hp.warmup_epochs):
        return [1] * 2 * len(batches(samples, 2 * size))
    sides = (m.clean > m.hp.clean_threshold).sum(1).tolist()
    return [1] * sum(len(batches(clean, size)) for clean in sides)


def rmd(m: Any, on_paper: Callable[[Method], Counts]) -> Counts:
    """The host's, and a second batch for each of its steps.

    That batch passes once through every network trained, and through the teacher.
    """
    trained, inferred = on_paper(m.base)
    students = steps(m.base)
    sizes = list(islice(cycle(batches(m.task.num_train, m.task.batch_size)), len(students)))
    return trained + sum(
        n * count for n, count in zip(sizes, students, strict=True)
    ), inferred + sum(sizes)


def compare(name: str, data, monkeypatch, settings: dict[str, str]) -> list[tuple[Counts, Counts]]:
    """Counts of the harness in each epoch, and those on paper."""
    plan = Plan(subset=320, overrides=(("epochs", EPOCHS), ("batch_size", BATCH)))
    [spec] = plan.specs(
        data,
        expand_hparams([name], {}, {key: [value] for key, value in settings.items()}),
        [0.5],
        [0],
    )
    job = pretrain_job(spec)
    encoder = run_pretraining(job, data) if job else None

    built: list[Method] = []
    build, select = loop.method_for, unicon.uniform_selection
    selections: list[tuple[float, int]] = []

    def selection(distance, y, share, num_classes):
        chosen = select(distance, y, share, num_classes)
        selections.append((share, int(chosen.sum())))
        return chosen

    choose, step = promix.ProMix.select, disc.Step
    mixed: list[int] = []  # samples of each batch that are mixed

    def choice(self, log_p, batch):
        selected, labels = choose(self, log_p, batch)
        mixed.extend(selected.sum(1).tolist())
        return selected, labels

    monkeypatch.setattr(promix.ProMix, "select", choice)
    monkeypatch.setattr(disc, "Step", lambda batch, n: mixed.append(n) or step(batch, n))
    monkeypatch.setattr(loop, "method_for", lambda spec: built.append(build(spec)) or built[-1])
    monkeypatch.setattr(unicon, "uniform_selection", selection)
    counts: list[tuple[Counts, Counts]] = []

    def report(epochs, restart):
        for epoch in epochs:
            [method] = [m for m in built if hasattr(m, "task")]
            assert method.epoch == epoch.epoch
            host = name.rpartition("+")[2]
            if host == "unicon":
                paper = unicon_(method, selections)
                selections.clear()
            elif host in MIXING and name == host:
                paper = MIXING[host](method, mixed)
                mixed.clear()
            elif name != host:
                paper = rmd(method, PAPER.get(host, plain))
            else:
                paper = PAPER.get(name, plain)(method)
            counts.append(((epoch.samples_trained, epoch.samples_inferred), paper))

    outcome = run_trial(spec, data, encoder=encoder, report=report)
    assert outcome.status == "finished", outcome
    assert outcome.train_images == 288 and len(counts) == EPOCHS
    return counts


NO_PRETRAINING = {"rmd.pretrain_epochs": "0"}
# a mixup phase, and epochs without an update
LATE = {"softmix.correction_start": "150", "softmix.update_every": "80"}
#: Those of one pass a sample, all counted alike: one of them stands for the others, which minutes
#: are left for.
ALIKE = [
    name for name in registry.method_names() if name not in {*PAPER, *MIXING, "rmd", "unicon", "ce"}
]
CASES: list[Any] = [
    *((name, {}) for name in registry.method_names() if name not in ("rmd", *ALIKE)),
    *(pytest.param(name, {}, marks=pytest.mark.slow) for name in ALIKE),
    ("co_teaching", {"co_teaching.forget_rate": "0.3"}),
    ("cdr", {"cdr.noise_rate": "0.3"}),
    ("selc", {"selc.turning_point": "100"}),
    ("softmix", LATE),
    ("softmix", LATE | {"softmix.scope": "dataset"}),
    ("prune", {"prune.folds": "5"}),
    ("promix", {"promix.share_mix": "true"}),
    *((f"rmd+{host}", NO_PRETRAINING) for host in ("ce", "co_teaching", "divide_mix")),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_every_epochs_passes_are_those_of_the_algorithm(name, settings, data, monkeypatch):
    for epoch, (counted, paper) in enumerate(compare(name, data, monkeypatch, settings)):
        assert counted == paper, f"epoch {epoch}"


def test_selc_spends_no_more_once_it_has_turned(data, monkeypatch):
    # at its furthest at once: it turns next
    monkeypatch.setattr(selc, "separation", lambda *_, **__: torch.tensor(0.5))
    counts = compare("selc", data, monkeypatch, {})
    assert all(counted == paper for counted, paper in counts)
    assert [inferred for (_, inferred), _ in counts] == [0, 288, 288, 0, 0, 0, 0, 0]


def main_phase(name: str, make_task) -> Method:
    """The method in its last epoch, half of the labels clean to it."""
    task = make_task(num=4000, batch_size=100, epochs=EPOCHS)
    method = registry.build(name, {})
    method.task, method.recipe = task, Recipe("tiny_cnn", EPOCHS)
    method.setup(task)
    method.epoch = EPOCHS - 1
    half = torch.arange(4000) % 2 == 0
    if name == "divide_mix":
        method.clean = half.float().expand(2, -1)
    if name in ("pes", "pes_semi", "prune", "simifeat"):
        fields = {"prune": "clean", "simifeat": "selected"}
        setattr(method, fields.get(name, "confident"), half)
    if name == "selc":
        method.turned.fill_(EPOCHS // 2)
    return method


@pytest.mark.parametrize("name", [name for name in registry.method_names() if name != "rmd"])
def test_declared_passes_are_those_on_paper(name, make_task):
    """In the main phase at half the labels clean; of two phases of the same length, the mean."""
    method = main_phase(name, make_task)
    if name == "crossfit":
        method.epoch -= 1  # its last epoch also judges
    noted: dict[str, list[Any]] = {
        "unicon": [(0.5, 2000)] * 2,
        "promix": [2000] * 2,  # half of the samples, for each network
        "disc": [3000],
    }
    on_paper = {"unicon": unicon_, **MIXING}.get(name) or PAPER.get(name, plain)
    passes = on_paper(method, noted[name]) if name in noted else on_paper(method)
    if name in ("forward", "prune"):
        method.epoch = 1
        passes = tuple(
            (first + second) / 2 for first, second in zip(PAPER[name](method), passes, strict=True)
        )
    assert tuple(count / 4000 for count in passes) == pytest.approx(
        registry.load_method(name).passes, abs=1e-9
    )


def test_rmd_declares_its_own_batch_and_the_teachers_on_a_host_of_one_network(make_task):
    host = main_phase("ce", make_task)
    passes = rmd(SimpleNamespace(base=host, task=host.task), lambda _: (0, 0))
    assert tuple(count / 4000 for count in passes) == registry.load_method("rmd").passes
