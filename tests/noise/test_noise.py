"""Kinds of noise: their effect on labels, and the errors of those that do not fit."""

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import noise
from bench.common import plugins, progress
from bench.datasets import FOUND, UNKNOWN, Dataset, ImageFiles
from bench.datasets.arrays import from_arrays
from bench.datasets.published.cifar import CIFAR100_SUPERCLASSES, superclass_flips, superclass_ids
from bench.errors import InputError
from bench.noise import (
    KINDS,
    NoiseKind,
    NoiseSpec,
    check_noise,
    classifier,
    corrupt,
    label_hash,
    pixels,
    registry,
    transition_matrix,
)
from bench.noise import flips as flip

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 10
FLIPS = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
SAMPLINGS = ["exact", "independent"]
LABEL_KINDS = ["symmetric", "symmetric-inclusive", "pairflip", "asymmetric", "asymmetric-block"]
PIXEL_KINDS = ["instance", "instance-raw", "pmd-1", "pmd-2", "pmd-3"]
NOISY_KINDS = LABEL_KINDS + PIXEL_KINDS


@pytest.fixture(autouse=True, scope="module")
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def data_of(
    labels: np.ndarray, classes: int = CLASSES, flips: dict[int, int] | None = FLIPS, seed: int = 0
) -> Dataset:
    """Return a data set of these labels, with random 4x4 images that are brighter by class."""
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 160, (len(labels), 1, 4, 4)) + 30 * (
        labels[:, None] == np.arange(16)
    ).reshape(-1, 1, 4, 4)
    images = images.astype(np.uint8)
    return Dataset(
        "mydata", images, labels, images[:1], labels[:1], tuple(map(str, range(classes))), flips
    )


def balanced(per_class: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), per_class))


def expected_matrix(kind: str, rate: float) -> np.ndarray:
    """Return the transition matrix of a kind, from its definition."""
    keep = (1 - rate) * np.eye(CLASSES)
    if kind == "symmetric":
        return keep + rate / (CLASSES - 1) * (1 - np.eye(CLASSES))
    if kind == "symmetric-inclusive":
        return keep + rate / CLASSES
    if kind == "pairflip":
        return keep + rate * np.eye(CLASSES)[(np.arange(CLASSES) + 1) % CLASSES]
    if kind == "asymmetric-block":
        return keep + rate * np.eye(CLASSES)[[1, 2, 3, 4, 0, 6, 7, 8, 9, 5]]
    matrix = np.eye(CLASSES)
    for source, target in FLIPS.items():
        matrix[source, source], matrix[source, target] = 1 - rate, rate
    return matrix


def bound(share: np.ndarray | float, count: int) -> np.ndarray:
    """Return five standard deviations of a share of ``count`` independent draws."""
    return 5 * np.sqrt(share * (1 - np.asarray(share)) / count) + 1e-12


def in_fresh_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


# ----------------------------------------------------------------------------------------------
# every kind


def test_every_kind_of_noise_is_tested_here():
    assert set(KINDS) == {*NOISY_KINDS, "clean", "matrix", "labels", "openset"}


def test_importing_noise_imports_nothing_heavy():
    code = (
        "import sys, bench.noise; print(*{'torch', 'ray', 'torchvision', 'sklearn', 'pandas', "
        "'scipy'} & set(sys.modules))"
    )
    assert in_fresh_process(code).strip() == ""


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("rate", [0.2, 0.45, 0.8])
@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_realised_transition_matrix_is_the_kinds_own(kind, rate, sampling):
    clean = balanced(4000)
    noisy = corrupt(data_of(clean), NoiseSpec(kind, rate, 3, sampling))
    expected = expected_matrix(kind, rate)
    assert (
        np.abs(transition_matrix(clean, noisy, CLASSES) - expected) <= bound(expected, 4000)
    ).all()


@pytest.mark.parametrize(
    "kind", ["symmetric", "pairflip", "instance", "instance-raw", "pmd-1", "pmd-2", "pmd-3"]
)
@pytest.mark.parametrize(
    ("count", "rate", "wrong"),
    [(1000, 0.2, 200), (1000, 0.0004, 0), (30, 0.5, 15), (1437, 0.45, 647)],
)
def test_exact_noise_makes_exactly_that_many_labels_wrong(kind, count, rate, wrong):
    data = data_of(np.arange(count) % CLASSES)
    for seed in range(3):
        assert (corrupt(data, NoiseSpec(kind, rate, seed)) != data.train_labels).sum() == wrong


@pytest.mark.parametrize("kind", ["symmetric", "pmd-1", "pmd-2", "pmd-3"])
def test_independent_sampling_flips_a_coin_for_each_label(kind):
    data = data_of(balanced(30))
    counts = np.array(
        [
            (corrupt(data, NoiseSpec(kind, 0.3, seed, "independent")) != data.train_labels).sum()
            for seed in range(40)
        ]
    )
    deviation = np.sqrt(300 * 0.3 * 0.7)  # of equal chances; unequal ones deviate less
    assert abs(counts.mean() - 90) < 5 * deviation / np.sqrt(40)
    assert 0.3 * deviation < counts.std() < 1.6 * deviation


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kind", [*NOISY_KINDS, "clean", "openset:mnist"])
def test_rate_zero_changes_nothing_and_gives_a_copy(kind, sampling):
    data = data_of(balanced(10))
    for rate in (0, 0.0) if kind != "clean" else (0, 0.0, None):
        noisy = corrupt(data, NoiseSpec(kind, rate, 0, sampling))
        assert (noisy == data.train_labels).all()
        assert not np.shares_memory(noisy, data.train_labels)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kind", NOISY_KINDS)
