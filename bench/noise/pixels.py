"""Noise that depends on the image: part-dependent noise, and noise that fades with a classifier's
margin.
"""

import contextlib
import hashlib
import io
from functools import partial

import numpy as np

from bench.common.files import write_atomically
from bench.common.progress import announce, track
from bench.datasets import Dataset
from bench.datasets.images.cache_folder import cache_folder
from bench.noise import classifier

#: Standard deviation of the samples' flip rates in part-dependent noise.
SPREAD = 0.1

#: From so many images on, the probabilities behind margin-diminishing noise are kept: fitting takes
#: a quarter of a minute.
MANY = 5000


def instance(
    labels: np.ndarray,
    num_classes: int,
    rate: float,
    rng: np.random.Generator,
    sampling: str,
    images: np.ndarray,
    statistics: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Part-dependent noise (Xia et al., NeurIPS 2020), elsewhere "instance" or "IDN".

    Each sample has a flip rate from a normal distribution around ``rate``, of deviation 0.1,
    truncated to [0, 1]. Each class has a random projection of pixels onto classes, from N(0, 1); a
    flipped label is drawn from the softmax of the image's projection by its own class, that class
    left out.

    [inferred] Pixels are normalised by the data set's statistics, as for a network, so that what
    differs between images decides. The authors' code takes them from 0 to 255 (here
    ``instance-raw``, to compare with their numbers): the mean image decides, and most of a class
    flips to the same one (on CIFAR-10 at 40 %, the most frequent target gets 53 to 81 % of a
    class's flips, and 21 % here). [inferred] The authors' code flips independently (``independent``
    here; the truncation raises the mean of low rates: 10 % becomes 12.9 %). In exact sampling just
    the rounded count flips, each sample with a chance in proportion to its rate.

    Args:
        images: uint8 (N, channels, height, width).
        statistics: mean and standard deviation (channels,) of pixels as values in [0, 1].
    """
    rates = rng.normal(rate, SPREAD, len(labels))
    while (outside := (rates < 0) | (rates > 1)).any():
        rates[outside] = rng.normal(rate, SPREAD, outside.sum())
    mean, deviation = (np.asarray(values, dtype=np.float64)[:, None, None] for values in statistics)
    targets = labels.copy()
    size = int(np.prod(images.shape[1:]))
    # one projection at a time: all of CIFAR-100's would take 250 MB
    for label in range(num_classes):
        projection = rng.standard_normal((size, num_classes))
        members = np.flatnonzero(labels == label)
        pixels = ((images[members] / 255 - mean) / deviation).reshape(-1, size)
        # The highest of scores with Gumbel noise is a draw from their softmax.
        scores = pixels @ projection + rng.gumbel(size=(len(members), num_classes))
        scores[:, label] = -np.inf
        targets[members] = scores.argmax(1)
    if sampling == "exact":
        chosen = choose_weighted(rates, round(rate * len(labels)), rng)
    else:
        chosen = np.flatnonzero(rng.random(len(labels)) < rates)
    return _flipped(labels, targets, chosen)


def margin_diminishing(
    labels: np.ndarray,
    degree: int,
    rate: float,
    rng: np.random.Generator,
    sampling: str,
    posterior: np.ndarray,
) -> np.ndarray:
    """Polynomial margin diminishing (PMD) noise of type I, II or III (Zhang et al., ICLR 2021):
    most where classes are close.

    [source] With d the margin between the two largest class probabilities of an image, its label
    flips with the chance
    I: 1/2 - d^2 / 2; II: 1 - d^3; III: 1 - (d^3 + d^2 + d) / 3. To meet a rate, the authors' code
        (GitHub pxiangwu/PLC, commit
    8c2bcfd) divides the chance to keep the label by a factor, and so does this, where their paper
    multiplies the chance to
    flip: where most margins are near 1, as on digits, a high rate flips these images, too, about
        half as often as the closest.
    [inferred] The factor follows from the rate, a chance above 1 is 1, and exact sampling flips the
    rounded count.

    [inferred] A label flips to the most likely class that it is not: to the second one where the
    classifier is right, and to the classifier's first where it is wrong. The authors' code sets
    every label to the first or the second class, whatever it was, so that their rate also counts
    the classifier's errors.

    Args:
        degree: 1, 2 or 3, the type.
        posterior: class probabilities (N, C).
    """
    first, second = np.sort(posterior, axis=1)[:, :-3:-1].T
    margin = first - second
    keep = (0.5 + margin**2 / 2, margin**3, (margin**3 + margin**2 + margin) / 3)[degree - 1]
    keep = keep.clip(1e-12)  # at a margin of 0 a label of type II or III flips, if the rate lets it
    others = posterior.copy()
    others[np.arange(len(labels)), labels] = -1
    if sampling == "exact":
        flips = np.ones(len(labels), dtype=bool)
        flips[choose_weighted(keep, len(labels) - round(rate * len(labels)), rng)] = False
    else:
        flips = rng.random(len(labels)) >= scaled(keep, (1 - rate) * len(labels))
    return _flipped(labels, others.argmax(1), np.flatnonzero(flips))


def posterior(images: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class probabilities (N, C) of images, each by a classifier that was not fitted on it; always
    the same.

    [inferred] Zhang et al. take a ResNet that has trained on these very images for 25 epochs, and
    so is sure of most of them. Here it is a linear classifier on responses to small patches, out of
    fold: its margins are those of images that it has not seen. Those of many images are kept in the
    cache.
    """
    if len(images) < MANY:
        return classifier.out_of_fold(images, labels, num_classes)
    digest = hashlib.sha256(repr((classifier.VERSION, images.shape, num_classes)).encode())
    for array in (images, labels.astype(np.int64)):
        digest.update(np.ascontiguousarray(array).data)
    path = cache_folder() / f"margins-{digest.hexdigest()[:16]}.npy"
    # there is none, or it is damaged: it is made anew
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept = np.load(path, allow_pickle=False)
        if kept.shape == (len(labels), num_classes) and np.isfinite(kept).all():
            return kept
    announce(
        f"pmd noise: fitting its classifier on {len(images):,} images, once; for CIFAR-10 it takes "
        "about three minutes"
    )
    steps = partial(track, description="pmd noise")
    found = classifier.out_of_fold(images, labels, num_classes, steps)
    buffer = io.BytesIO()
    np.save(buffer, found)
    with contextlib.suppress(OSError):  # it saves time, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    return found


def posterior_of(dataset: Dataset) -> np.ndarray:
    """Class probabilities (N, C) of the training images, out of fold, computed once."""
    if "posterior" not in dataset.derived:
        dataset.derived["posterior"] = posterior(
            np.asarray(dataset.train_images), dataset.train_labels, dataset.num_classes
        )
    return dataset.derived["posterior"]


def scaled(weights: np.ndarray, total: float) -> np.ndarray:
    """Probabilities (N,) in proportion to positive weights, none above 1, which add up to ``total``
    (at most N).
    """
    if total >= len(weights):
        return np.ones(len(weights))
    order = np.argsort(-weights, kind="stable")
    falling = weights[order]
    rest = falling[::-1].cumsum()[::-1]
    # The heaviest are certain, as few of them as leave none of the others above 1.
    certain = int(np.argmax((total - np.arange(len(weights))) * falling <= rest))
    probabilities = np.minimum(weights * (total - certain) / rest[certain], 1)
    probabilities[order[:certain]] = 1
    return probabilities


def choose_weighted(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Exactly ``count`` positions, ascending, each with the probability that ``scaled`` gives it.

    Systematic sampling: the probabilities are laid end to end in random order, and every whole step
        from a random start
    hits one.
    """
    probabilities = scaled(weights, count)
    certain = probabilities >= 1
    others = rng.permutation(np.flatnonzero(~certain))
    ends = np.cumsum(probabilities[others])
    ends[-1:] = count - certain.sum()  # which it is, but for rounding
    hits = np.diff(np.floor(np.append(0.0, ends) + rng.random())) > 0
    return np.sort(np.append(np.flatnonzero(certain), others[hits]))


def _flipped(labels: np.ndarray, targets: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    noisy = labels.copy()
    noisy[chosen] = targets[chosen]
    return noisy
