"""What the C library does with memory that tensors have given up."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let the next tensors have it instead of asking the system for zeroed pages for each.

    By default glibc gives it back at once where it is a megabyte or more: three such operations in
    a row then take three times as long, and a step of the small CNN on 256 images of 32x32 a fifth
    longer. What a trial has kept goes back when the next one starts.
    """
    if libc := _glibc():
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        # a step with several passes frees hundreds of megabytes
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Give it back to the system."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
