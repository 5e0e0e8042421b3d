"""Nearest neighbours, against brute force: exact in every precision and on every path."""

import numpy as np
import pytest
import torch

from bench.ops import mix_with_neighbours, nearest_neighbours, neighbours


def brute_force(features: np.ndarray, k: int, bank: np.ndarray | None = None) -> np.ndarray:
    others = features if bank is None else bank
    distances = np.sqrt(((features[:, None].astype(float) - others[None]) ** 2).sum(2))
    if bank is None:
        np.fill_diagonal(distances, np.inf)
    return distances.argsort(1, kind="stable")[:, :k]


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
@pytest.mark.parametrize("k", [1, 2, 8, 39])
def test_neighbours_are_those_of_brute_force_and_never_the_sample_itself(k, chunk):
    features = np.random.default_rng(0).normal(3, 1, (40, 5)).astype(np.float32)
    positions = nearest_neighbours(torch.from_numpy(features), k, chunk=chunk).numpy()
    assert (positions == brute_force(features, k)).all()
    assert (positions != np.arange(40)[:, None]).all()


@pytest.mark.parametrize("chunk", [3, 1000])
def test_neighbours_in_a_bank_may_be_anything_in_it(chunk):
    rng = np.random.default_rng(1)
    features, bank = (rng.normal(0, 1, (count, 4)).astype(np.float32) for count in (10, 30))
    positions = nearest_neighbours(
        torch.from_numpy(features), 5, torch.from_numpy(bank), chunk=chunk
    ).numpy()
    assert (positions == brute_force(features, 5, bank)).all()
    nearest = nearest_neighbours(torch.from_numpy(bank), 1, torch.from_numpy(bank), chunk=chunk)
    assert nearest[:, 0].tolist() == list(range(30)), (
        "with a bank, a row that is in it is its own nearest"
    )


def test_neighbours_are_at_most_those_that_there_are():
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    positions = nearest_neighbours(features, 9)
    assert [sorted(row) for row in positions.tolist()] == [
        [1, 2, 3],
        [0, 2, 3],
        [0, 1, 3],
        [0, 1, 2],
    ]
    assert nearest_neighbours(features[:2], 9, features).shape == (2, 4)
    assert nearest_neighbours(features[:1], 1).shape == (1, 0)


def test_twins_are_each_others_neighbours():
    features = torch.tensor([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]])
    positions = nearest_neighbours(features, 1).flatten().tolist()
    assert (positions[0], positions[2]) == (2, 0)


def test_neighbours_are_exact_under_autocast():
    """In bfloat16, a quarter of the nearest neighbours of such features would be wrong."""
    features = torch.randn(128, 256, generator=torch.Generator().manual_seed(0)).relu() + 1
    with torch.autocast("cpu", torch.bfloat16):
        positions = nearest_neighbours(features, 2)
    assert torch.equal(positions, nearest_neighbours(features, 2))


def by_topk(features: torch.Tensor, k: int, bank: torch.Tensor | None = None) -> torch.Tensor:
    """Neighbours as one product and topk, of which everything else must be a faster way."""
    among_features = bank is None
    bank = features if bank is None else bank
    distances = torch.addmm(bank.square().sum(1), features, bank.T, alpha=-2)
    if among_features:
        distances.fill_diagonal_(torch.inf)
    return distances.topk(min(k, len(bank) - among_features), largest=False).indices


