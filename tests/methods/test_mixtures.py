"""Mixtures on losses, against scikit-learn and SciPy, and on losses of extreme shapes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.mixture import GaussianMixture

from bench.ops import (
    clean_probability,
    fit_betas,
    fit_gaussians,
    fit_mixture,
    min_max,
    two_means,
)


def bimodal(name: str, seed: int = 0) -> np.ndarray:
    """Losses as on noisy labels: many small ones and a broad mode of large ones."""
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
    posterior = fit_gaussians(values).low_posterior(values).numpy()
    assert 0.05 < (expected > 0.5).mean() < 0.98, "the sample is no test of anything"
    assert ((posterior > 0.5) != (expected > 0.5)).mean() <= 0.003
    assert np.abs(posterior - expected).mean() < 0.01


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
    posterior = fit_gaussians(
        values, **({} if tol == 1e-2 else {"max_iter": iterations, "tol": tol})
    ).low_posterior(values)
    np.testing.assert_allclose(posterior.numpy(), expected, atol=1e-6)


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
    posterior = fit_betas(torch.from_numpy(values)).posterior(torch.from_numpy(values))[0].numpy()
    assert np.abs(posterior - truth).mean() < 0.02
    assert ((posterior > 0.5) == first).mean() > 0.95


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
