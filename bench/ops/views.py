"""Strong views that several methods learn from."""

from bench.networks.augment import Augmentation, chain, cutout
from bench.networks.auto_augment import auto_augment_cifar10
from bench.task import Task


def auto_augmentation(task: Task, with_cutout: bool = False) -> Augmentation:
    """Return the recipe's augmentation, then AutoAugment's, then perhaps a square of cutout.

    The square has a quarter of the area. On vectors it is the task's strong augmentation.
    """
    if task.on_vectors:
        return task.strong_augment
    return chain(task.augment, auto_augment_cifar10, *([cutout] if with_cutout else []))
