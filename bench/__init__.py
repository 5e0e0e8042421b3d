"""A benchmark suite for learning with noisy labels in image classification."""

from bench.version import __version__

__all__ = ["__version__"]
