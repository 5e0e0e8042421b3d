"""Data set in a NumPy archive of the user's own: ``npz:FILE``."""

import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets.arrays import from_arrays
from bench.datasets.dataset import FOUND, UNKNOWN, Dataset, Source
from bench.errors import InputError

NAMES = ("train_images", "train_labels", "test_images", "test_labels")

#: Errors that NumPy raises for a file that is damaged or no archive.
_DAMAGE = (ValueError, OSError, EOFError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)


def load(path: Path, side: int | None = None) -> Dataset:
    """Return the data set of the arrays ``NAMES`` and, optionally, ``classes``.

    ``train_labels`` are the true ones. Noisy labels that came with the images are further arrays,
    named ``noisy_labels`` or ``noisy_labels_NAME``; with them, true labels may be missing, or -1
    where unknown. Classes are counted from 0 without gaps, unless ``classes`` names all of them.

    Raises:
        InputError: if the file cannot be read, or its arrays do not fit together.
    """
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}: give npz: the path of a NumPy archive")
    arrays, unused = _read(path)
    noisy = [key for key in arrays if key.startswith("noisy_labels")]
    found = {_noise_kind(key): arrays[key] for key in noisy}
    if len(found) < len(noisy):
        raise InputError(
            f"{str(path)!r} has two arrays for one kind of noise ({', '.join(noisy)}): rename one "
            "of them"
        )
    if found and "train_images" in arrays and "train_labels" not in arrays:
        arrays["train_labels"] = np.full(arrays["train_images"].shape[:1], UNKNOWN)
    if missing := [name for name in NAMES if name not in arrays]:
        others = f" (it has {', '.join(unused)})" if unused else ""
        raise InputError(
            f"{str(path)!r} lacks {', '.join(missing)}{others}: save these arrays in it with "
            "numpy.savez"
        )
    classes = _texts(arrays["classes"]) if "classes" in arrays else None
    train_images, train_labels, test_images, test_labels = (arrays[name] for name in NAMES)
    dataset = from_arrays(
        f"npz:{path}", train_images, train_labels, test_images, test_labels, classes, found=found
    )
    if unused:
        warnings.warn(
            f"arrays of {str(path)!r} are not used ({', '.join(unused)}): names that count are "
            f"{', '.join(NAMES)}, classes, noisy_labels and noisy_labels_NAME",
            stacklevel=2,
        )
    return replace(dataset, train_then_test=True)


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of the archive that are used, and the names of the others."""
    try:
        if not zipfile.is_zipfile(path):
            single = path.read_bytes()[:6] == b"\x93NUMPY"
            raise ValueError(
                "it is a single array" if single else "it is no archive, or is cut short"
            )
        with np.load(path, allow_pickle=False) as archive:
            used = [
                key
                for key in archive.files
                if key in (*NAMES, "classes") or key.startswith("noisy_labels")
            ]
            arrays = {key: _array(path, archive, key) for key in used}
            return arrays, sorted(set(archive.files) - set(used))
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{str(path)!r} cannot be read as a NumPy archive ({error}): save it with numpy.savez"
        ) from error


def _array(path: Path, archive: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """Return one array; refuse Python objects, because reading these could run any program."""
    try:
        return archive[key]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        kind = "int" if "label" in key else "str" if key == "classes" else "uint8"
        raise InputError(
            f"the array {key} of {str(path)!r} holds Python objects, as pandas makes them: save "
            f"{key}.astype({kind!r})"
        ) from error


def _texts(classes: np.ndarray) -> tuple[str, ...]:
    """Return the names of the classes as text, whether saved as text, bytes or numbers."""
    return tuple(
        name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        for name in classes.ravel().tolist()
    )


def _noise_kind(key: str) -> str:
    """Return the kind of noise: ``noisy_labels`` is "found", ``..._worst`` is "human-worst"."""
    name = key.removeprefix("noisy_labels").lstrip("_")
    return f"human-{name}" if name else FOUND


SOURCE = Source(
    "arrays of one's own: train_images, train_labels, test_images, test_labels",
    load,
    size="any",
    access="written with numpy.savez; noisy_labels beside them are noise as found",
)
