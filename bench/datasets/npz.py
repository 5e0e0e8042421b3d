"""Data set in a NumPy archive of the user's own: ``npz:FILE``."""

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets.arrays import from_arrays, from_vectors
from bench.datasets.dataset import FOUND, UNKNOWN, Dataset, Source
from bench.errors import InputError, reason_of

#: Arrays that a file has to hold, by what its samples are.
NAMES = {
    "images": ("train_images", "train_labels", "test_images", "test_labels"),
    "features": ("train_features", "train_labels", "test_features", "test_labels"),
}

#: Arrays that a file may hold beside them. ``ABOUT`` is text for people, which nothing reads.
CLASSES, FLIPS, NOISY_TEST, ABOUT = "classes", "flips", "noisy_test", "about"

#: Beginning of the names of arrays with noisy labels.
NOISY = "noisy_labels"

#: Type to save an array as, by its name; labels and flips are integers.
_TYPES = {
    "train_images": "uint8",
    "test_images": "uint8",
    "train_features": "float32",
    "test_features": "float32",
    CLASSES: "str",
    NOISY_TEST: "bool",
}


def load(path: Path, side: int | None = None) -> Dataset:
    """Return the data set of the arrays ``NAMES`` and, optionally, ``classes``.

    ``train_labels`` are the true ones. Noisy labels that came with the samples are further arrays,
    named ``noisy_labels`` or ``noisy_labels_NAME``; with them, true labels may be missing, or -1
    where unknown. Classes are counted from 0 without gaps, unless ``classes`` names all of them.
    ``flips`` (K, 2) are classes and what they are mistaken for; ``noisy_test`` is true where the
    test labels are noisy, too.

    Raises:
        InputError: if the file cannot be read, or its arrays do not fit together.
    """
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}: give npz: the path of a NumPy archive")
    arrays, unused = _read(path)
    names = NAMES[_samples(path, arrays)]
    found = _found(path, arrays)
    if found and names[0] in arrays and "train_labels" not in arrays:
        arrays["train_labels"] = np.full(arrays[names[0]].shape[:1], UNKNOWN)
    if missing := [name for name in names if name not in arrays]:
        others = f" (it has {', '.join(unused)})" if unused else ""
        raise InputError(
            f"{str(path)!r} lacks {', '.join(missing)}{others}: save these arrays in it with "
            "numpy.savez"
        )
    classes = _texts(arrays[CLASSES]) if CLASSES in arrays else None
    train, train_labels, test, test_labels = (arrays[name] for name in names)
    make = from_arrays if names == NAMES["images"] else from_vectors
    dataset = make(
        f"npz:{path}", train, train_labels, test, test_labels, classes=classes, found=found
    )
    if unused:
        warnings.warn(
            f"arrays of {str(path)!r} are not used ({', '.join(unused)}): names that count are "
            f"{', '.join(names)}, {CLASSES}, {FLIPS}, {NOISY_TEST}, {NOISY} and {NOISY}_NAME",
            stacklevel=2,
        )
    return replace(
        dataset,
        flips=_flips(path, arrays[FLIPS], dataset.num_classes) if FLIPS in arrays else None,
        noisy_test=NOISY_TEST in arrays and bool(arrays[NOISY_TEST].any()),
        train_then_test=True,
    )


def _samples(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the key of ``NAMES`` for a file, by the arrays in it."""
    present = {
        kind: [name for name in (train, test) if name in arrays]
        for kind, (train, _, test, _) in NAMES.items()
    }
    if all(present.values()):
        listed = ", ".join(name for names in present.values() for name in names)
        raise InputError(
            f"{str(path)!r} holds both images and features ({listed}): keep those of one kind"
        )
    return "features" if present["features"] else "images"


def _found(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the noisy labels by the name of their kind."""
    keys = [key for key in arrays if key.startswith(NOISY)]
    found = {_noise_kind(key): arrays[key] for key in keys}
    if len(found) < len(keys):
        raise InputError(
            f"{str(path)!r} has two arrays for one kind of noise ({', '.join(keys)}): rename one "
            "of them"
        )
    return found


def _flips(path: Path, pairs: np.ndarray, classes: int) -> dict[int, int]:
    """Return the class that each class is mistaken for."""
    whole = pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu"
    if not whole or ((pairs < 0) | (pairs >= classes)).any():
        raise InputError(
            f"the flips of {str(path)!r} are {pairs.dtype} of shape {pairs.shape}: give integers "
            f"of shape (K, 2), each a class from 0 to {classes - 1}"
        )
    return {int(source): int(target) for source, target in pairs}


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of the archive that are used, and the names of the others."""
    known = {name for names in NAMES.values() for name in names} | {CLASSES, FLIPS, NOISY_TEST}
    try:
        if not zipfile.is_zipfile(path):
            single = path.read_bytes()[:6] == b"\x93NUMPY"
            raise ValueError(
                "it is a single array" if single else "it is no archive, or is cut short"
            )
        with np.load(path, allow_pickle=False) as archive:
            used = [key for key in archive.files if key in known or key.startswith(NOISY)]
            arrays = {key: _array(path, archive, key) for key in used}
            return arrays, sorted(set(archive.files) - set(used) - {ABOUT})
    except InputError:
        raise
    except Exception as error:  # NumPy raises many types on damaged files
        raise InputError(
            f"{str(path)!r} cannot be read as a NumPy archive ({reason_of(error)}): save it with "
            "numpy.savez"
        ) from error


def _array(path: Path, archive: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """Return one array; refuse Python objects, because reading these could run any program."""
    try:
        return archive[key]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        kind = _TYPES.get(key, "int")
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
    name = key.removeprefix(NOISY).lstrip("_")
    return f"human-{name}" if name else FOUND


SOURCE = Source(
    "arrays of one's own: train_images, or train_features for vectors, train_labels, and the same "
    "for test",
    load,
    size="any",
    access="written with numpy.savez; noisy_labels beside them are noise as found",
)
