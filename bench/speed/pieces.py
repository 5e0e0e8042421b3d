"""Parts of methods: neighbours, and mixtures fitted to losses, against loops over samples and
scikit-learn.
"""

import importlib.util
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.speed.measure import Different, Row, Settings, Work, compare, repeated

FEATURES = 512
CLASSES = 10

#: Features (N, D), k and threads to the positions (N, k) of neighbours.
Search = Callable[[np.ndarray, int, int], np.ndarray]

#: Samples that may fall on the other side of one half in the two mixtures.
MOVED = 0.003


def nearest_by_index(features: np.ndarray, k: int, threads: int) -> np.ndarray:
    """Positions (N, k) of the nearest other rows, by scikit-learn's search, set up anew as authors'
    codes do every batch.
    """
    from sklearn.neighbors import NearestNeighbors

    found = (
        NearestNeighbors(n_neighbors=k + 1, n_jobs=threads)
        .fit(features)
        .kneighbors(features, return_distance=False)
    )
    return _others(found, k)


def nearest_by_hnsw(features: np.ndarray, k: int, threads: int) -> np.ndarray:
    """The same from a graph of small worlds, the index of authors' codes; it is meant for more rows
    than a batch has.
    """
    import hnswlib

    index = hnswlib.Index("l2", features.shape[1])
    index.init_index(len(features))
    index.set_num_threads(threads)
    index.add_items(features)
    return _others(index.knn_query(features, k + 1)[0], k)


def _others(found: np.ndarray, k: int) -> np.ndarray:
    """Without the row itself, which is among them, mostly in front."""
    return np.array(
        [
            [other for other in row if other != position][:k]
            for position, row in enumerate(found.tolist())
        ]
    )


def missed(features: np.ndarray, found: np.ndarray, exact: np.ndarray) -> int:
    """How many of the neighbours found (N, k) are not as far away as the exact ones (N, k), but for
    rounding.
    """
    features = features.astype(np.float64)
    far, near = (
        np.stack([np.square(features - features[column]).sum(1) for column in positions.T], 1)
        for positions in (found, exact)
    )
    return int((~np.isclose(far, near, rtol=1e-6)).sum())


