"""Vectors as data sets and as tasks of methods."""

import dataclasses

import numpy as np
import torch

from bench.datasets import Dataset, load_dataset
from bench.task import Task, Vectors


def digits_as_vectors(subset: int | None = None) -> Dataset:
    """Return the digits with each image as a vector of its 64 pixels."""
    digits = load_dataset("digits", subset=subset)
    train, test = (
        images.reshape(len(images), -1).astype(np.float32) / 16
        for images in (digits.train_images, digits.test_images)
    )
    return dataclasses.replace(digits, train_images=train, test_images=test)


def vector_task(x: np.ndarray, y: np.ndarray, **changes) -> Task:
    """Return a Task of these vectors (N, D) and labels (N,), which are neither moved nor scaled."""
    settings = {
        "num_classes": int(y.max()) + 1,
        "epochs": 10,
        "batch_size": len(y),
        "backbone": "mlp",
        "augmentation": "none",
        "device": torch.device("cpu"),
        "precision": "fp32",
    } | changes
    mean, scale = torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    vectors = Vectors(x.astype(np.float32), mean, scale)
    task = Task(vectors, torch.from_numpy(y.astype(np.int64)), **settings)
    task.seed(0)
    return task
