"""Pure tensor helpers that more than one method uses."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.networks.augment import auto_augment_cifar10 as auto_augment_cifar10
from bench.networks.cpu import bfloat16_units
from bench.recipe import Recipe
from bench.task import Task


def forever(make_iterator: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Items of one fresh iterator after another."""
    while True:
        yield from make_iterator()


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, C) against target distributions (B, C)."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def corrected_cross_entropy(logits: Tensor, transition: Tensor, y: Tensor) -> Tensor:
    """Mean -log sum_i p_i T[i, y] of logits (B, C) and noisy labels (B,); T (C, C) has the clean
    classes as its rows.

    The sum is taken of logarithms: where the network is certain, p times T underflows and its
    gradient is 0 / 0.
    """
    log_transition = transition.clamp_min(torch.finfo(transition.dtype).tiny).log()
    return -(logits.float().log_softmax(1) + log_transition.T[y]).logsumexp(1).mean()


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's contrastive loss of two views' representations (B, D), whose rows belong together;
    mean over 2B anchors.
    """
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    with torch.autocast(views.device.type, enabled=False):
        similarities = views @ views.T / temperature
    similarities.fill_diagonal_(-torch.inf)
    return F.cross_entropy(
        similarities, torch.arange(len(views), device=views.device).roll(len(first))
    )


def distributions(targets: Tensor, y: Tensor) -> Tensor:
    """Targets (N, C), not negative, divided by their sums; where that is 0, all of it at the label
    (N,).
    """
    sums = targets.sum(1, keepdim=True)
    given = F.one_hot(y, targets.shape[1]).to(targets.dtype)
    tiny = torch.finfo(targets.dtype).tiny
    return torch.where(sums > tiny, targets / sums.clamp_min(tiny), given)


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Distributions (B, C) raised to 1 / temperature and normalised again."""
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(1, keepdim=True)


def beta_sample(alpha: float, rng: np.random.Generator) -> float:
    """lambda ~ Beta(alpha, alpha), on the host: no device has to be waited for."""
    return float(rng.beta(alpha, alpha))


def is_asymmetric(task: Task) -> bool:
    """Whether the noise is of a kind that the field calls asymmetric: a privilege, like
    ``inclusive_rate``.
    """
    return str(task.oracle.noise_kind).startswith("asymmetric")


def inclusive_rate(task: Task) -> float:
    """The noise rate as most authors count it: noisy labels are drawn from all classes, the true
    one too.
    """
    return float(task.oracle.noise_rate) * task.num_classes / (task.num_classes - 1)  # type: ignore[arg-type]  # a fact


def nearest(value: float, choices: Iterable[float]) -> float:
    """The choice that is nearest to the value."""
    return min(choices, key=lambda choice: abs(choice - value))


def lower_first_beta(optimizer: torch.optim.Optimizer | None, recipe: Recipe, epoch: int) -> None:
    """Adam's first beta from 0.9 to 0.1 once a linear schedule falls, as in Co-teaching and what is
    built on its code.

    To be called in each epoch: nothing has to be restored on resuming.
    """
    falling = recipe.schedule == "linear" and epoch / recipe.epochs >= recipe.milestones[0]
    if isinstance(optimizer, torch.optim.Adam) and falling:
        for group in optimizer.param_groups:
            group["betas"] = (0.1, group["betas"][1])