def test_the_seed_alone_decides(kind, sampling):
    data = data_of(balanced(50))
    before = data.train_labels.copy()
    np.random.seed(1)  # the global generator must not matter
    first = corrupt(data, NoiseSpec(kind, 0.4, 7, sampling))
    np.random.seed(2)
    for other in NOISY_KINDS[::-1]:  # nor what was called in between
        corrupt(data, NoiseSpec(other, 0.2, 1, sampling))
    assert (corrupt(data, NoiseSpec(kind, 0.4, 7, sampling)) == first).all()
    assert (corrupt(data, NoiseSpec(kind, 0.4, 8, sampling)) != first).any()
    assert (data.train_labels == before).all()


def test_neighbouring_rates_are_told_apart():
    data = data_of(balanced(100))
    counts = [
        (corrupt(data, NoiseSpec("symmetric", rate)) != data.train_labels).sum()
        for rate in (0.45, 0.5, 0.501)
    ]
    assert counts == [450, 500, 501]


@given(
    kind=st.sampled_from([*LABEL_KINDS, "instance"]),
    sampling=st.sampled_from(SAMPLINGS),
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    rate=st.floats(0, 0.999),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=150, deadline=None)
def test_noise_of_any_labels_stays_within_the_classes(kind, sampling, labels, rate, seed):
    data = data_of(np.array(labels), 5, {0: 1, 1: 0, 4: 2})
    noisy = corrupt(data, NoiseSpec(kind, rate, seed, sampling))
    assert noisy.shape == data.train_labels.shape
    assert noisy.dtype == np.int64
    assert noisy.min() >= 0
    assert noisy.max() < 5
    wrong = (noisy != data.train_labels).sum()
    if sampling == "exact":
        affected = {"asymmetric": [0, 1, 4], "asymmetric-block": range(5)}.get(kind, [])
        by_class = sum(round(rate * (data.train_labels == c).sum()) for c in affected)
        allowed = by_class if affected else round(rate * len(labels))
        assert wrong <= allowed if kind == "symmetric-inclusive" else wrong == allowed
    again = corrupt(replace(data, flips={4: 2, 1: 0, 0: 1}), NoiseSpec(kind, rate, seed, sampling))
    assert (again == noisy).all(), "the order of the mapping must not matter"


# ----------------------------------------------------------------------------------------------
# of labels alone


def test_pairflip_only_moves_to_the_next_class():
    data = data_of(balanced(100))
    noisy = corrupt(data, NoiseSpec("pairflip", 0.4))
    wrong = noisy != data.train_labels
    assert wrong.sum() == 400
    assert (noisy[wrong] == (data.train_labels[wrong] + 1) % CLASSES).all()
    assert set(data.train_labels[wrong]) == set(range(CLASSES))


