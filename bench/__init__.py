"""A benchmark suite for learning with noisy labels in image classification."""

from bench.common.importing import put_working_directory_last
from bench.common.version import __version__

__all__ = ["__version__"]

put_working_directory_last()  # before a module of a command imports what a file there may shadow
