"""What the processor is, and what it can do."""

import platform
import sys
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

#: Units that multiply bfloat16, by the names that Linux gives them: AVX512-BF16 and AMX.
BFLOAT16 = {"avx512_bf16", "amx_bf16"}


@cache
def bfloat16_units() -> bool:
    """Whether bfloat16 is faster than float32 here; without such units it is emulated
    (``bench.networks.bfloat16``).

    The system's list, not torch's: its own functions for this are private, and differ between
    versions. Where there is none (not on Linux), there are no such units either, as far as we know.
    """
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and BFLOAT16 & set(line.split()) for line in lines)


def processor() -> str:
    """Its name."""
    if sys.platform == "linux":
        for line in CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