@given(st.integers(2, 12), st.floats(0.5, 0.999), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_symmetric_never_keeps_the_class_of_a_chosen_sample(classes, rate, seed):
    data = data_of(np.arange(60) % classes, classes)
    assert (corrupt(data, NoiseSpec("symmetric", rate, seed)) != data.train_labels).sum() == round(
        rate * 60
    )


def test_symmetric_inclusive_at_half_of_ten_classes_is_45_percent_wrong():
    data = data_of(balanced(5000))
    shares = [
        (corrupt(data, NoiseSpec("symmetric-inclusive", 0.5, seed)) != data.train_labels).mean()
        for seed in range(3)
    ]
    # 25,000 are drawn anew, of which a tenth keep their class: the deviation is sqrt(25,000 * .09)
    # / 50,000.
    assert np.abs(np.array(shares) - 0.45).max() < 5 * np.sqrt(25_000 * 0.09) / 50_000
    assert len(set(shares)) > 1, "what a label becomes is drawn, not counted"


def test_asymmetric_touches_only_the_listed_classes_with_the_exact_count_in_each():
    # 10 samples of class 0 ... 100 of class 9
    clean = np.repeat(np.arange(CLASSES), np.arange(10, 110, 10))
    noisy = corrupt(data_of(clean), NoiseSpec("asymmetric", 0.35, 5))
    for label in range(CLASSES):
        became = noisy[clean == label]
        if label in FLIPS:
            assert (became == FLIPS[label]).sum() == round(0.35 * len(became))
            assert np.isin(became, [label, FLIPS[label]]).all()
        else:
            assert (became == label).all()


def test_asymmetric_swaps_pairs_without_undoing_itself():
    """3 <-> 5: labels that 3 turned into 5 are not turned back."""
    noisy = corrupt(
        data_of(np.repeat([3, 5], 100), flips={3: 5, 5: 3}), NoiseSpec("asymmetric", 0.9)
    )
    assert (noisy[:100] == 5).sum() == 90
    assert (noisy[100:] == 3).sum() == 90


def test_of_the_block_flips_of_cifar100_six_stay_in_the_superclass():
    # CIFAR's ids are alphabetical
    classes = tuple(sorted(" ".join(CIFAR100_SUPERCLASSES.values()).split()))
    owner = superclass_ids(classes)
    blocks = flip.block_flips(100)
    assert sorted(blocks) == sorted(blocks.values()) == list(range(100)), (
        "each class flips, and each is flipped to"
    )
    assert [blocks[c] for c in (0, 3, 4, 5, 99)] == [1, 4, 0, 6, 95]
    assert sum(owner[source] == owner[target] for source, target in blocks.items()) == 6
    assert (
        sum(owner[source] == owner[target] for source, target in superclass_flips(classes).items())
        == 100
    )


MATRIX = np.array([[0.7, 0.2, 0.1], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_a_matrix_in_exact_sampling_by_hand():
    labels = np.repeat([0, 1, 2], [10, 3, 5])
    noisy = flip.by_matrix(labels, MATRIX, np.random.default_rng(0), "exact")
    assert np.bincount(noisy[:10], minlength=3).tolist() == [7, 2, 1]
    assert noisy[10:13].tolist() == [1, 1, 1]
    # 5/3 each: one is left for each of the first two classes after one each.
    assert np.bincount(noisy[13:], minlength=3).tolist() == [2, 2, 1]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_matrix_is_realised(sampling, tmp_path):
    np.save(tmp_path / "T.npy", MATRIX)
    clean = np.repeat([0, 1, 2], 3000)
    noisy = corrupt(data_of(clean, 3), NoiseSpec(f"matrix:{tmp_path / 'T.npy'}", None, 0, sampling))
    realised = transition_matrix(clean, noisy, 3)
    assert (
        np.abs(realised - MATRIX) <= (1 / 3000 if sampling == "exact" else bound(MATRIX, 3000))
    ).all()
    assert (noisy[:2100] != noisy[900:3000]).any(), "who flips is drawn"


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda shares: sum(shares) > 0.01),
    st.integers(0, 500),
)
@settings(max_examples=100, deadline=None)
def test_largest_remainder_keeps_the_sum_and_stays_within_one(shares, count):
    row = np.array(shares) / sum(shares)
    whole = flip.largest_remainder(row, count)
    assert whole.sum() == count and whole.min() >= 0
    assert np.abs(whole - row * count).max() < 1 + 1e-6


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_openset_draws_positions_and_donors(sampling):
    positions, donors = flip.openset(1000, 5000, 0.3, noise.generator(0), sampling)
    assert len(positions) == len(donors) == len(set(positions)) == len(set(donors)), (
        "no position and no donor twice"
    )
    assert (
        (len(positions) == 300)
        if sampling == "exact"
        else (abs(len(positions) - 300) < 5 * np.sqrt(210))
    )
    assert (np.diff(positions) > 0).all() and positions.max() < 1000 and donors.max() < 5000
    again = flip.openset(1000, 5000, 0.3, noise.generator(0), sampling)
    assert (again[0] == positions).all() and (again[1] == donors).all()


def test_openset_uses_few_donors_equally_often():
    positions, donors = flip.openset(100, 7, 0.3, noise.generator(1), "exact")
    assert len(set(positions)) == 30
    assert sorted(np.bincount(donors, minlength=7)) == [4, 4, 4, 4, 4, 5, 5]
    assert [part.tolist() for part in flip.openset(100, 7, 0, noise.generator(1), "exact")] == [
        [],
        [],
    ]


def test_openset_leaves_labels_alone():
    data = data_of(balanced(5))
    assert (corrupt(data, NoiseSpec("openset:mnist", 0.4)) == data.train_labels).all()


# ----------------------------------------------------------------------------------------------
# of the image


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=50), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_scaled_weights_add_up_and_keep_their_proportions(weights, share):
    total = share * len(weights)
    probabilities = pixels.scaled(np.array(weights), total)
    assert probabilities.sum() == pytest.approx(total, abs=1e-9)
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    below = probabilities < 1
    ratios = probabilities[below] / np.array(weights)[below]
    assert np.ptp(ratios) <= 1e-9 * max(1, ratios.max()) if below.any() else True
    chosen = pixels.choose_weighted(np.array(weights), round(total), np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == round(total)


def test_weighted_choice_has_the_probabilities_that_it_claims():
    # of three: the last is certain, the others add up to two
    weights = np.array([1.0, 2, 3, 4, 30])
    rng = np.random.default_rng(0)
    drawn = np.array(
        [np.bincount(pixels.choose_weighted(weights, 3, rng), minlength=5) for _ in range(4000)]
    )
    expected = np.array([0.2, 0.4, 0.6, 0.8, 1])
    assert pixels.scaled(weights, 3) == pytest.approx(expected)
    assert (np.abs(drawn.mean(0) - expected) <= bound(expected, 4000)).all()


def test_instance_noise_of_grey_images_is_symmetric():
    """Images at the mean project to 0, and the softmax of zeros favours no class."""
    clean, rate = balanced(2000), 0.4
    images, statistics = (
        np.full((len(clean), 1, 2, 2), 51, np.uint8),
        (np.array([0.2]), np.array([0.1])),
    )
    noisy = pixels.instance(
        clean, CLASSES, rate, np.random.default_rng(0), "independent", images, statistics
    )
    expected = expected_matrix("symmetric", rate)
    assert (
        np.abs(transition_matrix(clean, noisy, CLASSES) - expected) <= bound(expected, 2000)
    ).all()


def test_instance_noise_of_equal_images_of_a_class_goes_the_same_way_where_contrast_is_high():
    clean = np.repeat(np.arange(CLASSES), 60)
    images = np.where(np.arange(600) % 2, 255, 0).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 8, 8), np.uint8
    )
    images[:, 0, ::2] = 255 - images[:, 0, ::2]
    noisy = pixels.instance(
        clean,
        CLASSES,
        0.5,
        np.random.default_rng(0),
        "exact",
        images,
        (np.array([0.5]), np.array([1e-4])),
    )
    for label in range(CLASSES):
        for parity in (0, 1):
            became = noisy[(clean == label) & (np.arange(600) % 2 == parity)]
            assert len(set(became) - {label}) == 1


