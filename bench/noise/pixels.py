"""Noise that depends on the image: part-dependent and margin-diminishing, as pure functions."""

import numpy as np
from numpy.random import Generator

#: Standard deviation of the samples' flip rates in part-dependent noise.
SPREAD = 0.1


def instance(
    labels: np.ndarray,
    num_classes: int,
    rate: float,
    rng: Generator,
    sampling: str,
    images: np.ndarray,
    statistics: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return labels with part-dependent noise (Xia et al., NeurIPS 2020; "instance" or "IDN").

    Each sample has a flip rate from a normal distribution around ``rate``, of deviation 0.1,
    truncated to [0, 1]. Each class has a random projection of pixels onto classes, from N(0, 1).
    A flipped label is drawn from the softmax of the image's projection by its own class, without
    that class.

    [inferred] Pixels are normalised by the data set's statistics, as for a network, so that the
    differences between images decide. The authors' code takes values from 0 to 255 (here
    ``instance-raw``, to compare with their numbers): the mean image decides, and most of a class
    flips to the same one. On CIFAR-10 at 40 %, the most frequent target gets 53 to 81 % of a
    class's flips, and 21 % here.

    [inferred] The authors' code flips independently (``independent`` here; the truncation raises
    the mean of low rates: 10 % becomes 12.9 %). Exact sampling flips the rounded count, each
    sample with a probability in proportion to its flip rate.

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
    # Projections are drawn one by one: all of CIFAR-100's would take 250 MB.
    for label in range(num_classes):
        projection = rng.standard_normal((size, num_classes))
        members = np.flatnonzero(labels == label)
        pixels = ((images[members] / 255 - mean) / deviation).reshape(-1, size)
        # The argmax of scores with Gumbel noise is a draw from their softmax.
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
    rng: Generator,
    sampling: str,
    posterior: np.ndarray,
) -> np.ndarray:
    """Return labels with polynomial margin diminishing noise (PMD; Zhang et al., ICLR 2021).

    [source] Labels flip most where classes are close. With d the margin between the two largest
    class probabilities of an image, its label flips with the probability
    I: 1/2 - d^2 / 2; II: 1 - d^3; III: 1 - (d^3 + d^2 + d) / 3.
    To meet a rate, the authors' code (GitHub pxiangwu/PLC, commit 8c2bcfd) divides the probability
    to keep the label by a factor, and so does this; their paper multiplies the probability to
    flip. Where most margins are near 1, as on digits, a high rate flips these images, too, about
    half as often as the closest.

    [inferred] The factor follows from the rate, a probability above 1 is 1, and exact sampling
    flips the rounded count.

    [inferred] A label flips to the most likely other class: to the second one where the classifier
    is right, and to the classifier's first where it is wrong. The authors' code sets every label to
    the first or the second class, whatever it was, so that their rate also counts the classifier's
    errors.

    Args:
        degree: 1, 2 or 3, the type.
        posterior: class probabilities (N, C).
    """
    first, second = np.sort(posterior, axis=1)[:, :-3:-1].T
    margin = first - second
    keep = (0.5 + margin**2 / 2, margin**3, (margin**3 + margin**2 + margin) / 3)[degree - 1]
    keep = keep.clip(1e-12)  # positive at a margin of 0 too, where types II and III have 0
    others = posterior.copy()
    others[np.arange(len(labels)), labels] = -1
    if sampling == "exact":
        flips = np.ones(len(labels), dtype=bool)
        flips[choose_weighted(keep, len(labels) - round(rate * len(labels)), rng)] = False
    else:
        flips = rng.random(len(labels)) >= scaled(keep, (1 - rate) * len(labels))
    return _flipped(labels, others.argmax(1), np.flatnonzero(flips))


def scaled(weights: np.ndarray, total: float) -> np.ndarray:
    """Return probabilities (N,) in proportion to positive weights that add up to ``total``.

    None is above 1; ``total`` is at most N.
    """
    if total >= len(weights):
        return np.ones(len(weights))
    order = np.argsort(-weights, kind="stable")
    falling = weights[order]
    rest = falling[::-1].cumsum()[::-1]
    # The heaviest samples are certain: the smallest number that leaves no other above 1.
    certain = int(np.argmax((total - np.arange(len(weights))) * falling <= rest))
    probabilities = np.minimum(weights * (total - certain) / rest[certain], 1)
    probabilities[order[:certain]] = 1
    return probabilities


def choose_weighted(weights: np.ndarray, count: int, rng: Generator) -> np.ndarray:
    """Draw exactly ``count`` ascending positions with the probabilities of ``scaled``.

    Systematic sampling: the probabilities are laid end to end in random order, and every whole step
    from a random start hits one.
    """
    probabilities = scaled(weights, count)
    certain = probabilities >= 1
    others = rng.permutation(np.flatnonzero(~certain))
    ends = np.cumsum(probabilities[others])
    ends[-1:] = count - certain.sum()  # exact, where the sum is rounded
    hits = np.diff(np.floor(np.append(0.0, ends) + rng.random())) > 0
    return np.sort(np.append(np.flatnonzero(certain), others[hits]))


def _flipped(labels: np.ndarray, targets: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    noisy = labels.copy()
    noisy[chosen] = targets[chosen]
    return noisy
