"""Tensor helpers that several methods share; a method file imports them from here.

losses       losses of logits: soft targets, transition matrix, normalised, contrast, penalties
targets      distributions as training targets: normalise, sharpen, guess
mixing       mixup and FMix with random partners, means over neighbours
mixmatch     MixMatch: labelled and unlabelled batches, their targets and losses
mixtures     two-component mixtures on losses, which tell clean labels from noisy ones
selection    the samples of each class with the smallest values
neighbours   nearest rows in feature space
passes       passes over the training set: scores, features, noise rate; endless batches
privileges   facts about the noise, as the authors' tables use them
optimizers   clipped gradients; the change of Adam's first beta in Co-teaching
views        strong views: AutoAugment, with or without cutout
"""

from bench.networks.augment import cutout
from bench.networks.auto_augment import auto_augment_cifar10
from bench.networks.rand_augment import disc_augment, fixmatch_augment
from bench.ops.losses import (
    confidence_penalty,
    corrected_cross_entropy,
    focal_losses,
    generalised_cross_entropy,
    l1_norm,
    normalised_loss,
    nt_xent,
    soft_cross_entropy,
    uniform_divergence,
    warmup_loss,
)
from bench.ops.mixing import FMix, Mix, beta_sample, draw_fmix, draw_mix, mix_with_neighbours
from bench.ops.mixmatch import (
    Division,
    MixMatchLosses,
    PlainStep,
    divisions,
    mix_match,
    refine_and_guess,
)
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
from bench.ops.optimizers import clip_gradients, lower_first_beta
from bench.ops.passes import (
    all_features,
    estimated_rate,
    forever,
    per_sample,
    per_sample_loss,
)
from bench.ops.privileges import inclusive, inclusive_rate, is_asymmetric, nearest
from bench.ops.selection import smallest_of_each_class
from bench.ops.targets import distributions, mean_prediction, sharpen
from bench.ops.views import auto_augmentation

__all__ = [
    "BetaPair",
    "Division",
    "FMix",
    "GaussianPair",
    "Mix",
    "MixMatchLosses",
    "PlainStep",
    "all_features",
    "auto_augment_cifar10",
    "auto_augmentation",
    "beta_sample",
    "clean_probability",
    "clip_gradients",
    "confidence_penalty",
    "corrected_cross_entropy",
    "cutout",
    "disc_augment",
    "distributions",
    "divisions",
    "draw_fmix",
    "draw_mix",
    "estimated_rate",
    "fit_betas",
    "fit_gaussians",
    "fit_mixture",
    "fixmatch_augment",
    "focal_losses",
    "forever",
    "generalised_cross_entropy",
    "inclusive",
    "inclusive_rate",
    "is_asymmetric",
    "l1_norm",
    "lower_first_beta",
    "mean_prediction",
    "min_max",
    "mix_match",
    "mix_with_neighbours",
    "nearest",
    "nearest_neighbours",
    "normalised_loss",
    "nt_xent",
    "per_sample",
    "per_sample_loss",
    "refine_and_guess",
    "sharpen",
    "smallest_of_each_class",
    "soft_cross_entropy",
    "two_means",
    "uniform_divergence",
    "warmup_loss",
]