def test_instance_flip_rates_are_those_of_the_truncated_normal():
    """Truncation raises low rates: N(0.1, 0.1) on [0, 1] has the mean 0.1288.

    That is 0.1 + 0.1 phi(1) / Phi(1).
    """
    data = data_of(balanced(2000))
    wrong = (
        corrupt(data, NoiseSpec("instance", 0.1, 0, "independent")) != data.train_labels
    ).mean()
    assert abs(wrong - 0.12876) < bound(0.12876, 20_000)


def posteriors(margins: list[float], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of four classes, ``count`` samples for each margin.

    The label has the highest probability, and the next class the second.
    """
    labels = np.arange(len(margins) * count) % 4
    probabilities = np.zeros((len(labels), 4))
    margin = np.repeat(margins, count)
    probabilities[np.arange(len(labels)), labels] = (1 + margin) / 2
    probabilities[np.arange(len(labels)), (labels + 1) % 4] = (1 - margin) / 2
    return labels, probabilities


#: Chances to flip at margins 0.3, 0.6 and 0.9, by hand. Chances to keep the label are 0.545, 0.68
#: and 0.905 for type I; 0.027, 0.216 and 0.729 for II; 0.139, 0.392 and 0.813 for III: divided by
#: one number, cut at 1, so that their mean is 1 - rate.
CHANCES = {
    (1, 0.3): [0.46268, 0.32958, 0.10775],
    (1, 0.6): [0.69296, 0.61690, 0.49014],
    (2, 0.3): [0.87778, 0.02222, 0.0],
    (2, 0.7): [0.975, 0.8, 0.325],
    (3, 0.3): [0.71205, 0.18795, 0.0],
    (3, 0.6): [0.87589, 0.65, 0.27411],
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("degree", "rate"), CHANCES)
def test_margin_diminishing_noise_follows_its_polynomial(degree, rate, sampling):
    labels, posterior = posteriors([0.3, 0.6, 0.9], 8000)
    noisy = pixels.margin_diminishing(
        labels, degree, rate, np.random.default_rng(0), sampling, posterior
    )
    wrong = noisy != labels
    assert (noisy[wrong] == (labels[wrong] + 1) % 4).all(), "to the runner-up"
    expected = np.array(CHANCES[degree, rate])
    assert (np.abs(wrong.reshape(3, -1).mean(1) - expected) <= bound(expected, 8000)).all()
    assert sampling == "independent" or wrong.sum() == round(rate * 24_000)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("margins", [[0.0], [1.0], [0.0, 1.0]])
def test_margin_diminishing_noise_meets_its_rate_where_all_margins_are_alike(degree, margins):
    labels, posterior = posteriors(margins, 100)
    noisy = pixels.margin_diminishing(
        labels, degree, 0.37, np.random.default_rng(0), "exact", posterior
    )
    assert (noisy != labels).sum() == 37 * len(margins)


def test_margin_diminishing_noise_flips_to_the_first_class_where_the_classifier_is_wrong():
    posterior = np.array([[0.1, 0.3, 0.6], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [1, 0, 0]])
    noisy = pixels.margin_diminishing(
        np.array([1, 0, 2, 0]), 2, 0.99, np.random.default_rng(0), "exact", posterior
    )
    assert noisy[:3].tolist() == [2, 1, 1] and noisy[3] in (1, 2)


def test_the_posterior_is_out_of_fold_and_knows_the_digits(digits):
    probabilities = classifier.posterior_of(digits)
    assert probabilities.shape == (1437, 10)
    assert probabilities.sum(1) == pytest.approx(1)
    assert (probabilities.argmax(1) == digits.train_labels).mean() > 0.96
    assert probabilities.max(1).mean() == pytest.approx(
        (probabilities.argmax(1) == digits.train_labels).mean(), abs=0.05
    ), "as sure as right"
    labels = digits.train_labels.copy()
    # a wrong label moves others' probabilities, but never pulls its own image along
    labels[0] = (labels[0] + 1) % 10
    assert (
        classifier.posterior(digits.train_images, labels, 10)[0].argmax() == digits.train_labels[0]
    )


def between_classes(count: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images that mix two of five shapes, their labels, the other class and its share."""
    rng = np.random.default_rng(1)
    shapes = rng.random((5, 7, 7)).repeat(4, 1).repeat(4, 2)
    labels = np.arange(count) % 5
    other = (labels + rng.integers(1, 5, count)) % 5
    share = rng.uniform(0, 0.5, count)
    images = (
        (1 - share)[:, None, None] * shapes[labels]
        + share[:, None, None] * shapes[other]
        + rng.normal(0, 0.1, (count, 28, 28))
    )
    return (images.clip(0, 1) * 255).astype(np.uint8)[:, None], labels, other, share


def test_images_between_two_classes_flip_most_and_to_the_other_one():
    images, labels, other, share = between_classes()
    data = from_arrays("between", images, labels, images[:20], labels[:20])
    near, far = share > 0.4, share < 0.1
    for kind in ("pmd-1", "pmd-2", "pmd-3"):
        noisy = corrupt(data, NoiseSpec(kind, 0.2))
        wrong = noisy != labels
        assert wrong[near].mean() > 2 * wrong[far].mean()
        assert (noisy[wrong & near] == other[wrong & near]).mean() > 0.9


@pytest.mark.parametrize(("kind", "ratio"), [("pmd-1", 1.6), ("pmd-2", 3.0), ("pmd-3", 3.0)])
def test_digits_flip_more_often_where_the_margin_is_small(digits, kind, ratio):
    ordered = np.sort(classifier.posterior_of(digits), 1)
    order = np.argsort(ordered[:, -1] - ordered[:, -2])
    wrong = np.mean(
        [
            (corrupt(digits, NoiseSpec(kind, 0.2, seed)) != digits.train_labels)[order]
            for seed in range(20)
        ],
        0,
    )
    assert wrong[:144].mean() > ratio * wrong[-144:].mean()


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 9, 5), (3, 70, 50), (1, 33, 200), (3, 6, 6)])
def test_the_classifier_takes_images_of_any_size(shape):
    """Two classes, dark and light on either side."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (40, *shape), dtype=np.uint8)
    labels = np.arange(40) % 2
    images[labels == 1, ..., : shape[-1] // 2] += 150
    probabilities = classifier.posterior(images, labels, 2)
    assert (probabilities.argmax(1) == labels).mean() > 0.9


def test_images_without_any_contrast_tell_the_classifier_nothing():
    probabilities = classifier.posterior(
        np.full((20, 1, 8, 8), 7, dtype=np.uint8), np.arange(20) % 2, 2
    )
    assert probabilities == pytest.approx(0.5, abs=0.05)


def test_the_probabilities_of_many_images_are_kept(digits, tmp_path, monkeypatch, capsys):
    part = digits.subset(60)
    images, labels = part.train_images, part.train_labels
    expected = classifier.posterior(images, labels, 10)
    assert not capsys.readouterr().err, "few images take no time worth a word"
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "MANY", 60)
    monkeypatch.setattr(progress, "_announce", lambda text: print(text, file=sys.stderr))
    fitted = []
    original = classifier.out_of_fold
    monkeypatch.setattr(
        classifier, "out_of_fold", lambda *args: fitted.append(args) or original(*args)
    )

    def refit(labels=labels):
        return classifier.posterior(images, labels, 10)

    assert np.array_equal(refit(), expected) and len(fitted) == 1
    assert "fitting its classifier on 60 images, once" in capsys.readouterr().err
    assert np.array_equal(refit(), expected) and len(fitted) == 1
    assert not capsys.readouterr().err
    refit(np.roll(labels, 1))
    assert len(fitted) == 2, "other labels, other probabilities"
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(refit(), expected) and len(fitted) == 3
    monkeypatch.setenv("LNL_BENCH_CACHE", "/dev/null/cache")
    with pytest.raises(InputError, match="name another folder in LNL_BENCH_CACHE"):
        refit()


def test_a_class_without_images_has_no_probability():
    data = data_of(np.array([0, 3] * 20))
    probabilities = classifier.posterior(data.train_images, data.train_labels, CLASSES)
    assert probabilities.shape == (40, 10) and probabilities[:, [0, 3]].sum(1) == pytest.approx(1)


@pytest.mark.parametrize("kind", PIXEL_KINDS)
def test_noise_of_the_image_depends_on_the_image(kind, digits):
    """The count is exact, a second draw equal, and other images of a class flip other samples."""
    noisy = corrupt(digits, NoiseSpec(kind, 0.4))
    assert (noisy != digits.train_labels).sum() == 575
    assert (corrupt(digits, NoiseSpec(kind, 0.4)) == noisy).all()
    order = np.arange(1437)
    for label in range(10):
        order[digits.train_labels == label] = np.roll(order[digits.train_labels == label], 1)
    other = corrupt(replace(digits, train_images=digits.train_images[order]), NoiseSpec(kind, 0.4))
    assert (other != noisy).mean() > 0.1
    assert (other != digits.train_labels).sum() == 575


# ----------------------------------------------------------------------------------------------
# facts about labels


def test_transition_matrix_by_hand():
    matrix = transition_matrix(np.array([0, 0, 0, 0, 1, 3]), np.array([0, 0, 0, 2, 3, 3]), 4)
    assert matrix.tolist() == [[0.75, 0, 0.25, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_labels_whose_truth_is_unknown_do_not_count():
    clean, noisy = np.array([0, UNKNOWN, 1, UNKNOWN]), np.array([0, 1, 0, 0])
    assert transition_matrix(clean, noisy, 2).tolist() == [[1, 0], [1, 0]]
    assert noise.realised_rate(clean, noisy) == 0.5
    assert noise.realised_rate(np.full(4, UNKNOWN), noisy) is None


def test_label_hash_sees_values_and_order_but_not_the_dtype():
    labels = np.array([1, 2, 3])
    assert (
        label_hash(labels)
        == label_hash(labels.astype(np.int32))
        == label_hash(labels.astype(">i8"))
    )
    assert (
        len(
            {
                label_hash(labels),
                label_hash(labels[::-1]),
                label_hash(labels + 1),
                label_hash(labels[:2]),
            }
        )
        == 4
    )
    # sha256 of the bytes 01 00.. 02 00.. 03 00.., by any other program
    assert label_hash(labels) == "e2e2033ae7e19d68"


# These pin the noise itself across platforms and versions of NumPy: records made anywhere stay
# comparable. If one changes, every published table of this project is void.
GOLDEN = {
    ("symmetric", 0.5, 0): "2e8f994a750af69e",
    ("symmetric", 0.2, 1): "d22f4c75ea305261",
    ("symmetric", 0.8, 2): "c200064d9ab291f9",
    ("symmetric-inclusive", 0.5, 0): "63a78e169a4c61dd",
    ("symmetric-inclusive", 0.2, 1): "b54a8ce9eeb09caa",
    ("symmetric-inclusive", 0.8, 2): "c0c3f4ced79903fc",
    ("asymmetric", 0.4, 0): "720f8de0af651cd8",
    ("asymmetric", 0.2, 1): "4e80338e97ee6c7f",
    ("asymmetric", 0.45, 2): "bc062337a29b4649",
    ("asymmetric-block", 0.4, 0): "848c602d846142be",
    ("asymmetric-block", 0.2, 1): "0c1273abb1002b63",
    ("asymmetric-block", 0.45, 2): "a1efadbe26f6665e",
    ("pairflip", 0.4, 0): "9587ba059682b566",
    ("pairflip", 0.2, 1): "4b50cfa365ae6666",
    ("pairflip", 0.45, 2): "f35e6b7ea6aae888",
}


@pytest.mark.parametrize(("kind", "rate", "seed"), GOLDEN)
def test_golden_noise_on_digits(digits, kind, rate, seed):
    assert label_hash(corrupt(digits, NoiseSpec(kind, rate, seed))) == GOLDEN[kind, rate, seed]


def test_a_fresh_process_draws_the_same_noise(digits):
    code = (
        "from bench.datasets import load_dataset; from bench.noise import *; d = "
        "load_dataset('digits');print(*[label_hash(corrupt(d, NoiseSpec(k, 0.4, 3, s))) "
        f"for s in SAMPLINGS for k in {NOISY_KINDS}])"
    )
    here = [
        label_hash(corrupt(digits, NoiseSpec(kind, 0.4, 3, sampling)))
        for sampling in SAMPLINGS
        for kind in NOISY_KINDS
    ]
    assert in_fresh_process(code).split() == here


def test_noise_and_other_streams_of_a_seed_are_apart():
    """default_rng([0, 0]) is default_rng(0), by which subsets and test sets are chosen."""
    assert (
        len(
            {
                gen.integers(2**60)
                for gen in (np.random.default_rng(0), noise.generator(0), noise.generator(1))
            }
        )
        == 3
    )


# ----------------------------------------------------------------------------------------------
# what is refused

DATA = data_of(balanced(2))


@pytest.mark.parametrize(
    ("kind", "rate", "changes", "message"),
    [
        ("symmetric", 1, {}, "the noise rate is 1: give a rate from 0 up to, but not including, 1"),
        ("symmetric", 1.5, {}, "the noise rate is 1.5"),
        ("symmetric", -0.1, {}, "the noise rate is -0.1"),
        ("symmetric", float("nan"), {}, "the noise rate is nan"),
        ("clean", -0.1, {}, "the noise rate is -0.1"),
        ("symetric", 0.2, {}, "there is no noise kind 'symetric': did you mean symmetric"),
        ("matrx:T.npy", None, {}, "there is no noise kind 'matrx': did you mean matrix"),
        ("pmd", 0.2, {}, "there is no noise kind 'pmd': did you mean pmd-"),
        (
            "zzz",
            0.2,
            {},
            "choose from asymmetric, asymmetric-block, clean, found, human-NAME, instance, "
            "instance-raw",
        ),
        (
            "asymmetric",
            0.2,
            {"flips": None},
            "mydata does not say which classes are mistaken for which: use pairflip, not",
        ),
        ("asymmetric", 0.2, {"flips": {}}, "use pairflip"),
        (
            "asymmetric-block",
            0.2,
            {"classes": tuple("abcdefghijk")},
            "into which the 11 classes of mydata do not divide",
        ),
        ("clean", 0.2, {}, "clean labels take no noise rate, but --noise has 0.2: use --noise 0"),
        ("pairflip", None, {}, "pairflip noise needs a rate: give one with --noise"),
        ("openset:mnist", None, {}, "openset:mnist noise needs a rate: give one with --noise"),
        ("openset:mnst", 0.2, {}, "there is no data set 'mnst': did you mean mnist"),
        (
            "openset:digits",
            0.2,
            {"name": "digits"},
            "takes images of digits's own classes: name another data set",
        ),
        ("openset", 0.2, {}, "openset names no data set: write openset:DATASET"),
        ("matrix", None, {}, "matrix names no file: write matrix:FILE"),
        ("labels:", None, {}, "labels: names no file: write labels:FILE"),
        (
            "symmetric:0.5",
            0.2,
            {},
            "symmetric noise takes nothing after a colon: write symmetric alone",
        ),
        (
            "matrix:T.npy",
            0.2,
            {},
            "matrix:T.npy says itself how many labels are wrong, and takes no noise rate: leave "
            "out",
        ),
        ("labels:L.npy", 0.2, {}, "takes no noise rate: leave out --noise"),
        (
            "matrix:nowhere.npy",
            None,
            {},
            "there is no file 'nowhere.npy': give the path of one that exists",
        ),
        ("labels:nowhere.npy", None, {}, "there is no file 'nowhere.npy'"),
        ("found", None, {}, "mydata does not come with found labels: choose from clean, symmetric"),
        (
            "human-worst",
            0.4,
            {"found": {"human-worst": DATA.train_labels}},
            "are as they are, and take no noise rate",
        ),
        (
            "symmetric",
            0.2,
            {"train_labels": np.full(20, UNKNOWN)},
            "nobody knows the true labels of mydata, which symmetric",
        ),
        (
            "instance",
            0.2,
            {"train_images": ImageFiles("", np.array(["a"] * 20), 64)},
            "stay in their files: use noise of",
        ),
        (
            "pmd-1",
            0.2,
            {"train_images": ImageFiles("", np.array(["a"] * 20), 64)},
            "stay in their files: use noise of",
        ),
        (
            "pmd-2",
            0.2,
            {"train_labels": np.arange(10)},
            "are too few: give at least two images of two classes",
        ),
    ],
)
def test_impossible_noise_is_refused_with_the_fix(kind, rate, changes, message):
    with pytest.raises(InputError) as error:
        check_noise(kind, rate, replace(DATA, **changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        ("clean", None),
        ("clean", 0.0),
        ("symmetric", 0.0),
        ("symmetric", 0.999),
        ("asymmetric", 0.4),
        ("asymmetric-block", 0.4),
        ("instance", 0.4),
        ("pmd-3", 0.4),
        ("openset:digits", 0.4),
        ("openset:npz:others.npz", 0.4),
    ],
)
def test_possible_noise_is_accepted(kind, rate):
    check_noise(kind, rate)
    check_noise(kind, rate, DATA)


def test_noisy_labels_that_come_with_the_data():
    noisy = (DATA.train_labels + 1) % 10
    data = replace(DATA, found={FOUND: noisy})
    check_noise(FOUND, None, data)
    assert (corrupt(data, NoiseSpec(FOUND)) == noisy).all()
    assert noise.default_noise(data) == FOUND and noise.default_noise(DATA) == "symmetric"


@pytest.mark.parametrize("kind", [*NOISY_KINDS, "openset:mnist"])
def test_kinds_that_are_drawn_take_a_rate(kind):
    assert noise.takes_rate(kind)


@pytest.mark.parametrize("kind", ["clean", "found", "human-worst", "matrix:T.npy", "labels:L.npy"])
def test_the_other_kinds_take_none(kind):
    assert not noise.takes_rate(kind)


# ----------------------------------------------------------------------------------------------
# other packages'


class Point:
    """Entry point, as in importlib.metadata."""

    value = "theirs.noise:KIND"

    def __init__(self, name: str, kind: object) -> None:
        self.name, self.kind = name, kind

    def load(self) -> object:
        if self.kind is None:
            raise ImportError("no module")
        return self.kind


@pytest.fixture
def offer(monkeypatch):
    """Make an installed package offer a kind of noise."""

    def make(name: str, kind: object) -> None:
        monkeypatch.setattr(
            plugins, "entry_points", lambda group: [Point(name, kind)] * (group == "bench.noise")
        )
        registry._packaged.cache_clear()

    yield make
    registry._packaged.cache_clear()


THEIRS = NoiseKind(
    "all to class 0", lambda data, rate, rng, sampling, argument: 0 * data.train_labels
)


def test_a_kind_of_another_package(offer):
    offer("collapse", THEIRS)
    check_noise("collapse", 0.5, DATA)
    assert noise.listing()["collapse"] == "all to class 0"
    assert (corrupt(DATA, NoiseSpec("collapse", 0.5)) == 0).all()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "symmetric",
            THEIRS,
            "two kinds of noise are called 'symmetric', one here and one in theirs.noise:KIND: "
            "rename either",
        ),
        (
            "mine",
            print,
            "the entry point 'mine' names theirs.noise:KIND, which is no noise kind: name a "
            "NoiseKind",
        ),
        (
            "mine",
            None,
            "theirs.noise:KIND cannot be imported: ImportError: no module: mend its file",
        ),
    ],
)
def test_an_impossible_kind_of_another_package_is_named(offer, name, kind, message):
    offer(name, kind)
    with pytest.raises(InputError) as error:
        check_noise(name, 0.2)
    assert message in str(error.value)


def test_a_broken_kind_of_another_package_does_not_hide_the_others(offer):
    offer("mine", None)
    assert noise.listing()["mine"].startswith("[broken: theirs.noise:KIND cannot be imported")
    check_noise("symmetric", 0.2, DATA)


def test_labels_out_of_range_of_another_packages_kind_are_refused(offer):
    offer(
        "beyond", NoiseKind("", lambda data, rate, rng, sampling, argument: data.train_labels + 1)
    )
    with pytest.raises(
        InputError, match="the labels in beyond go from 1 to 10, but mydata has 10 classes"
    ):
        corrupt(DATA, NoiseSpec("beyond", 0.5))


def _odd(change: Callable[[np.ndarray], object]) -> Callable:
    return lambda data, rate, rng, sampling, argument: change(data.train_labels.copy())


def _in_place(data, rate, rng, sampling, argument):
    data.train_labels[:5] = 0
    return data.train_labels


def _raise(error: BaseException) -> Callable:
    def corrupt(data, rate, rng, sampling, argument):
        raise error

    return corrupt


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (_raise(KeyError("x")), "theirs.noise:KIND: corrupt raised KeyError: 'x': mend it"),
        (_raise(SystemExit()), "theirs.noise:KIND: corrupt raised SystemExit"),
        (lambda data, rate: data.train_labels, "theirs.noise:KIND: corrupt raised TypeError"),
        (_odd(lambda labels: None), "theirs.noise:KIND: corrupt returns object of shape ()"),
        (
            _odd(lambda labels: labels + 0.5),
            "theirs.noise:KIND: corrupt returns float64 of shape (20,)",
        ),
        (_odd(lambda labels: labels > 3), "theirs.noise:KIND: corrupt returns bool"),
        (
            _odd(lambda labels: labels[:, None]),
            "theirs.noise:KIND: corrupt returns int64 of shape (20, 1)",
        ),
        (
            _odd(lambda labels: labels[:10]),
            "theirs.noise:KIND: there are 10 labels in mine for 20 training images",
        ),
        (_odd(lambda labels: labels - 1), "theirs.noise:KIND: the labels in mine go from -1 to 8"),
        (
            _in_place,
            "theirs.noise:KIND: corrupt raised ValueError: assignment destination is read-only",
        ),
        (
            _odd(lambda labels: np.random.default_rng().permutation(labels)),
            "theirs.noise:KIND: corrupt draws other labels each time",
        ),
    ],
)
def test_wrong_corruptions_of_another_package_are_named_before_anything_runs(
    offer, corruption, message
):
    offer("mine", NoiseKind("", corruption))
    clean = DATA.train_labels.copy()
    with pytest.raises(InputError) as error:
        noise.rehearse(DATA, noise.NoiseSpec("mine", 0.5))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert (DATA.train_labels == clean).all() and DATA.train_labels.flags.writeable


def test_noise_on_images_out_of_shared_memory(tmp_path):
    """Arrays from Ray are read-only; a memory map among them reports that it is writeable."""
    np.save(tmp_path / "images.npy", DATA.train_images)
    mapped = replace(DATA, train_images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(mapped, protocol=5, buffer_callback=buffers.append)
    shared = pickle.loads(content, buffers=[bytes(buffer) for buffer in buffers])
    labels = noise.corrupt(shared, noise.NoiseSpec("symmetric", 0.5))
    np.testing.assert_array_equal(labels, noise.corrupt(DATA, noise.NoiseSpec("symmetric", 0.5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrupt": None}, "theirs.noise:KIND: corrupt is None: give a function"),
        ({"check": 3}, "theirs.noise:KIND: check is 3: give a function"),
        ({"files": "T.npy"}, "theirs.noise:KIND: files is 'T.npy': give a function"),
        ({"takes_rate": "no"}, "theirs.noise:KIND: takes_rate is 'no'"),
        ({"summary": None}, "theirs.noise:KIND: summary is None"),
        (
            {"check": lambda data, kind, argument: 1 / 0},
            "theirs.noise:KIND: check raised ZeroDivisionError",
        ),
        ({"check": lambda data: None}, "theirs.noise:KIND: check raised TypeError"),
    ],
)
def test_wrong_fields_of_another_packages_kind_are_named(offer, changes, message):
    offer("mine", replace(THEIRS, **changes))
    with pytest.raises(InputError) as error:
        check_noise("mine", 0.5, DATA)
    assert message in str(error.value)
    check_noise("symmetric", 0.5, DATA)


def test_a_name_that_clashes_stops_only_those_who_ask_for_it(offer):
    offer("symmetric", THEIRS)
    check_noise("pairflip", 0.5, DATA)
    assert noise.listing()["symmetric"].startswith(
        "[broken: two kinds of noise are called 'symmetric'"
    )


def test_whole_numbers_of_any_kind_are_labels(offer):
    offer("small", NoiseKind("", _odd(lambda labels: labels.astype(np.uint8).tolist())))
    noisy = corrupt(DATA, NoiseSpec("small", 0.5))
    assert noisy.dtype == np.int64 and (noisy == DATA.train_labels).all()


def test_files_that_another_packages_kind_reads_are_in_the_fingerprint(offer, tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("first")
    two.write_text("second")
    # sha256 of "first"; of the digests of both, one after the other
    first = "a7937b64b8caa58f"
    both = hashlib.sha256(
        hashlib.sha256(b"first").digest() + hashlib.sha256(b"second").digest()
    ).hexdigest()[:16]
    offer("mine", replace(THEIRS, argument="FILE"))
    assert noise.fingerprint(f"mine:{one}") == first, "an argument that is a FILE is read"
    offer(
        "mine",
        replace(
            THEIRS,
            argument="DIR",
            files=lambda argument: [Path(argument) / name for name in ("one.csv", "two.csv")],
        ),
    )
    assert noise.fingerprint(f"mine:{tmp_path}") == both
    two.write_text("changed")
    assert noise.fingerprint(f"mine:{tmp_path}") != both
    offer("mine", replace(THEIRS, files=lambda argument: [str(one)]))
    assert noise.fingerprint("mine") == first, "of a kind without an argument too"
    offer("mine", THEIRS)
    assert noise.fingerprint("mine") is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (lambda argument: ["nowhere.csv"], "there is no file 'nowhere.csv'"),
        (lambda argument: argument, "files returns '': return a list of paths"),
        (lambda argument: [3], "files returns [3]: return a list of paths"),
        (lambda argument: 1 / 0, "theirs.noise:KIND: files raised ZeroDivisionError"),
        (lambda: [], "theirs.noise:KIND: files raised TypeError"),
    ],
)
def test_wrong_files_of_another_packages_kind_are_named(offer, files, message):
    offer("mine", replace(THEIRS, files=files))
    with pytest.raises(InputError) as error:
        noise.fingerprint("mine")
    assert message in str(error.value)
