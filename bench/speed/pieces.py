"""Neighbours, and mixtures fitted to losses, against loops over samples, scikit-learn and SciPy."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.speed.measure import Row, Settings, Work, compare, repeated, require_same

BATCH, FEATURES, CLASSES = 128, 512, 10

#: Calls in one timed call for a batch, which takes milliseconds.
CALLS = 50

#: Neighbours of each sample of a whole set.
NEIGHBOURS = 11

#: Share of the samples that two mixtures may divide differently.
MOVED = 0.003

#: Features (N, D), k and threads to the positions (N, k) of the nearest other rows.
Search = Callable[[np.ndarray, int, int], np.ndarray]


def nearest_by_sklearn(features: np.ndarray, k: int, threads: int) -> np.ndarray:
    """Search with a new index of scikit-learn, as authors' codes do in every batch."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k + 1, n_jobs=threads).fit(features)
    return _without_itself(index.kneighbors(features, return_distance=False), k)


def nearest_by_hnsw(features: np.ndarray, k: int, threads: int) -> np.ndarray:
    """Search in a navigable small world, the index of authors' codes."""
    import hnswlib

    index = hnswlib.Index("l2", features.shape[1])
    index.init_index(len(features))
    index.set_num_threads(threads)
    index.add_items(features)
    return _without_itself(index.knn_query(features, k + 1)[0], k)


def _without_itself(nearest: np.ndarray, k: int) -> np.ndarray:
    rows = enumerate(nearest.tolist())
    return np.array([[other for other in row if other != position][:k] for position, row in rows])


