"""Memory of a trial's process: its peak, and memory that the C library keeps or returns."""

import ctypes
import os
import sys
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensors, until the next trial starts.

    By default glibc returns blocks of a megabyte or more at once, and each new tensor asks the
    system for zeroed pages. Three such operations in a row take three times as long, a step of the
    small CNN on 256 images of 32x32 a fifth longer.
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest value that glibc takes
        # A step with several passes frees hundreds of megabytes.
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def reset_peak_memory(device: str) -> None:
    """Return freed memory and reset the peak: a reused process has run other trials before."""
    if libc := _glibc():
        libc.malloc_trim(0)
    if device == "cuda":
        torch.cuda.empty_cache()  # other processes of the GPU may need it
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Return the peak in bytes: of the GPU's allocator, or the resident memory of a CPU trial."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
