import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.mixture import GaussianMixture

from bench.ops import neighbours
from bench.ops import (
    beta_sample,
    clean_probability,
    distributions,
    fit_betas,
    fit_gaussians,
    fit_mixture,
    forever,
    min_max,
    mix_with_neighbours,
    nearest_neighbours,
    per_sample,
    per_sample_loss,
    sharpen,
    soft_cross_entropy,
    two_means,
)

# --------------------------------------------------------------------------------------------------
# losses


def bimodal(name: str, seed: int = 0) -> np.ndarray:
    """Losses as networks have them on noisy labels: many small ones and a broad mode of large ones."""
    rng = np.random.default_rng(seed)
    parts = {
        "half": (rng.gamma(1.0, 0.3, 3000), rng.normal(4, 1.2, 3000)),
        "mostly clean": (rng.exponential(0.2, 5000), rng.normal(3.5, 1.0, 700)),
        "mostly noisy": (rng.exponential(0.5, 700), rng.normal(3.0, 0.7, 5000)),
        "overlapping": (rng.normal(1.0, 0.5, 3000), rng.normal(2.6, 0.7, 3000)),
        "memorised": (rng.exponential(0.002, 4000), rng.exponential(0.01, 400) + 0.03),
        "few": (rng.exponential(0.2, 60), rng.normal(3.0, 0.5, 60)),
    }[name]
    return np.abs(np.concatenate(parts))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "name", ["half", "mostly clean", "mostly noisy", "overlapping", "memorised", "few"]
)
def test_gaussian_mixture_agrees_with_scikit_learn(name, seed):
    losses = bimodal(name, seed)
    scaled = (losses - losses.min()) / (losses.max() - losses.min())
    theirs = GaussianMixture(
        n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0
    ).fit(scaled[:, None])
    expected = theirs.predict_proba(scaled[:, None])[:, theirs.means_.argmin()]
    values = torch.from_numpy(scaled)
    found = fit_gaussians(values).low_posterior(values).numpy()
    assert 0.05 < (expected > 0.5).mean() < 0.98, "the sample is no test of anything"
    assert ((found > 0.5) != (expected > 0.5)).mean() <= 0.003
    assert np.abs(found - expected).mean() < 0.01


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("iterations", "tol"), [(10, 1e-2), (10, 0.0), (1, 0.0), (3, 0.0), (100, 1e-4)]
)
def test_gaussian_mixture_goes_on_from_the_same_start_as_scikit_learn(iterations, tol):
    """From the same two-means split, posteriors are the same number for number."""
    losses = bimodal("half")
    scaled = (losses - losses.min()) / (losses.max() - losses.min())
    low = two_means(torch.from_numpy(scaled)).numpy()

    class FromSplit(GaussianMixture):
        def _initialize_parameters(self, x, random_state, **kwargs):
            self._initialize(x, np.stack([low, ~low], 1).astype(float))

    theirs = FromSplit(n_components=2, max_iter=iterations, tol=tol, reg_covar=5e-4).fit(
        scaled[:, None]
    )
    expected = theirs.predict_proba(scaled[:, None])[:, theirs.means_.argmin()]
    values = torch.from_numpy(scaled)
    found = fit_gaussians(
        values, **({} if tol == 1e-2 else {"max_iter": iterations, "tol": tol})
    ).low_posterior(values)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=12))
@settings(max_examples=150, deadline=None)
def test_two_means_is_the_best_split(values):
    values = np.array(values) / 7
    if len(np.unique(values)) < 2:
        return
    low = two_means(torch.from_numpy(values)).numpy()
    assert 0 < low.sum() < len(values)

    def within(mask: np.ndarray) -> float:
        return sum(((values[side] - values[side].mean()) ** 2).sum() for side in (mask, ~mask))

    best = min(within(values <= cut) for cut in np.unique(values)[:-1])
    assert within(low) == pytest.approx(best, abs=1e-9)


