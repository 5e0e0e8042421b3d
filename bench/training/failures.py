"""TODO."""

#: Errors of the machine, whatever the method: no room, no handles, a device or a network mount that
#: is gone.
MACHINE_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENODEV,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


#: The same in the words of PyTorch's and other C++ code, which raises RuntimeError.
_MACHINE_TEXTS = (
    *map(os.strerror, (errno.ENOSPC, errno.EIO)),
    "uncorrectable ECC error",
    "no CUDA-capable device",
)


def of_machine(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, is of the machine: libraries raise
    errors of their own.
    """
    while error is not None:
        if isinstance(error, Unavailable) or (
            isinstance(error, OSError) and error.errno in MACHINE_ERRORS
        ):
            return True
        if isinstance(error, RuntimeError) and any(text in str(error) for text in _MACHINE_TEXTS):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def describe(error: Exception) -> str:
    """The error in one line; where memory was short, that is what it says."""
    text = one_line(error)
    short = (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text
    )
    return (
        f"out of memory ({text}): fewer trials at a time (--max-concurrent) leave each more"
        if short
        else text
    )
