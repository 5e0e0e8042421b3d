"""The view that a method has of a trial: images, noisy labels, networks, and nothing else.

task      Task: the training set and the means to learn from it; Batch; Oracle, for privileges
vectors   Vectors: the same for samples that are vectors
pixels    Pixels: images on the device, from which batches are cut, augmented and normalised
"""

from bench.networks.backbones import Network
from bench.task.pixels import EVALUATION_BATCH, Pixels, SharedPixels, evaluation_batch
from bench.task.task import PRETRAINING, PRIVILEGES, Batch, FrozenEncoder, Oracle, Task, stream_seed
from bench.task.vectors import Vectors

__all__ = [
    "EVALUATION_BATCH",
    "PRETRAINING",
    "PRIVILEGES",
    "Batch",
    "FrozenEncoder",
    "Network",
    "Oracle",
    "Pixels",
    "SharedPixels",
    "Task",
    "Vectors",
    "evaluation_batch",
    "stream_seed",
]
