"""Name, number and bfloat16 units of the processors."""

import os
import platform
import sys
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

#: Names on Linux of the units that multiply bfloat16: AVX512-BF16 and AMX.
BFLOAT16 = {"avx512_bf16", "amx_bf16"}


@cache
def bfloat16_units() -> bool:
    """Tell whether the processor multiplies bfloat16, and so is faster in it than in float32.

    Without such units bfloat16 is emulated (``bench.networks.bfloat16``). The list of units is the
    system's: torch's functions for this are private, and differ between versions. Systems other
    than Linux have no such list, and count as machines without such units.
    """
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and BFLOAT16 & set(line.split()) for line in lines)


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every platform
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Return the name of the processor."""
    if sys.platform == "linux":
        for line in CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
