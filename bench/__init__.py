"""A benchmark suite for learning with noisy labels in image classification."""

__version__ = "0.1.0"