def distance_error(features: np.ndarray, nearest: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest relative error of a neighbour's squared distance, for positions (N, k)."""
    features = features.astype(np.float64)
    ours, theirs = (
        np.stack([np.square(features - features[column]).sum(1) for column in positions.T])
        for positions in (nearest, exact)
    )
    return float(np.abs(ours - theirs).max(initial=0, where=ours != theirs) / theirs.max())


def mixed_one_by_one(
    x: Tensor, nearest: np.ndarray, clean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix images with their nearest neighbours in a loop over the samples, as in MixNN's code.

    ``clean`` (B,) weighs the images. Returns mixed images, shares (B,) and partners (B,).
    """
    partner = torch.from_numpy(nearest[:, 0]).to(x.device)
    lam = (clean + 1e-10) / (clean + clean[partner] + 1e-10)
    others, images = x[partner], torch.empty_like(x)
    for i in range(len(x)):
        images[i] = lam[i] * x[i] + (1.0 - lam[i]) * others[i]
    return images, lam, partner


def normalised(losses: np.ndarray) -> np.ndarray:
    """Return the losses scaled to [0, 1]."""
    return (losses - losses.min()) / (losses.max() - losses.min())


def two_means(losses: np.ndarray) -> np.ndarray:
    """Return this package's start of a mixture: the samples (N,) of the lower cluster."""
    return ops.two_means(torch.from_numpy(losses)).numpy()


def gaussian_by_sklearn(losses: np.ndarray, same_start: bool = False) -> np.ndarray:
    """Return the posterior (N,) of the lower Gaussian, with the settings of DivideMix.

    ``same_start`` begins with this package's split. Scikit-learn's random start ends in another
    division where losses do not have two modes yet, for up to a third of the samples.
    """
    from sklearn.mixture import GaussianMixture

    column = normalised(losses)[:, None]
    start = {}
    if same_start:
        low = two_means(column[:, 0])
        sides = [column[side] for side in (low, ~low)]
        start = {
            "weights_init": [len(side) / len(column) for side in sides],
            "means_init": [side.mean(0) for side in sides],
            "precisions_init": [[1 / (side.var(0) + 5e-4)] for side in sides],
        }
    model = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0, **start)
    return model.fit(column).predict_proba(column)[:, model.means_.argmin()]


def beta_by_scipy(losses: np.ndarray) -> np.ndarray:
    """Return the posterior (N,) of the lower Beta component by ten steps of EM with SciPy."""
    from scipy import stats

    x = normalised(losses)
    low = two_means(x)
    x, posterior = x.clip(1e-4, 1 - 1e-4), np.stack([low, ~low]).astype(float).clip(1e-2, 1 - 1e-2)
    for _ in range(10):
        means, densities = [], []
        for weights in posterior:
            mean = np.average(x, weights=weights)
            variance = max(np.average((x - mean) ** 2, weights=weights), 1e-6)
            alpha = max(mean * (mean * (1 - mean) / variance - 1), 1e-2)
            beta = alpha * (1 - mean) / mean
            means.append(alpha / (alpha + beta))
            densities.append(weights.mean() * stats.beta.pdf(x, alpha, beta))
        posterior = np.stack(densities) / np.sum(densities, 0)
    return posterior[np.argmin(means)]


def moved(ours: Tensor, theirs: np.ndarray) -> float:
    """Return the share of samples whose two posteriors disagree about one half, or are NaN."""
    mine = ours.cpu().numpy()
    return float((((mine > 0.5) != (theirs > 0.5)) | np.isnan(mine) | np.isnan(theirs)).mean())


def require_same_division(name: str, ours: Tensor, theirs: np.ndarray) -> None:
    """Raise Different unless two mixtures divide the samples alike."""
    require_same(name, "the divided shares of the samples", moved(ours, theirs), MOVED)


def neighbours(settings: Settings) -> Iterator[Row]:
    """Compare the search in a batch, with the mixing that follows, and in a whole set."""
    generator = torch.Generator().manual_seed(0)
    device, threads = settings.device, settings.threads
    x = torch.randn(BATCH, 3, 32, 32, generator=generator).to(device)
    features = torch.randn(BATCH, FEATURES, generator=generator).relu().to(device)
    clean = torch.rand(BATCH, generator=generator).to(device)
    targets = torch.randn(BATCH, CLASSES, generator=generator).softmax(1).to(device)
    last = x.to(memory_format=torch.channels_last)

    def ours() -> tuple[Tensor, Tensor]:
        nearest = ops.nearest_neighbours(features, 1)
        group = torch.cat([torch.arange(BATCH, device=device)[:, None], nearest], 1)
        return ops.mix_with_neighbours(last, group, clean[group], targets[group])

    def theirs(search: Search) -> tuple[Tensor, Tensor]:
        nearest = search(features.cpu().numpy(), 1, threads)
        images, lam, partner = mixed_one_by_one(x, nearest, clean)
        return images, lam[:, None] * targets + (1 - lam[:, None]) * targets[partner]

    searches: dict[str, Search] = {"batch, mixed": nearest_by_sklearn}
    if importlib.util.find_spec("hnswlib"):
        searches["batch, mixed, hnswlib"] = nearest_by_hnsw
    work = Work("matmul", 2 * CALLS * BATCH**2 * FEATURES, tf32=False)  # mixing moves little
    for name, search in searches.items():
        for mine, other in zip(ours(), theirs(search), strict=True):
            error = (mine - other).abs().max().item()
            require_same("neighbours in a batch", "the mixed samples", error, 1e-4)
        sides = repeated(ours, CALLS), repeated(partial(theirs, search), CALLS)
        yield compare("neighbours", name, *sides, settings, BATCH * CALLS, work)

    number = settings.images or 8_000
    bank = torch.randn(number, FEATURES, generator=generator).relu().to(device)
    array = bank.cpu().numpy()
    in_set = partial(ops.nearest_neighbours, bank, NEIGHBOURS)
    by_sklearn = partial(nearest_by_sklearn, array, NEIGHBOURS, threads)
    error = distance_error(array, in_set().cpu().numpy(), by_sklearn())
    require_same("neighbours in a set", "the distances of the neighbours", error, 1e-6)
    name = f"set, {number:,} x {FEATURES}, k = {NEIGHBOURS}"
    work = Work("matmul", number**2 * FEATURES, tf32=False)  # each distance once
    yield compare("neighbours", name, in_set, by_sklearn, settings, number, work)


def mixture(settings: Settings) -> Iterator[Row]:
    """Compare two components fitted to the losses of a training set with wrong labels."""
    number = settings.images or 50_000
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(number, CLASSES, generator=generator)
    truth, other = (torch.randint(0, CLASSES, (number,), generator=generator) for _ in range(2))
    noisy = torch.where(torch.rand(number, generator=generator) < 0.4, other, truth)
    logits += 5 * F.one_hot(truth, CLASSES)
    losses = F.cross_entropy(logits, noisy, reduction="none").to(settings.device)
    array = losses.double().cpu().numpy()
    # Each step of EM reads the losses: the stopping rule of the Gaussians compares two, the Betas
    # take all ten.
    for name, kind, steps, fit in (
        ("Gaussian", "gmm", 2, gaussian_by_sklearn),
        ("Beta", "bmm", 10, beta_by_scipy),
    ):
        ours, theirs = partial(ops.clean_probability, losses, kind), partial(fit, array)
        require_same_division(f"{name} mixture", ours(), theirs())
        work = Work("copy", steps * array.nbytes)
        yield compare("mixture", name, ours, theirs, settings, number, work)
