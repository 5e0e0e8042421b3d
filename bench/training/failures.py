"""Errors that end a trial: the method's or the machine's, and their text in the record."""

import errno
import os

import torch

from bench.errors import Unavailable, one_line

#: Errors of the machine: no space, no handles, a device or a network mount that is gone.
MACHINE_ERRORS = frozenset(
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE),
        *(errno.ENFILE, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT),
    ]
)

#: Texts of the same errors in PyTorch and other C++ code, which raises RuntimeError.
_MACHINE_TEXTS = (
    *map(os.strerror, (errno.ENOSPC, errno.EIO)),
    "uncorrectable ECC error",
    "no CUDA-capable device",
)


def of_machine(error: BaseException | None) -> bool:
    """Return whether the machine caused an error, or one that it was raised from."""
    while error is not None:
        if (
            isinstance(error, Unavailable)
            or (isinstance(error, OSError) and error.errno in MACHINE_ERRORS)
            or (isinstance(error, RuntimeError) and any(t in str(error) for t in _MACHINE_TEXTS))
        ):
            return True
        # Libraries wrap the error in one of their own.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def describe(error: Exception) -> str:
    """Return the error in one line; a lack of memory comes with advice."""
    text = one_line(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return f"out of memory ({text}): fewer trials at a time (--max-concurrent) leave each more"
    return text
