"""Mixtures of two components on per-sample losses, which tell clean labels from noisy ones."""

from typing import NamedTuple

import torch
from torch import Tensor


def min_max(values: Tensor) -> Tensor:
    """Values (N,) scaled to [0, 1]; all zero where they are all equal, up to float32's rounding.

    Equal images in different batches differ by that rounding, and scaling would magnify it.
    """
    low, high = values.min(), values.max()
    rounding = 8 * torch.finfo(torch.float32).eps * torch.maximum(low.abs(), high.abs())
    scaled = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return torch.where(high - low <= rounding, 0, scaled)  # NaN stays NaN


def clean_probability(
    losses: Tensor, mixture: str = "gmm", scale: bool = True, shapes: list[str] | None = None
) -> Tensor:
    """Posterior (N,) that each sample belongs to the low-loss component of a mixture on its loss.

    Where all losses are equal, as ``min_max`` has it, nothing tells them apart, and every sample is
    clean.

    Args:
        losses: (N,), one a sample.
        mixture: "gmm" or "bmm", see ``fit_mixture``.
        scale: scale losses to [0, 1] first. Values that lie there already, such as the mean of
            several epochs' scaled losses, are taken as they are.
        shapes: see ``fit_mixture``.
    """
    scaled = min_max(losses.double()) if scale else losses.double()
    pair = fit_mixture(scaled, mixture, shapes)
    if pair is None:
        return torch.full_like(losses, 1.0 if scaled.isfinite().all() else torch.nan)
    return pair.low_posterior(scaled).to(losses.dtype)


def fit_mixture(
    values: Tensor,
    mixture: str = "gmm",
    shapes: list[str] | None = None,
    start: Tensor | None = None,
) -> "GaussianPair | BetaPair | None":
    """Fit two components to values (N,) in [0, 1]; None where nothing tells them apart.

    Args:
        values: (N,) in [0, 1].
        mixture: "gmm" for Gaussians, "bmm" for Betas.
        shapes: the shape of the fit is appended to it. A method gives ``task.mixtures``, which goes
            on record. Shapes are "two modes"; "one mode", where the fitted density does not dip
            between the means; "one component", where the other has less than a hundredth of the
            samples; "equal losses" and "not finite", for which there is no fit.
        start: see ``fit_betas``.
    """
    shapes = [] if shapes is None else shapes
    if not values.isfinite().all():
        shapes.append("not finite")
        return None
    if not len(values) or values.max() == values.min():
        shapes.append("equal losses")
        return None
    if mixture == "bmm":
        betas = fit_betas(values, start=start)
        shapes.append(_shape(betas, betas.mean()))
        return betas
    gaussians = fit_gaussians(values)
    shapes.append(_shape(gaussians, gaussians.mean))
    return gaussians


def _shape(pair: "GaussianPair | BetaPair", mean: Tensor) -> str:
    """Shape of a fitted mixture, whose means (2, 1) are given."""
    if pair.weight.min() < 0.01:
        return "one component"
    steps = torch.linspace(0, 1, 101, device=mean.device, dtype=mean.dtype)
    between = steps * (mean.max() - mean.min()) + mean.min()
    density = pair.log_joint(between).logsumexp(0)
    return "two modes" if density.min() < density[[0, -1]].min() else "one mode"


def two_means(values: Tensor) -> Tensor:
    """Membership (N,) bool in the lower of two clusters of values (N,).

    The split has the smallest variance within clusters; in one dimension it is found exactly.
    """
    ordered, _ = values.sort()
    n = len(ordered)
    total = ordered.sum()
    left = ordered.cumsum(0)[:-1]
    count = torch.arange(1, n, device=values.device, dtype=values.dtype)
    # The variance between clusters is maximal where that within them is minimal.
    between = left**2 / count + (total - left) ** 2 / (n - count)
    return values <= ordered[between.argmax()]


def _memberships(values: Tensor) -> Tensor:
    """Memberships (2, N) of the exact two-means split, the lower cluster first."""
    low = two_means(values)
    return torch.stack([low, ~low]).to(values.dtype)