@pytest.mark.parametrize("rows", [2, 3, 40, 63, 64, 65, 128])
@pytest.mark.parametrize("k", [1, 2])
def test_of_equally_near_neighbours_topk_says_which(rows, k):
    """Twins, and distances that are whole numbers.

    Without this order, another search for neighbours would move records.
    """
    generator = torch.Generator().manual_seed(rows)
    half = torch.randint(0, 2, (rows // 2, 5), generator=generator).float()
    whole = torch.cat([half, -half, torch.zeros(rows % 2, 5)])  # their mean is 0
    twins = torch.randn(rows, 16, generator=generator)[
        torch.randint(0, rows, (rows,), generator=generator)
    ]
    for features in (whole, twins):
        assert torch.equal(nearest_neighbours(features, k), by_topk(features, k))


@pytest.mark.parametrize("rows", [100, 500])
def test_far_from_the_origin_neighbours_are_exact(wide, rows):
    """A part common to all rows tells none apart, and in float32 it would drown the rest."""
    features = 30 + 0.1 * torch.randn(rows, 64, generator=torch.Generator().manual_seed(0))
    for bank in (None, features):
        exact = by_topk(features.double(), 5, None if bank is None else features.double())
        assert torch.equal(nearest_neighbours(features, 5, bank, chunk=150), exact)
    assert not torch.equal(by_topk(features, 5, features), exact), (
        "else these features would show nothing"
    )


@pytest.mark.parametrize("units", [False, True])
@pytest.mark.parametrize(("rows", "k"), [(40, 3), (100, 1), (300, 1), (300, 5)])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_not_finite_spoils_itself_alone(wide, monkeypatch, value, rows, k, units):
    monkeypatch.setattr(neighbours, "bfloat16_units", lambda: units)
    features = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
    expected = nearest_neighbours(features[1:], k) + 1
    features[0, 2] = value
    assert torch.equal(nearest_neighbours(features, k)[1:], expected)
    assert torch.equal(nearest_neighbours(features[1:], k, features)[:, 1:], expected[:, : k - 1])


@pytest.fixture
def wide(monkeypatch):
    """Banks of 200 rows are taken for large ones."""
    monkeypatch.setattr(neighbours, "WIDE", 200)
    monkeypatch.setattr(neighbours, "bfloat16_units", lambda: False)


@pytest.mark.parametrize("rows", [200, 333, 512])
@pytest.mark.parametrize("k", [1, 11, 30])
def test_in_a_wide_bank_neighbours_are_the_same(wide, rows, k):
    bank = torch.randn(rows, 16, generator=torch.Generator().manual_seed(k))
    assert torch.equal(nearest_neighbours(bank, k, chunk=150), by_topk(bank, k))
    assert torch.equal(nearest_neighbours(bank[:70], k, bank), by_topk(bank[:70], k, bank))


@pytest.fixture
def searched(wide, monkeypatch):
    """Rows for which float32 looks through the whole bank, on a CPU with bfloat16 units."""
    monkeypatch.setattr(neighbours, "bfloat16_units", lambda: True)
    lengths: list[int] = []
    whole = neighbours._nearest

    def noting(rows, *arguments):
        lengths.append(len(rows))
        return whole(rows, *arguments)

    monkeypatch.setattr(neighbours, "_nearest", noting)
    return lengths


@pytest.mark.parametrize("k", [1, 11])
def test_candidates_in_bfloat16_give_the_neighbours_of_float32(searched, k):
    features = torch.randn(700, 64, generator=torch.Generator().manual_seed(k)).relu()
    for moved in (features, features * 1e-3 + 5):  # a common offset tells nobody apart
        exact = by_topk(moved.double(), k)
        assert torch.equal(nearest_neighbours(moved, k, chunk=300), exact)
        assert torch.equal(
            nearest_neighbours(moved[:50], k, moved),
            by_topk(moved[:50].double(), k, moved.double()),
        )
    assert sum(searched) < 100, "of 1500"


def test_what_bfloat16_cannot_tell_apart_float32_looks_for(searched):
    """Clusters that are small for their distance: nearly all of a cluster rounds to the same."""
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(4, 64, generator=generator)
    features = centres[torch.arange(600) % 4] + 0.2 * torch.randn(600, 64, generator=generator)
    positions, exact = nearest_neighbours(features, 5, chunk=200), by_topk(features.double(), 5)
    assert (positions == exact).float().mean() > 0.99, "but for the rounding of float32"
    assert sum(searched) == 600


def test_many_neighbours_are_no_matter_for_candidates(searched):
    features = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nearest_neighbours(features, 17), by_topk(features, 17))
    assert torch.equal(
        nearest_neighbours(features[:50], 17, features), by_topk(features[:50], 17, features)
    )
    assert sum(searched) == 50, "one product, and another way where the rows are their own bank"


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_neighbours_of_features_in_half_precision_are_those_of_their_values(k, dtype):
    features = torch.randn(128, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(nearest_neighbours(features, k), nearest_neighbours(features.float(), k))
    assert torch.equal(
        nearest_neighbours(features[:9], k, features),
        nearest_neighbours(features[:9].float(), k, features.float()),
    )


def test_neighbours_make_nothing_on_another_device(monkeypatch):
    """A copy from there would wait for it, in every step of softmix."""
    devices = []
    arange = torch.arange
    monkeypatch.setattr(
        torch,
        "arange",
        lambda *a, device=None, **k: devices.append(device) or arange(*a, device=device, **k),
    )
    features, images = torch.randn(64, 8), torch.randn(64, 1, 4, 4)
    group = torch.cat([torch.zeros(64, 1, dtype=torch.long), nearest_neighbours(features, 1)], 1)
    mix_with_neighbours(images, group, torch.ones(64, 2), torch.ones(64, 2, 3))
    assert devices and set(devices) == {features.device}