def beta_posterior(values: np.ndarray, iterations: int = 10) -> np.ndarray:
    """The same steps of EM with scipy's density, one component at a time."""
    values = np.clip(values, 1e-4, 1 - 1e-4)
    ordered = np.sort(values)
    splits = [
        ordered[:n].var() * n + ordered[n:].var() * (len(values) - n) for n in range(1, len(values))
    ]
    low = values <= ordered[int(np.argmin(splits))]
    posteriors = [low.astype(float), 1.0 - low]
    for _ in range(iterations):
        joint, means = [], []
        for posterior in posteriors:
            mean = (posterior * values).sum() / posterior.sum()
            variance = (posterior * (values - mean) ** 2).sum() / posterior.sum()
            alpha = mean * (mean * (1 - mean) / variance - 1)
            density = stats.beta.pdf(values, alpha, alpha * (1 - mean) / mean)
            joint.append(posterior.sum() / len(values) * density)
            means.append(mean)
        posteriors = [j / sum(joint) for j in joint]
    return posteriors[int(np.argmin(means))]


def two_betas(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.beta(2, 12, 600), rng.beta(9, 4, 400)]), np.repeat(
        [True, False], [600, 400]
    )


def test_beta_fit_takes_the_steps_that_scipy_takes():
    values, _ = two_betas()
    np.testing.assert_allclose(
        fit_betas(torch.from_numpy(values)).posterior(torch.from_numpy(values))[0].numpy(),
        beta_posterior(values),
        atol=1e-6,
    )


