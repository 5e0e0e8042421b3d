"""Kinds of noise by name, those of installed packages included: found, listed and checked."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

from bench.common import plugins
from bench.datasets import FOUND, Dataset
from bench.errors import InputError, Unavailable, unknown
from bench.noise.contents import file_hash
from bench.noise.kinds import KINDS, NoiseKind
from bench.noise.spec import NoiseSpec


def find_kind(kind: str) -> tuple[NoiseKind, str]:
    """Return a kind that is drawn or read from a file, and the argument after its colon, or "".

    Raises:
        InputError: where there is none, or the argument is missing or too much.
    """
    name, colon, argument = kind.partition(":")
    if name not in KINDS and name not in _packaged():
        raise unknown("noise kind", name, [*listing()])
    noise = _load(name)
    if noise.argument and not argument:
        item = "file" if noise.argument == "FILE" else "data set"
        raise InputError(f"{kind} names no {item}: write {name}:{noise.argument}")
    if colon and not noise.argument:
        raise InputError(f"{name} noise takes nothing after a colon: write {name} alone")
    return noise, argument


def listing() -> dict[str, str]:
    """Return the summary of every kind by its name, as in ``--list noise``."""
    rows = {}
    for name in dict.fromkeys((*KINDS, *_packaged())):
        try:
            kind = _load(name)
            rows[f"{name}:{kind.argument}" if kind.argument else name] = kind.summary
        except InputError as error:  # one broken package does not hide the others
            rows[name] = f"[broken: {error}]"
    return rows | {
        FOUND: "as the images came with them; takes no rate",
        "human-NAME": "people's, where the data set has them",
    }


def comes_with_data(kind: str) -> bool:
    """Return whether a data set brings the noisy labels along: "found", "human-worst"."""
    return kind == FOUND or kind.startswith("human-")


def default_noise(dataset: Dataset) -> str:
    """Return the default kind: the noisy labels of the data set, or else symmetric noise."""
    return next(iter(dataset.found), "symmetric")


def takes_rate(kind: str) -> bool:
    """Return whether the kind is drawn at a rate that the user chooses."""
    return kind != "clean" and not comes_with_data(kind) and find_kind(kind)[0].takes_rate


# ----------------------------------------------------------------------------------------------
# checks


def check_noise(kind: str, rate: float | None, dataset: Dataset | None = None) -> None:
    """Raise InputError where kind, rate and data set do not go together.

    Without a data set, only kind and rate are checked.
    """
    check_rate(kind, rate, dataset)
    if not comes_with_data(kind):
        noise, argument = find_kind(kind)
        with blame(kind, "check"):
            noise.check(dataset, kind, argument)


def check_rate(kind: str, rate: float | None, dataset: Dataset | None = None) -> None:
    """Raise as ``check_noise``, but without the kind's own check, which may read a file."""
    if comes_with_data(kind):
        if dataset is not None and kind not in dataset.found:
            known = [*dataset.found, *(KINDS if dataset.knows_truth else [])]
            raise InputError(
                f"{dataset.name} does not come with {kind} labels: choose from {', '.join(known)}"
            )
        if rate is not None:
            raise InputError(
                f"{kind} labels are as they are, and take no noise rate: leave out --noise"
            )
        return
    noise, _ = find_kind(kind)
    if not noise.takes_rate and rate is not None:
        raise InputError(
            f"{kind} says itself how many labels are wrong, and takes no noise rate: leave out "
            "--noise"
        )
    if rate is not None and not 0 <= rate < 1:
        raise InputError(
            f"the noise rate is {rate:g}: give a rate from 0 up to, but not including, 1"
        )
    if kind == "clean" and rate:
        raise InputError(
            f"clean labels take no noise rate, but --noise has {rate:g}: use --noise 0"
        )
    if takes_rate(kind) and rate is None:
        raise InputError(f"{kind} noise needs a rate: give one with --noise")
    if dataset is not None and noise.needs_truth and not dataset.knows_truth:
        raise InputError(
            f"nobody knows the true labels of {dataset.name}, which {kind} noise starts from: use "
            f"--noise-kind {FOUND}"
        )


# ----------------------------------------------------------------------------------------------
# files


def fingerprint(kind: str) -> str | None:
    """Return a short hash of the content of the kind's files; None where it reads none."""
    if comes_with_data(kind):
        return None
    noise, argument = find_kind(kind)
    paths: Sequence[Path | str] = [argument] if noise.argument == "FILE" else []
    if noise.files is not None:
        with blame(kind, "files"):
            paths = noise.files(argument)
            if isinstance(paths, str | Path) or not all(
                isinstance(path, str | Path) for path in paths
            ):
                raise InputError(f"files returns {paths!r}: return a list of paths")
    return file_hash(paths) if paths else None


def check_files(spec: NoiseSpec) -> None:
    """Raise Unavailable unless the kind's files have the content that the specification names."""
    try:
        content = fingerprint(spec.kind)
    except InputError as error:  # another machine may have the file
        raise Unavailable(str(error)) from error
    if content != spec.file_hash:
        raise Unavailable(
            f"the file of {spec.kind} is not the one the trial was planned with: put that one back"
        )


# ----------------------------------------------------------------------------------------------
# kinds of other packages


@cache
def _packaged() -> dict[str, list[EntryPoint]]:
    """Return the entry points of the group ``bench.noise``, each of which names a ``NoiseKind``."""
    return plugins.points_by_name("bench.noise")


def _load(name: str) -> NoiseKind:
    if name not in _packaged():
        return KINDS[name]
    taken = name in KINDS or comes_with_data(name)
    point = plugins.single_point(_packaged()[name], "kinds of noise", taken)
    kind = plugins.load(point, NoiseKind, "noise kind")
    types = {"summary": str, "argument": str, "takes_rate": bool, "needs_truth": bool}
    for field, required in types.items():
        if not isinstance(value := getattr(kind, field), required):
            raise InputError(
                f"{point.value}: {field} is {value!r}: give a value of the type {required.__name__}"
            )
    for field in ("corrupt", "check", "files"):
        if not callable(value := getattr(kind, field)) and (field, value) != ("files", None):
            raise InputError(f"{point.value}: {field} is {value!r}: give a function")
    return kind


def origin(kind: str) -> str | None:
    """Return the entry point of another package's kind, such as "theirs.noise:KIND"."""
    points = _packaged().get(kind.partition(":")[0])
    return points[0].value if points else None


def blame(kind: str, call: str) -> AbstractContextManager[None]:
    """Return a context in which an error of another package's kind becomes one sentence.

    Args:
        call: the function of the kind that runs in it.
    """
    place = origin(kind)
    return plugins.blame(place, call) if place else nullcontext()
