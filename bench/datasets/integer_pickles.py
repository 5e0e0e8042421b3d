"""Reader of integer arrays in pickles, which runs no code of the file.

``torch.save`` and ``numpy.save`` write such pickles, and a pickle can run any code. A restricted
``pickle.Unpickler``, or ``torch.load(weights_only=True)``, admits NumPy's own types alone. That
excludes code, but not a forged dtype, which ended in a segmentation fault. So no object of NumPy is
built by the pickle: stand-ins collect its contents, which then become integers.
"""

import io
import pickle
import re
import zipfile
import zlib
from typing import Any

import numpy as np

#: Errors that a damaged file, or one of another kind, raises.
UNREADABLE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(MemoryError, ValueError, TypeError, LookupError, AttributeError, OverflowError),
)


def read_pt(content: bytes) -> Any:
    """Return the object that ``torch.save`` wrote.

    It consists of arrays of integers, numbers, and dictionaries or lists of these.

    Raises:
        UNREADABLE: if it is anything else.
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
    """Return the object that ``numpy.save`` wrote as an array of one object.

    Raises:
        UNREADABLE: if it is anything else.
    """
    if content[:6] != b"\x93NUMPY":
        raise ValueError("no .npy file")
    # The header is skipped: it says no more than the pickle does.
    width = 2 if content[6] == 1 else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    [value] = _Reader(io.BytesIO(content[start:])).load().data
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.numbers()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        return np.array(value, np.int64)
    return value


class _Type:
    """Stand-in for a dtype."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype:
        if not re.fullmatch("[<>|][iu][1248]", f"{self.order}{self.code}"):
            raise ValueError(f"{self.order}{self.code} is no type of integers")
        return np.dtype(f"{self.order}{self.code}")


class _Array:
    """Stand-in for an array."""

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.type, self.by_column, self.data = state

    def numbers(self) -> np.ndarray:
        values = np.frombuffer(self.data, self.type.dtype())
        return values.reshape(self.shape, order="F" if self.by_column else "C")


class _Reader(pickle.Unpickler):
    """Unpickler of NumPy's arrays and numbers, and of no other types."""

    def find_class(self, module: str, name: str) -> Any:
        # Made anew each time, because a pickle may write into what it is handed.
        known: dict[str, Any] = {
            "numpy.dtype": _Type,
            "numpy.ndarray": _Array,
            "collections.OrderedDict": dict,
            "_codecs.encode": lambda text, _: text.encode("latin1"),
        }
        # NumPy 1, which wrote the files of the field, and NumPy 2
        for core in ("numpy.core", "numpy._core"):
            known[f"{core}.multiarray._reconstruct"] = lambda *_: _Array()
            known[f"{core}.multiarray.scalar"] = lambda kind, raw: int(
                np.frombuffer(raw, kind.dtype())[0]
            )
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return known[f"{module}.{name}"]
