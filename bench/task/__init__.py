"""The view that a method has of a trial: images, noisy labels, networks, and nothing else.

task      Task: the training set and the means to learn from it; Batch; Oracle, for privileges
pixels    Pixels: images on the device, from which batches are cut, augmented and normalised
"""

from bench.networks.backbones import Network
from bench.task.pixels import EVALUATION_BATCH, Pixels, SharedPixels, evaluation_batch
from bench.task.task import PRETRAINING, PRIVILEGES, Batch, Oracle, Task, stream_seed

__all__ = [
    "EVALUATION_BATCH",
    "PRETRAINING",
    "PRIVILEGES",
    "Batch",
    "Network",
    "Oracle",
    "Pixels",
    "SharedPixels",
    "Task",
    "evaluation_batch",
    "stream_seed",
]
