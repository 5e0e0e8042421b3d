"""Tensor helpers that several methods share; a method file imports them from here.

losses       scalar losses of logits: soft targets, transition matrix, contrast, penalties
targets      distributions as training targets: normalise, sharpen, guess
mixing       mixup and FMix with random partners, means over neighbours
mixtures     two-component mixtures on losses, which tell clean labels from noisy ones
selection    the samples of each class with the smallest values
neighbours   nearest rows in feature space
passes       passes over the training set: scores or features of every sample, endless batches
privileges   facts about the noise, as the authors' tables use them
optimizers   the change of Adam's first beta in Co-teaching and its descendants
"""

from bench.networks.auto_augment import auto_augment_cifar10
from bench.networks.rand_augment import disc_augment, fixmatch_augment
from bench.ops.losses import (
    confidence_penalty,
    corrected_cross_entropy,
    generalised_cross_entropy,
    nt_xent,
    soft_cross_entropy,
    uniform_divergence,
)
from bench.ops.mixing import FMix, Mix, beta_sample, draw_fmix, draw_mix, mix_with_neighbours
from bench.ops.mixtures import (
    BetaPair,
    GaussianPair,
    clean_probability,
    fit_betas,
    fit_gaussians,
    fit_mixture,
    min_max,
    two_means,
)
from bench.ops.neighbours import nearest_neighbours
from bench.ops.optimizers import lower_first_beta
from bench.ops.passes import all_features, forever, per_sample, per_sample_loss
from bench.ops.privileges import inclusive_rate, is_asymmetric, nearest
from bench.ops.selection import smallest_of_each_class
from bench.ops.targets import distributions, mean_prediction, sharpen

__all__ = [
    "BetaPair",
    "FMix",
    "GaussianPair",
    "Mix",
    "all_features",
    "auto_augment_cifar10",
    "beta_sample",
    "clean_probability",
    "confidence_penalty",
    "corrected_cross_entropy",
    "disc_augment",
    "distributions",
    "draw_fmix",
    "draw_mix",
    "fit_betas",
    "fit_gaussians",
    "fit_mixture",
    "fixmatch_augment",
    "forever",
    "generalised_cross_entropy",
    "inclusive_rate",
    "is_asymmetric",
    "lower_first_beta",
    "mean_prediction",
    "min_max",
    "mix_with_neighbours",
    "nearest",
    "nearest_neighbours",
    "nt_xent",
    "per_sample",
    "per_sample_loss",
    "sharpen",
    "smallest_of_each_class",
    "soft_cross_entropy",
    "two_means",
    "uniform_divergence",
]
