"""Arrays of integers in pickles, as ``torch.save`` and ``numpy.save`` make them, read without
running what is in the file.

A pickle can run anything. Letting through NumPy's own types and no others, as a restricted
``pickle.Unpickler`` can and ``torch.load(weights_only=True)`` can be told to, keeps code out, but
not a forged dtype, and that ended in a segmentation fault. So nothing of NumPy is built from a
file: stand-ins take down what it says, and become integers.
"""

import io
import pickle
import re
import zipfile
import zlib
from typing import Any

import numpy as np

#: What a damaged file or one of another kind raises.
UNREADABLE = (
    *(
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        MemoryError,
    ),
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError),
)


def read_pt(content: bytes) -> Any:
    """What ``torch.save`` wrote: arrays of integers, numbers, and dictionaries or lists of these;
    raises ``UNREADABLE``.
    """
    stream = io.BytesIO(content)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            raw = archive.read(f"{archive.namelist()[0].split('/')[0]}/data.pkl")
        return _plain(_Reader(io.BytesIO(raw)).load())
    stream.seek(0)
    # before torch 1.6: four pickles, one after another
    for _ in ("magic number", "version", "system"):
        _Reader(stream).load()
    return _plain(_Reader(stream).load())


def read_npy(content: bytes) -> Any:
    """The object that ``numpy.save`` wrote as an array of one object; raises ``UNREADABLE``."""
    if content[:6] != b"\x93NUMPY":
        raise ValueError("no .npy file")
    # of the header's length; the header says no more than the pickle does
    width = 2 if content[6] == 1 else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    [found] = _Reader(io.BytesIO(content[start:])).load().data
    return _plain(found)


def _plain(found: Any) -> Any:
    if isinstance(found, _Array):
        return found.numbers()
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list) and found and all(type(value) is int for value in found):
        return np.array(found, np.int64)
    return found


class _Type:
    """Takes down what a pickle says of a dtype."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype:
        if not re.fullmatch("[<>|][iu][1248]", f"{self.order}{self.code}"):
            raise ValueError(f"{self.order}{self.code} is no type of integers")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """Takes down what a pickle says of an array."""

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.type, self.by_column, self.data = state

    def numbers(self) -> np.ndarray:
        return np.frombuffer(self.data, self.type.dtype()).reshape(
            self.shape, order="F" if self.by_column else "C"
        )


class _Reader(pickle.Unpickler):
    """Knows arrays and numbers of NumPy, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        # Made anew each time, since a pickle may write into what it is handed.
        known: dict[str, Any] = {
            "numpy.dtype": _Type,
            "numpy.ndarray": _Array,
            "collections.OrderedDict": dict,
            "_codecs.encode": lambda text, _: text.encode("latin1"),
        }
        # NumPy 1, with which the field wrote its files, and 2
        for core in ("numpy.core", "numpy._core"):
            known[f"{core}.multiarray._reconstruct"] = lambda *_: _Array()
            known[f"{core}.multiarray.scalar"] = lambda kind, raw: int(
                np.frombuffer(raw, kind.dtype())[0]
            )
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return known[f"{module}.{name}"]
