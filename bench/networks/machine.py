"""Facts of this machine that rounding depends on."""

import os
import platform
from typing import Any

import torch

from bench.networks.cpu import processor


def machine() -> dict[str, Any]:
    """Return system, processor, number of CPUs, and the instructions that torch uses of them."""
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cpus": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