def mixed_one_by_one(
    x: Tensor, nearest: np.ndarray, clean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Images mixed with their nearest neighbours in a loop over the samples; their shares (B,); the
    neighbours (B,).

    As in MixNN's code; ``clean`` (B,) weighs the images.
    """
    partner = torch.from_numpy(nearest[:, 0]).to(x.device)
    lam = (clean + 1e-10) / (clean + clean[partner] + 1e-10)
    others, images = x[partner], torch.empty_like(x)
    for i in range(len(x)):
        images[i] = lam[i] * x[i] + (1.0 - lam[i]) * others[i]
    return images, lam, partner


def normalised(losses: np.ndarray) -> np.ndarray:
    """Scaled to [0, 1], a column."""
    return ((losses - losses.min()) / (losses.max() - losses.min())).reshape(-1, 1)


def gaussian_by_sklearn(losses: np.ndarray, same_start: bool = False) -> np.ndarray:
    """Posterior (N,) of the component with the smaller mean, with the settings of DivideMix.

    ``same_start``: from the exact two-means split, as ours. Where losses have no two humps yet,
        another start ends elsewhere:
    scikit-learn's own random ones then disagree on a third of the samples.
    """
    from sklearn.mixture import GaussianMixture

    column = normalised(losses)
    start = {}
    if same_start:
        low = ops.two_means(torch.from_numpy(column[:, 0])).numpy()
        sides = [column[side] for side in (low, ~low)]
        start = {
            "weights_init": [len(side) / len(column) for side in sides],
            "means_init": [side.mean(0) for side in sides],
            "precisions_init": [[1 / (side.var(0) + 5e-4)] for side in sides],
        }
    fitted = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0, **start).fit(
        column
    )
    return fitted.predict_proba(column)[:, fitted.means_.argmin()]


def beta_by_scipy(losses: np.ndarray, max_iter: int = 10) -> np.ndarray:
    """Posterior (N,) of the Beta component with the smaller mean, by EM with moment matching on
    SciPy's densities.
    """
    from scipy import stats

    x = normalised(losses)[:, 0].clip(1e-4, 1 - 1e-4)
    low = ops.two_means(torch.from_numpy(normalised(losses)[:, 0])).numpy()  # one start for both
    posterior = np.stack([low, ~low]).astype(float).clip(1e-2, 1 - 1e-2)
    for _ in range(max_iter):
        joint = []
        for weights in posterior:
            mean = np.average(x, weights=weights)
            variance = max(np.average((x - mean) ** 2, weights=weights), 1e-6)
            alpha = max(mean * (mean * (1 - mean) / variance - 1), 1e-2)
            beta = alpha * (1 - mean) / mean
            joint.append((alpha / (alpha + beta), weights.mean() * stats.beta.pdf(x, alpha, beta)))
        densities = np.stack([density for _, density in joint])
        posterior = densities / densities.sum(0)
    return posterior[int(joint[0][0] > joint[1][0])]


def moved(ours: Tensor, theirs: np.ndarray) -> float:
    """Share of samples that only one of the two takes as clean, or of which one says nothing."""
    mine = ours.cpu().numpy()
    return float((((mine > 0.5) != (theirs > 0.5)) | np.isnan(mine) | np.isnan(theirs)).mean())


def neighbours(settings: Settings) -> list[Row]:
    """Within a batch, with the mixing that follows; in a whole set."""
    generator = torch.Generator().manual_seed(0)
    device = settings.device
    batch = 128
    x = torch.randn(batch, 3, 32, 32, generator=generator).to(
        device, memory_format=torch.channels_last
    )
    features = torch.randn(batch, FEATURES, generator=generator).relu().to(device)
    clean = torch.rand(batch, generator=generator).to(device)
    targets = torch.randn(batch, CLASSES, generator=generator).softmax(1).to(device)
    contiguous = x.contiguous()

    def ours() -> tuple[Tensor, Tensor]:
        nearest = ops.nearest_neighbours(features, 1)
        group = torch.cat([torch.arange(batch, device=device)[:, None], nearest], 1)
        return ops.mix_with_neighbours(x, group, clean[group], targets[group])

    def theirs(search: Search) -> tuple[Tensor, Tensor]:
        nearest = search(features.cpu().numpy(), 1, settings.threads)
        images, lam, partner = mixed_one_by_one(contiguous, nearest, clean)
        return images, lam[:, None] * targets + (1 - lam[:, None]) * targets[partner]

    calls, rows = 50, []  # a few milliseconds would be measured by chance
    searches = {"batch, mixed": nearest_by_index}
    if importlib.util.find_spec("hnswlib"):
        searches["batch, mixed, hnswlib"] = nearest_by_hnsw
    for name, search in searches.items():
        for mine, other in zip(ours(), theirs(search), strict=True):
            if not (error := (mine - other).abs().max().item()) <= 1e-4:
                raise Different("neighbours in a batch", f"the mixed samples differ by {error:g}")
        other_side = repeated(partial(theirs, search), calls)
        work = Work(
            "matmul", 2 * calls * batch**2 * FEATURES, tf32=False
        )  # of every row with every other; what is mixed is little to move
        rows.append(
            compare(
                "neighbours",
                name,
                repeated(ours, calls),
                other_side,
                settings,
                batch * calls,
                work=work,
            )
        )

    number, k = settings.images or 8_000, 11
    bank = torch.randn(number, FEATURES, generator=generator).relu().to(device)
    array = bank.cpu().numpy()
    if wrong := missed(
        array,
        ops.nearest_neighbours(bank, k).cpu().numpy(),
        nearest_by_index(array, k, settings.threads),
    ):
        raise Different("neighbours in a set", f"{wrong} are not the nearest")
    work = Work("matmul", number**2 * FEATURES, tf32=False)  # each distance once
    rows.append(
        compare(
            "neighbours",
            f"set, {number:,} x {FEATURES}, k = {k}",
            lambda: ops.nearest_neighbours(bank, k),
            lambda: nearest_by_index(array, k, settings.threads),
            settings,
            number,
            work=work,
        )
    )
    return rows


def mixture(settings: Settings) -> list[Row]:
    """Two components fitted to the losses of a training set, a part of it wrong."""
    number = settings.images or 50_000
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(number, CLASSES, generator=generator)
    truth = torch.randint(0, CLASSES, (number,), generator=generator)
    noisy = torch.where(
        torch.rand(number, generator=generator) < 0.4,
        torch.randint(0, 10, (number,), generator=generator),
        truth,
    )
    losses = F.cross_entropy(logits + 5 * F.one_hot(truth, CLASSES), noisy, reduction="none").to(
        settings.device
    )
    array = losses.double().cpu().numpy()
    rows = []
    # Steps of EM, each of which reads the losses: the stopping rule of the Gaussians compares two,
    # the Betas take all ten.
    for name, kind, steps, theirs in (
        ("Gaussian", "gmm", 2, gaussian_by_sklearn),
        ("Beta", "bmm", 10, beta_by_scipy),
    ):
        if (share := moved(ops.clean_probability(losses, kind), theirs(array))) > MOVED:
            raise Different(f"{name} mixture", f"they disagree on {share:.1%} of the samples")
        rows.append(
            compare(
                "mixture",
                name,
                lambda kind=kind: ops.clean_probability(losses, kind),  # type: ignore[misc]
                lambda theirs=theirs: theirs(array),  # type: ignore[misc]
                settings,
                number,
                work=Work("copy", steps * array.nbytes),
            )
        )
    return rows
