"""Parts of methods: neighbours, and mixtures fitted to losses, against loops over samples and scikit-learn."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ops
from bench.speed.measure import Different, Row, Settings, Work, compare, repeated
from methods.softmix import image_rows, mix

FEATURES = 512
CLASSES = 10

#: Samples that may fall on the other side of one half in the two mixtures.
MOVED = 0.003


def nearest_by_index(features: np.ndarray, k: int, threads: int) -> np.ndarray:
    """Positions (N, k) of the nearest other rows, from an index that is built anew, as authors' codes do a batch."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k + 1, n_jobs=threads).fit(features).kneighbors(features, return_distance=False)
    # The row itself is among them, mostly in front.
    others = [[other for other in row if other != position][:k] for position, row in enumerate(found.tolist())]
    return np.array(others)


def mixed_one_by_one(x: Tensor, nearest: np.ndarray, clean: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Images and targets mixed with their nearest neighbours' in a loop over the samples, weighted by ``clean`` (B,)."""
    images, mixed_targets = torch.zeros_like(x), torch.zeros_like(targets)
    for i in range(len(x)):
        j = int(nearest[i][0])
        lam = (clean[i] + 1e-10) / (clean[i] + clean[j] + 1e-10)
        images[i] = lam * x[i] + (1 - lam) * x[j]
        mixed_targets[i] = lam * targets[i] + (1 - lam) * targets[j]
    return images, mixed_targets


def normalised(losses: np.ndarray) -> np.ndarray:
    """Scaled to [0, 1], a column."""
    return ((losses - losses.min()) / (losses.max() - losses.min())).reshape(-1, 1)


def gaussian_by_sklearn(losses: np.ndarray) -> np.ndarray:
    """Posterior (N,) of the component with the smaller mean, with the settings of DivideMix."""
    from sklearn.mixture import GaussianMixture

    column = normalised(losses)
    fitted = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(column)
    return fitted.predict_proba(column)[:, fitted.means_.argmin()]


def beta_by_scipy(losses: np.ndarray, max_iter: int = 10) -> np.ndarray:
    """Posterior (N,) of the Beta component with the smaller mean, by EM with moment matching on SciPy's densities."""
    from scipy import stats

    x = normalised(losses)[:, 0].clip(1e-4, 1 - 1e-4)
    low = ops._two_means(torch.from_numpy(normalised(losses)[:, 0])).numpy()  # one start for both
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
    """Share of samples that only one of the two takes as clean."""
    return float(((ours.cpu().numpy() > 0.5) != (theirs > 0.5)).mean())


def neighbours(settings: Settings) -> list[Row]:
    """Within a batch, with the mixing that follows; in a whole set."""
    generator = torch.Generator().manual_seed(0)
    device = settings.device
    batch = 128
    x = torch.randn(batch, 3, 32, 32, generator=generator).to(device, memory_format=torch.channels_last)
    features = torch.randn(batch, FEATURES, generator=generator).relu().to(device)
    clean = torch.rand(batch, generator=generator).to(device)
    targets = torch.randn(batch, CLASSES, generator=generator).softmax(1).to(device)
    contiguous = x.contiguous()

    def ours() -> tuple[Tensor, Tensor]:
        nearest = ops.nearest_neighbours(features, 1)
        group = torch.cat([torch.arange(batch, device=device)[:, None], nearest], 1)
        rows = image_rows(x)
        mixed, soft = mix([rows, rows.index_select(0, nearest[:, 0])], clean[group], targets[group])
        return mixed.view(batch, 32, 32, 3).permute(0, 3, 1, 2), soft

    def theirs() -> tuple[Tensor, Tensor]:
        nearest = nearest_by_index(features.cpu().numpy(), 1, settings.threads)
        return mixed_one_by_one(contiguous, nearest, clean, targets)

    for mine, other in zip(ours(), theirs(), strict=True):
        if (error := (mine - other).abs().max().item()) > 1e-4:
            raise Different("neighbours in a batch", f"the mixed samples differ by {error:g}")
    calls = 10
    rows = [compare("neighbours", "batch, mixed", repeated(ours, calls), repeated(theirs, calls), settings, batch * calls)]

    number, k = settings.images or 8_000, 11
    bank = torch.randn(number, FEATURES, generator=generator).relu().to(device)
    array = bank.cpu().numpy()
    if not (ops.nearest_neighbours(bank, k).cpu().numpy() == nearest_by_index(array, k, settings.threads)).mean() > 0.999:
        raise Different("neighbours in a set", "they are not the same")
    work = Work("matmul", 2 * number**2 * FEATURES)
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
        torch.rand(number, generator=generator) < 0.4, torch.randint(0, 10, (number,), generator=generator), truth
    )
    losses = F.cross_entropy(logits + 5 * F.one_hot(truth, CLASSES), noisy, reduction="none").to(settings.device)
    array = losses.double().cpu().numpy()
    rows = []
    for name, kind, theirs in (("Gaussian", "gmm", gaussian_by_sklearn), ("Beta", "bmm", beta_by_scipy)):
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
            )
        )
    return rows