class GaussianPair(NamedTuple):
    """Two weighted Gaussians; each field (2, 1)."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def log_joint(self, values: Tensor) -> Tensor:
        """Log density (2, N) of values (N,), weighted."""
        scatter = (values - self.mean) ** 2 / self.variance
        return self.weight.log() - 0.5 * (scatter + (2 * torch.pi * self.variance).log())

    def posterior(self, values: Tensor) -> Tensor:
        """Probability (2, N) of each component for values (N,)."""
        log_joint = self.log_joint(values)
        return (log_joint - log_joint.logsumexp(0)).exp()

    def low_posterior(self, values: Tensor) -> Tensor:
        """Probability (N,) of the component with the smaller mean for values (N,)."""
        return self.posterior(values)[self.mean.flatten().argmin()]


def fit_gaussians(
    values: Tensor, max_iter: int = 10, tol: float = 1e-2, reg_covar: float = 5e-4
) -> GaussianPair:
    """Fit two Gaussians to values (N,) by EM.

    The settings and the stopping rule are scikit-learn's, with the values that DivideMix and MixNN
    give it; the start is the exact two-means split instead of a random one.
    """

    def maximise(posterior: Tensor) -> GaussianPair:
        weight = posterior.sum(1, keepdim=True) + 10 * torch.finfo(values.dtype).eps
        mean = (posterior @ values)[:, None] / weight
        variance = (posterior * (values - mean) ** 2).sum(1, keepdim=True) / weight + reg_covar
        return GaussianPair(weight / len(values), mean, variance)

    pair = maximise(_memberships(values))
    previous = -float("inf")
    for _ in range(max_iter):
        log_joint = pair.log_joint(values)
        log_density = log_joint.logsumexp(0)
        bound = log_density.mean().item()
        pair = maximise((log_joint - log_density).exp())
        if abs(bound - previous) < tol:
            break
        previous = bound
    return pair


class BetaPair(NamedTuple):
    """Two weighted Beta distributions, the one with the smaller mean first; each field (2, 1)."""

    weight: Tensor
    alpha: Tensor
    beta: Tensor

    def mean(self) -> Tensor:
        """Means (2, 1)."""
        return self.alpha / (self.alpha + self.beta)

    def log_joint(self, values: Tensor, edge: float = 1e-4) -> Tensor:
        """Log density (2, N) of values (N,) in [0, 1], weighted.

        Values are kept ``edge`` away from 0 and 1, where a density may be infinite.
        """
        a, b = self.alpha, self.beta
        values = values.clamp(edge, 1 - edge)
        normaliser = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        log_density = (a - 1) * values.log() + (b - 1) * (-values).log1p() - normaliser
        return self.weight.log() + log_density

    def posterior(self, values: Tensor) -> Tensor:
        """Probability (2, N) of each component for values (N,) in [0, 1]."""
        return self.log_joint(values).softmax(0)

    def low_posterior(self, values: Tensor) -> Tensor:
        """Probability (N,) of the component with the smaller mean for values (N,) in [0, 1].

        Beyond the means it stays what it is there: the densities themselves may cross again, at an
        end where one is infinite.
        """
        low, high = self.mean().flatten()
        return self.posterior(values.clamp(low, high))[0]


def fit_betas(values: Tensor, max_iter: int = 10, start: Tensor | None = None) -> BetaPair:
    """Fit two Beta distributions to values (N,) in [0, 1] by EM with moment matching.

    After Arazo et al. (2019), who fit the per-sample loss this way and keep it off 0 and 1.
    ``start`` holds the first memberships (2, N); by default those of the exact two-means split.
    """
    values = values.clamp(1e-4, 1 - 1e-4)
    posterior = _memberships(values) if start is None else start
    for _ in range(max_iter):
        weight = posterior.sum(1, keepdim=True).clamp_min(1e-6)
        mean = (posterior @ values)[:, None] / weight
        variance = (posterior * (values - mean) ** 2).sum(1, keepdim=True) / weight
        alpha = (mean * (mean * (1 - mean) / variance.clamp_min(1e-6) - 1)).clamp_min(1e-2)
        beta = alpha * (1 - mean) / mean
        pair = BetaPair(weight / len(values), alpha, beta)
        posterior = pair.posterior(values)
    order = pair.mean().flatten().argsort()
    return BetaPair(*(field[order] for field in pair))