@torch.no_grad()
def per_sample(
    method: Any, net: nn.Module, score: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """``score(logits, noisy labels, index)`` of every training sample, in order; eval mode, no
    augmentation.
    """
    was_training = net.training
    net.eval()
    scores = []
    for batch in method.task.loader(train=False):
        with method.task.autocast():
            logits = net(batch.x)
        scores.append(score(logits.float(), batch.y, batch.index))
    net.train(was_training)
    return torch.cat(scores)


def per_sample_loss(method: Any, net: nn.Module) -> Tensor:
    """Cross-entropy (N,) of every training sample with its noisy label."""
    return per_sample(
        method, net, lambda logits, y, index: F.cross_entropy(logits, y, reduction="none")
    )


def min_max(values: Tensor) -> Tensor:
    """Values (N,) scaled to [0, 1]; all zero where they are all equal, up to what float32 rounds.

    Equal images in different batches differ by the rounding, which would be all that is left after
    scaling.
    """
    low, high = values.min(), values.max()
    rounding = 8 * torch.finfo(torch.float32).eps * torch.maximum(low.abs(), high.abs())
    scaled = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return torch.where(high - low <= rounding, 0, scaled)  # what is no number stays none


def clean_probability(
    losses: Tensor, mixture: str = "gmm", scale: bool = True, seen: list[str] | None = None
) -> Tensor:
    """Posterior (N,) that each sample belongs to the low-loss component of a two-component mixture
    on its loss (N,).

    Losses are scaled to [0, 1] first; ``scale=False`` takes values as they are, in [0, 1] already,
    such as the mean of several epochs' scaled losses. Where all are equal, as ``min_max`` has it,
    nothing tells them apart, and every sample is clean. ``seen`` is ``fit_mixture``'s.
    """
    scaled = min_max(losses.double()) if scale else losses.double()
    pair = fit_mixture(scaled, mixture, seen)
    if pair is None:
        return torch.full_like(losses, 1.0 if scaled.isfinite().all() else torch.nan)
    return pair.low_posterior(scaled).to(losses.dtype)


def fit_mixture(
    values: Tensor, mixture: str = "gmm", seen: list[str] | None = None, start: Tensor | None = None
) -> "GaussianPair | BetaPair | None":
    """Two components, Gaussians ("gmm") or Betas ("bmm"), for values (N,) in [0, 1]; None where
    nothing tells them apart.

    What the fit came to is added to ``seen`` (a method gives ``task.mixtures``, which goes into the
    record): "two modes"; "one mode", where the fitted density does not dip between the means; "one
    component", where the other has less than a hundredth of the samples; "equal losses" and "not
    finite", for which there is no fit. ``start`` is ``fit_betas``'s.
    """
    seen = [] if seen is None else seen
    if not values.isfinite().all():
        seen.append("not finite")
        return None
    if not len(values) or values.max() == values.min():
        seen.append("equal losses")
        return None
    if mixture == "bmm":
        betas = fit_betas(values, start=start)
        seen.append(_shape(betas.weight, betas.mean(), betas.log_joint))
        return betas
    gaussians = fit_gaussians(values)
    seen.append(_shape(gaussians.weight, gaussians.mean, gaussians.log_joint))
    return gaussians


def _shape(weight: Tensor, mean: Tensor, log_joint: Callable[[Tensor], Tensor]) -> str:
    """What a mixture of two components, with these weights and means (2, 1), is like."""
    if weight.min() < 0.01:
        return "one component"
    between = (
        torch.linspace(0, 1, 101, device=mean.device, dtype=mean.dtype) * (mean.max() - mean.min())
        + mean.min()
    )
    density = log_joint(between).logsumexp(0)
    return "two modes" if density.min() < density[[0, -1]].min() else "one mode"


def _two_means(values: Tensor) -> Tensor:
    """Membership (N,) bool in the lower of the two clusters with the smallest within-cluster
    variance; exact in 1-D.
    """
    ordered, _ = values.sort()
    n = len(ordered)
    total = ordered.sum()
    left = ordered.cumsum(0)[:-1]
    count = torch.arange(1, n, device=values.device, dtype=values.dtype)
    # maximal where the variance within is minimal
    between = left**2 / count + (total - left) ** 2 / (n - count)
    return values <= ordered[between.argmax()]


class GaussianPair(NamedTuple):
    """Two weighted Gaussians; each field (2, 1)."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def log_joint(self, values: Tensor) -> Tensor:
        """Log density (2, N) of values (N,), weighted."""
        return self.weight.log() - 0.5 * (
            (values - self.mean) ** 2 / self.variance + (2 * torch.pi * self.variance).log()
        )

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
    """Two Gaussians for values (N,), by EM.

    The settings and the stopping rule are scikit-learn's, with the values that DivideMix and MixNN
    give it; the start is the exact two-means split instead of a random one.
    """

    def maximise(posterior: Tensor) -> GaussianPair:
        weight = posterior.sum(1, keepdim=True) + 10 * torch.finfo(values.dtype).eps
        mean = (posterior @ values)[:, None] / weight
        variance = (posterior * (values - mean) ** 2).sum(1, keepdim=True) / weight + reg_covar
        return GaussianPair(weight / len(values), mean, variance)

    low = _two_means(values)
    pair = maximise(torch.stack([low, ~low]).to(values.dtype))
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
        """Log density (2, N) of values (N,) in [0, 1], weighted; they are kept ``edge`` away from 0
        and 1.
        """
        values = values.clamp(edge, 1 - edge)
        normaliser = (
            torch.lgamma(self.alpha)
            + torch.lgamma(self.beta)
            - torch.lgamma(self.alpha + self.beta)
        )
        log_density = (
            (self.alpha - 1) * values.log() + (self.beta - 1) * (-values).log1p() - normaliser
        )
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
    """Two Beta distributions for values (N,) in [0, 1], by EM with moment matching.

    After Arazo et al. (2019), who fit the per-sample loss this way and keep it off 0 and 1.
    ``start`` holds the first memberships (2, N); by default the exact two-means split.
    """
    values = values.clamp(1e-4, 1 - 1e-4)
    if start is None:
        low = _two_means(values)
        start = torch.stack([low, ~low]).to(values.dtype)
    posterior = start
    for _ in range(max_iter):
        weight = posterior.sum(1, keepdim=True).clamp_min(1e-6)
        mean = (posterior @ values)[:, None] / weight
        variance = ((posterior * (values - mean) ** 2).sum(1, keepdim=True) / weight).clamp_min(
            1e-6
        )
        alpha = (mean * (mean * (1 - mean) / variance - 1)).clamp_min(1e-2)
        beta = alpha * (1 - mean) / mean
        pair = BetaPair(weight / len(values), alpha, beta)
        posterior = pair.posterior(values)
    order = pair.mean().flatten().argsort()
    return BetaPair(*(field[order] for field in pair))


#: From so many rows on, a CPU takes longer to pick the nearest than it must.
WIDE = 4096

#: Columns of which one value is compared first, in rows as wide as that.
BLOCK = 16

#: Coordinates farther than any, of which float32 still has the squares.
REMOTE = 1e15

#: Neighbours in bfloat16, among which exact distances choose; half of them at most.
CANDIDATES = 32


def nearest_neighbours(
    features: Tensor, k: int, bank: Tensor | None = None, chunk: int = 1000
) -> Tensor:
    """Positions (B, k) of the nearest rows by Euclidean distance, nearest first.

    Without a ``bank``, neighbours are looked for among the features (B, D) themselves and no row is
    its own neighbour; k is cut to the number of others. A matrix product and topk: on batches far
    faster than any index.
    """
    own = bank is None
    if features.element_size() < 4:
        features = features.float()  # as under autocast below
    bank = features if bank is None else bank.to(features.dtype)
    k = min(k, len(bank) - own)
    centre = bank.mean(0)
    if features.device.type != "cpu":
        centre = centre.nan_to_num(0, 0, 0)  # topk takes what is no number for the farthest
    elif not np.isfinite(centre.detach().numpy()).all():
        bank, centre = (
            bank.where(bank.isfinite().all(1, keepdim=True), REMOTE),
            centre.nan_to_num(0, 0, 0),
        )
    bank = bank - centre  # the distances stay; far from the origin, rounding would drown them
    features = bank if own else features - centre
    with _in_full(features.device.type):  # rounded to bfloat16, many neighbours would be others
        if (
            features.device.type == "cpu"
            and len(bank) >= WIDE
            and 2 * k <= CANDIDATES
            and bfloat16_units()
        ):
            return _nearest_by_candidates(features, k, bank, own, chunk)
        if features.device.type == "cpu" and len(bank) >= WIDE and own:
            return _nearest_among(features, k, chunk)
        squares = bank.square().sum(1)
        found = []
        for start in range(0, len(features), chunk):
            found.append(
                _nearest(features[start : start + chunk], k, bank, squares, start if own else None)
            )
    return found[0] if len(found) == 1 else torch.cat(found)


def _in_full(device: str) -> AbstractContextManager[object]:
    """Without autocast; where there is none, nothing, which is faster to enter."""
    return (
        torch.autocast(device, enabled=False)
        if torch.is_autocast_enabled(device)
        else nullcontext()
    )


def _nearest(
    rows: Tensor, k: int, bank: Tensor, squares: Tensor, own: Tensor | int | None
) -> Tensor:
    """Positions (R, k) in the bank of what is nearest to rows (R, D).

    ``own`` (R,) are the positions of the rows themselves, or the first, if they follow one another.
    """
    # the row's own square does not change the order
    distances = torch.addmm(squares, rows, bank.T, alpha=-2)
    if isinstance(own, Tensor):
        distances.scatter_(1, own[:, None], torch.inf)
    elif own is not None:
        distances.diagonal(own).fill_(torch.inf)
    return _smallest(distances, k)


def _nearest_among(features: Tensor, k: int, chunk: int) -> Tensor:
    """Positions (N, k) of the nearest other rows: the distance of two rows is computed once, and
    serves both.
    """
    squares = features.square().sum(1)
    near = features.new_full((len(features), k), torch.inf)
    found = torch.zeros(len(features), k, dtype=torch.long)

    def keep(rows: slice, distances: Tensor, first: int) -> None:
        """Merge distances (R, M) from these rows to those at ``first`` and after it into what is
        nearest so far.
        """
        among = _contenders(distances, k)
        values = torch.cat([near[rows], distances.gather(1, among)], 1)
        near[rows], best = values.topk(k, largest=False, sorted=False)
        found[rows] = torch.cat([found[rows], among + first], 1).gather(1, best)

    for start in range(0, len(features), chunk):
        end = min(start + chunk, len(features))
        distances = torch.addmm(squares[start:], features[start:end], features[start:].T, alpha=-2)
        distances += squares[start:end, None]
        distances[:, : end - start].fill_diagonal_(torch.inf)
        keep(slice(start, end), distances, start)
        if end < len(features):
            keep(slice(end, None), distances[:, end - start :].T, start)
    return found.gather(1, near.argsort(1))


def _smallest(values: Tensor, k: int) -> Tensor:
    """Positions (R, k) of the smallest values (R, N) of each row, ascending: topk's, on a CPU in
    less time.
    """
    width = values.shape[1]
    if values.device.type == "cpu" and k == 1 and width >= 64:
        # Of equal ones the first, as topk has it in rows that are no shorter. NumPy's takes half
        # the time of PyTorch's.
        return torch.from_numpy(values.detach().numpy().argmin(1, keepdims=True))
    if values.device.type != "cpu" or width < WIDE or k > width // BLOCK:
        return values.topk(k, largest=False).indices
    among = _contenders(values, k)
    return among.gather(1, values.gather(1, among).topk(k, largest=False).indices)


def _contenders(values: Tensor, k: int) -> Tensor:
    """Positions (R, C) in values (R, N) among which are those of each row's k smallest."""
    width = values.shape[1]
    blocks = width // BLOCK
    if k >= blocks:
        return torch.arange(width).expand(len(values), -1)
    # The k smallest are in the k blocks whose minima are smallest. A block's columns lie ``blocks``
    # apart: minima of whole vectors are taken.
    whole = blocks * BLOCK
    if values.stride(1) == 1:
        minima = values[:, :whole].unflatten(1, (BLOCK, blocks)).amin(1)
    else:  # columns that lie one after another: along them it takes a tenth of the time
        minima = values.T[:whole].unflatten(0, (BLOCK, blocks)).amin(0).T.contiguous()
    chosen = minima.topk(k, largest=False, sorted=False).indices
    inside = (chosen[:, None] + torch.arange(0, whole, blocks)[:, None]).flatten(1)
    return torch.cat([inside, torch.arange(whole, width).expand(len(values), -1)], 1)


def _nearest_by_candidates(features: Tensor, k: int, bank: Tensor, own: bool, chunk: int) -> Tensor:
    """``nearest_neighbours`` by way of bfloat16, exact all the same.

    Distances in bfloat16 name candidates, float32 chooses. Where a row that is no candidate could
    be nearer than what was chosen, for all that is known of the rounding, float32 looks through the
    whole bank. In features so close to each other that this is most of them, bfloat16 is given up.
    """
    squares = bank.square().sum(1)
    coarse = bank.bfloat16()
    # The product adds the squares as well, in three parts that hold all their digits.
    parts, rest = [], squares
    for _ in range(3):
        parts.append(rest.bfloat16())
        rest = rest - parts[-1].float()
    columns = torch.cat([-2 * coarse, torch.stack(parts, 1)], 1).T.contiguous()
    longest, lost = squares.max().sqrt(), (bank - coarse.float()).norm(dim=1).max()
    found = torch.empty(len(features), k, dtype=torch.long)
    helps = True
    for positions in torch.arange(len(features)).split(chunk):
        unsure = positions
        if helps:
            rows = features[positions]
            rounded = rows.bfloat16()
            distances = torch.cat([rounded, rounded.new_ones(len(rows), 3)], 1) @ columns
            if own:
                distances.scatter_(1, positions[:, None], torch.inf)
            candidates = _smallest(distances, CANDIDATES)
            others = bank.index_select(0, candidates.flatten()).view(*candidates.shape, -1)
            exact = torch.baddbmm(
                squares[candidates][:, :, None], others, rows[:, :, None], alpha=-2
            )[:, :, 0]
            nearest = exact.topk(k, largest=False)
            found[positions] = candidates.gather(1, nearest.indices)
            # All other rows are at least as far as the last candidate, but for the rounding of the
            # features, of the sum in float32, and of the result.
            length = rows.norm(dim=1)
            error = 2 * (length * lost + (rows - rounded.float()).norm(dim=1) * (longest + lost))
            error += 2**-12 * longest * (2 * length + longest)
            last = distances.gather(1, candidates[:, -1:])[:, 0].float()
            unsure = positions[~(nearest.values[:, -1] <= last - 2**-8 * last.abs() - error)]
            helps = 2 * len(unsure) <= len(positions)
        if len(unsure):
            found[unsure] = _nearest(features[unsure], k, bank, squares, unsure if own else None)
    return found


def mix_with_neighbours(
    images: Tensor, group: Tensor, weights: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted means over a sample and its k neighbours: images and targets (B, classes).

    ``group`` (B, 1 + k) says which of the images these are, the sample itself first; so do
    ``weights`` (B, 1 + k) and ``targets`` (B, 1 + k, classes) of theirs. 1e-10 is added to the
    sample's own weight: some is left when all are zero.
    """
    weights = weights.clone()
    weights[:, 0] += 1e-10
    shares = weights / weights.sum(1, keepdim=True)
    rows = images.permute(0, 2, 3, 1)  # as channels-last has them in memory
    # Looks up and sums in one sweep: step by step, it takes three times as long.
    starts = torch.arange(0, group.numel(), group.shape[1], device=group.device)
    flat, shares_flat = group.flatten(), shares.to(rows.dtype).flatten()
    # 0: sums
    mixed = torch.embedding_bag(
        rows.flatten(1), flat, starts, mode=0, per_sample_weights=shares_flat
    )[0]
    return mixed.view(-1, *rows.shape[1:]).permute(0, 3, 1, 2), (shares[..., None] * targets).sum(1)