def test_beta_fit_separates_two_known_betas():
    values, first = two_betas(1)
    truth = 0.6 * stats.beta.pdf(values, 2, 12)
    truth = truth / (truth + 0.4 * stats.beta.pdf(values, 9, 4))
    found = fit_betas(torch.from_numpy(values)).posterior(torch.from_numpy(values))[0].numpy()
    assert np.abs(found - truth).mean() < 0.02
    assert ((found > 0.5) == first).mean() > 0.95


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
def test_low_losses_are_clean(mixture):
    losses = torch.from_numpy(bimodal("half")).float()
    clean = clean_probability(losses, mixture)
    assert clean.dtype == torch.float32
    assert clean.min() >= 0
    assert clean.max() <= 1
    assert clean[:3000].mean() > 0.9
    assert clean[3000:].mean() < 0.1


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
def test_clean_probability_does_not_depend_on_order_or_on_the_scale_of_losses(mixture):
    losses = torch.from_numpy(bimodal("overlapping"))
    clean = clean_probability(losses, mixture)
    order = torch.randperm(len(losses), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        clean_probability(losses[order], mixture), clean[order], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(clean_probability(3 * losses + 5, mixture), clean, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
@pytest.mark.parametrize("count", [1, 2, 5, 1000])
@pytest.mark.parametrize("value", [0.0, 2.3, 1e-30, 1e30])
def test_equal_losses_are_all_clean(mixture, count, value):
    losses = torch.full((count,), value)
    assert torch.equal(clean_probability(losses, mixture), torch.ones(count))


@pytest.mark.parametrize(("mixture", "fit"), [("gmm", fit_gaussians), ("bmm", fit_betas)])
def test_values_that_are_scaled_already_are_taken_as_they_are(mixture, fit):
    values = 0.2 + 0.5 * min_max(torch.from_numpy(bimodal("half")))
    posterior = fit(values).low_posterior(values)
    assert torch.equal(clean_probability(values, mixture, scale=False), posterior)
    assert not torch.equal(clean_probability(values, mixture), posterior)
    assert torch.equal(
        clean_probability(torch.full((5,), 0.3), mixture, scale=False), torch.ones(5)
    )


def noise(shape: str) -> torch.Tensor:
    """Losses of 2,000 samples."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(
        {
            "two modes": lambda: np.concatenate(
                [rng.normal(1, 0.2, 1200), rng.normal(4, 0.5, 800)]
            ),
            "gaussian": lambda: rng.normal(3, 0.5, 2000),
            "exponential": lambda: rng.exponential(1, 2000),
            "outlier": lambda: np.concatenate([rng.normal(1, 0.01, 1999), [30.0]]),
        }[shape]()
    )


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
@pytest.mark.parametrize(
    ("shape", "state"),
    [
        ("two modes", "two modes"),
        ("gaussian", "one mode"),
        ("exponential", "one mode"),
        ("outlier", "one component"),
    ],
)
def test_a_mixture_says_what_it_came_to(mixture, shape, state):
    shapes: list[str] = []
    clean = clean_probability(noise(shape), mixture, shapes=shapes)
    assert shapes == [state]
    assert clean.isfinite().all()


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
def test_losses_that_are_no_numbers_are_not_clean(mixture):
    losses = noise("two modes")
    losses[5] = torch.nan
    shapes: list[str] = []
    assert clean_probability(losses, mixture, shapes=shapes).isnan().all()
    assert shapes == ["not finite"]
    shapes.clear()
    clean_probability(torch.ones(9), mixture, shapes=shapes)
    assert shapes == ["equal losses"]


def test_without_a_mixture_there_is_no_fit():
    assert fit_mixture(torch.ones(9)) is None
    assert fit_mixture(torch.tensor([0.0, torch.inf])) is None
    values = min_max(noise("two modes"))
    assert torch.equal(
        fit_mixture(values).low_posterior(values), fit_gaussians(values).low_posterior(values)
    )
    start = torch.stack([1 - values, values])
    assert torch.equal(
        fit_mixture(values, "bmm", start=start).alpha, fit_betas(values, start=start).alpha
    )


def test_distributions_by_hand():
    found = distributions(
        torch.tensor([[0.1, 0.3], [0.0, 0.0], [0.0, 1e-30]]), torch.tensor([0, 1, 0])
    )
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75], [0.0, 1.0], [0.0, 1.0]]))


def test_betas_tell_two_values_apart():
    clean = clean_probability(torch.tensor([0.0] * 500 + [1.0] * 500), "bmm")
    assert (clean[:500] > 0.9).all() and (clean[500:] < 0.1).all()


@pytest.mark.parametrize("shape", ["two modes", "exponential", "outlier"])
def test_under_betas_no_sample_is_cleaner_than_one_with_a_smaller_loss(shape):
    losses = noise(shape)
    clean = clean_probability(losses, "bmm")[losses.argsort()]
    assert (clean.diff() <= 1e-6).all()
    assert clean[0] > 0.5


EXTREME = {
    "two": [0.0, 1.0],
    "three": [0.0, 0.0, 5.0],
    "three, the other way": [0.0, 5.0, 5.0],
    "five": [0.1, 0.2, 0.3, 3.0, 4.0],
    "one outlier": [0.0] * 999 + [1e30],
    "one low outlier": [1e30] * 999 + [0.0],
    "tiny": [1e-38, 2e-38, 3e-38, 1e-30],
    "huge": [1e37, 2e37, 3e38, 3.1e38],
    "many decades": [10.0**n for n in range(-30, 31)],
    "two values": [0.0] * 50 + [1.0] * 50,
    "nearly equal": [1.0, 1.0, 1.0 + 2e-7],
}


@pytest.mark.parametrize("mixture", ["gmm", "bmm"])
@pytest.mark.parametrize("name", EXTREME)
def test_mixtures_of_extreme_losses_are_finite_and_put_the_smallest_among_the_clean(name, mixture):
    losses = torch.tensor(EXTREME[name])
    clean = clean_probability(losses, mixture)
    assert torch.isfinite(clean).all()
    assert clean.min() >= 0
    assert clean.max() <= 1
    assert clean[losses.argmin()] > 0.5
    if mixture == "gmm" and name != "nearly equal":  # by rounding alone
        assert clean[losses.argmax()] < 0.5


@given(
    st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=30), st.sampled_from(["gmm", "bmm"])
)
@settings(max_examples=200, deadline=None)
def test_mixtures_of_any_losses_are_probabilities(losses, mixture):
    clean = clean_probability(torch.tensor(losses), mixture)
    assert torch.isfinite(clean).all()
    assert ((clean >= 0) & (clean <= 1 + 1e-6)).all()


def test_min_max():
    assert min_max(torch.tensor([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert min_max(torch.full((4,), 7.0)).tolist() == [0] * 4
    assert min_max(torch.tensor([-1.0])).tolist() == [0]


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_differs_by_rounding_alone_is_equal(scale, dtype):
    values = scale * (1 + 2e-7 * torch.arange(5, dtype=dtype) / 4)
    assert min_max(values).tolist() == [0] * 5
    assert clean_probability(values).tolist() == [1] * 5
    values[3] = scale * 1.00001
    assert min_max(values).max() == 1
    assert clean_probability(values)[3] < 0.5


# --------------------------------------------------------------------------------------------------
# neighbours


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
    found = nearest_neighbours(torch.from_numpy(features), k, chunk=chunk).numpy()
    assert (found == brute_force(features, k)).all()
    assert (found != np.arange(40)[:, None]).all()


@pytest.mark.parametrize("chunk", [3, 1000])
def test_neighbours_in_a_bank_may_be_anything_in_it(chunk):
    rng = np.random.default_rng(1)
    features, bank = (rng.normal(0, 1, (count, 4)).astype(np.float32) for count in (10, 30))
    found = nearest_neighbours(
        torch.from_numpy(features), 5, torch.from_numpy(bank), chunk=chunk
    ).numpy()
    assert (found == brute_force(features, 5, bank)).all()
    own = nearest_neighbours(torch.from_numpy(bank), 1, torch.from_numpy(bank), chunk=chunk)
    assert own[:, 0].tolist() == list(range(30)), (
        "with a bank, a row that is in it is its own nearest"
    )


def test_neighbours_are_at_most_those_that_there_are():
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = nearest_neighbours(features, 9)
    assert [sorted(row) for row in found.tolist()] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert nearest_neighbours(features[:2], 9, features).shape == (2, 4)
    assert nearest_neighbours(features[:1], 1).shape == (1, 0)


def test_twins_are_each_others_neighbours():
    features = torch.tensor([[0.0, 0.0], [5.0, 5.0], [0.0, 0.0]])
    found = nearest_neighbours(features, 1).flatten().tolist()
    assert (found[0], found[2]) == (2, 0)


def test_neighbours_are_exact_under_autocast():
    """Rounded to bfloat16, a quarter of the nearest neighbours of features like these would be
    wrong.
    """
    features = torch.randn(128, 256, generator=torch.Generator().manual_seed(0)).relu() + 1
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest_neighbours(features, 2)
    assert torch.equal(found, nearest_neighbours(features, 2))


def by_topk(features: torch.Tensor, k: int, bank: torch.Tensor | None = None) -> torch.Tensor:
    """Neighbours as one product and topk, of which everything else must be a faster way."""
    own = bank is None
    bank = features if bank is None else bank
    distances = torch.addmm(bank.square().sum(1), features, bank.T, alpha=-2)
    if own:
        distances.fill_diagonal_(torch.inf)
    return distances.topk(min(k, len(bank) - own), largest=False).indices


@pytest.mark.parametrize("rows", [2, 3, 40, 63, 64, 65, 128])
@pytest.mark.parametrize("k", [1, 2])
def test_of_equally_near_neighbours_topk_says_which(rows, k):
    """Twins, and distances that are whole numbers: else a change of how neighbours are found would
    move records.
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
    """What all rows share tells nobody apart, and in float32 it would drown what does."""
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
    """Rows that float32 looks through the whole bank for, on a CPU that seems to have units for
    bfloat16.
    """
    monkeypatch.setattr(neighbours, "bfloat16_units", lambda: True)
    found: list[int] = []
    whole = neighbours._nearest

    def noting(rows, *arguments):
        found.append(len(rows))
        return whole(rows, *arguments)

    monkeypatch.setattr(neighbours, "_nearest", noting)
    return found


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
    found, exact = nearest_neighbours(features, 5, chunk=200), by_topk(features.double(), 5)
    assert (found == exact).float().mean() > 0.99, "but for the rounding of float32"
    assert sum(searched) == 600


def test_many_neighbours_are_no_matter_for_candidates(searched):
    features = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nearest_neighbours(features, 17), by_topk(features, 17))
    assert torch.equal(
        nearest_neighbours(features[:50], 17, features), by_topk(features[:50], 17, features)
    )
    assert sum(searched) == 50, "one product, and another way where the rows are their own bank"


# --------------------------------------------------------------------------------------------------
# small pieces


def test_soft_cross_entropy_by_hand():
    # probabilities 1/4, 3/4 and 4/5, 1/5
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    targets = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    expected = (-0.5 * math.log(1 / 4) - 0.5 * math.log(3 / 4) - math.log(4 / 5)) / 2
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(expected)


def test_soft_cross_entropy_with_one_hot_targets_is_cross_entropy_and_stays_finite():
    logits = torch.tensor([[1000.0, -1000.0, 0.0], [1.0, 2.0, 3.0]])
    y = torch.tensor([1, 2])
    targets = torch.nn.functional.one_hot(y, 3).float()
    expected = torch.nn.functional.cross_entropy(logits, y)
    torch.testing.assert_close(soft_cross_entropy(logits, targets), expected)
    assert torch.isfinite(expected)


def test_sharpen_by_hand():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0]])
    expected = torch.tensor([[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(sharpen(p, 0.5), expected)
    torch.testing.assert_close(sharpen(p, 1.0), p)
    torch.testing.assert_close(sharpen(p, 2.0)[0], p[0].sqrt() / p[0].sqrt().sum())


def test_beta_sample_is_beta_distributed_and_seeded():
    draws = [beta_sample(4.0, np.random.default_rng(0)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert isinstance(draws[0], float)
    rng = np.random.default_rng(0)
    sample = [beta_sample(4.0, rng) for _ in range(2000)]
    assert stats.kstest(sample, stats.beta(4, 4).cdf).pvalue > 0.001
    assert stats.kstest(sample, stats.beta(1, 1).cdf).pvalue < 0.001


def test_forever_starts_a_fresh_iterator_each_time():
    starts = []

    def make():
        starts.append(len(starts))
        return iter([len(starts), -len(starts)])

    items = forever(make)
    assert starts == [], "nothing is drawn before it is asked for"
    assert list(itertools.islice(items, 5)) == [1, -1, 2, -2, 3]
    assert len(starts) == 3


class Recorder(torch.nn.Module):
    """A network whose logits are its input; notes its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return x.flatten(1)[:, :3]


@pytest.mark.parametrize("training", [True, False])
def test_per_sample_scores_are_in_order_without_augmentation_and_leave_the_mode(
    make_task, monkeypatch, training
):
    monkeypatch.setattr("bench.task.pixels.EVALUATION_BATCH", 5)
    task = make_task(augmentation="crop_flip")
    net = Recorder().train(training)
    scores = per_sample(SimpleNamespace(task=task), net, lambda logits, y, index: 100 * index + y)
    assert torch.equal(scores, 100 * torch.arange(16) + task.noisy_labels)
    assert net.modes == [(False, False)] * 4
    assert net.training is training
    losses = per_sample_loss(SimpleNamespace(task=task), net)
    plain = torch.cat([batch.x for batch in task.loader(train=False)]).flatten(1)[:, :3]
    torch.testing.assert_close(losses, -plain.log_softmax(1)[torch.arange(16), task.noisy_labels])


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
    asked = []
    arange = torch.arange
    monkeypatch.setattr(
        torch,
        "arange",
        lambda *a, device=None, **k: asked.append(device) or arange(*a, device=device, **k),
    )
    features, images = torch.randn(64, 8), torch.randn(64, 1, 4, 4)
    group = torch.cat([torch.zeros(64, 1, dtype=torch.long), nearest_neighbours(features, 1)], 1)
    mix_with_neighbours(images, group, torch.ones(64, 2), torch.ones(64, 2, 3))
    assert asked and set(asked) == {features.device}
