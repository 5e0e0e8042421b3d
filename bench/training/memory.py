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


def _reset_peak_memory(device: str) -> None:
    return_freed_memory()
    if device == "cuda":
        # a reused process would keep its earlier trials' memory from its neighbours
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK):
        # a reused process would report its earlier trials' peak
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Peak memory in bytes: of the device's allocator, or resident for a CPU trial."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
