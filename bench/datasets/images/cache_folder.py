"""Folder of caches: where this package keeps files that save time."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.errors import InputError

#: Environment variable that names the folder of caches.
VARIABLE = "LNL_BENCH_CACHE"


def preferred_folder() -> Path | None:
    """Return LNL_BENCH_CACHE, or lnl-bench in the user's cache folder; None without a home."""
    if setting := os.environ.get(VARIABLE):
        try:
            return Path(setting).expanduser().absolute()
        except RuntimeError as error:
            raise InputError(
                f"{VARIABLE} is {setting!r}, but there is no home folder: give a path without ~"
            ) from error
    # A path that begins with ~ is of no use without a home folder.
    with contextlib.suppress(RuntimeError):
        shared = Path(os.environ.get("XDG_CACHE_HOME") or "").expanduser()
        if shared.is_absolute():  # the XDG specification has a relative path ignored
            return shared / "lnl-bench"
    try:
        home = Path.home()
    except RuntimeError:  # a user whom the system does not know, as in containers
        return None
    return home / ".cache" / "lnl-bench" if os.path.isdir(home) else None


def cache_folder() -> Path:
    """Return the folder that caches are written to; make it if need be.

    It is the preferred folder, or the user's temporary one if that is read-only.

    Raises:
        InputError: if LNL_BENCH_CACHE names a folder that cannot be written, or there is no other.
    """
    place = preferred_folder()
    reason = "there is no home folder" if place is None else _refusal(place)
    if place is not None and reason is None:
        return place
    if os.environ.get(VARIABLE):
        raise InputError(
            f"cannot keep files in {str(place)!r} ({reason}): name another folder in {VARIABLE}"
        )
    return temporary_folder()


def temporary_folder() -> Path:
    """Return the user's own temporary folder for caches; InputError if others can write to it."""
    place = None
    try:
        place = Path(tempfile.gettempdir()) / f"lnl-bench-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        facts = place.lstat()  # of the name itself: another user may have put a link there
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise PermissionError(1, "it is not a folder that is yours alone")
        if reason := _refusal(place):
            raise PermissionError(1, reason)
    except OSError as error:
        where = "" if place is None else f" in {str(place)!r}"
        raise InputError(
            f"cannot keep files{where} ({error.strerror or error}): name a folder in the "
            f"environment variable {VARIABLE}"
        ) from error
    return place


def readable_folders() -> list[Path]:
    """Return the folders that may hold earlier caches, the preferred one first."""
    places = [] if (place := preferred_folder()) is None else [place]
    with contextlib.suppress(InputError):
        if not places or not os.access(places[0], os.W_OK):
            places.append(temporary_folder())
    return places


def unwritable(place: Path, error: OSError, content: str = "decoded images") -> InputError:
    """Return the error for a folder of caches that cannot be written."""
    return InputError(
        f"cannot keep {content} in {str(place)!r} ({error.strerror or error}): name another "
        f"folder in the environment variable {VARIABLE}"
    )


@contextlib.contextmanager
def locked(place: Path) -> Iterator[None]:
    """Context that one process at a time enters: the writer of a cache, while others wait."""
    import fcntl  # not on every platform: a command has checked that before

    with (place / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refusal(place: Path) -> str | None:
    """Make the folder; return why nothing can be written there, or None."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None if os.access(place, os.W_OK | os.X_OK) else "it is read-only"


def keep_library_caches() -> None:
    """Set the cache folders of Matplotlib (fonts) and torch (kernels) to folders within ours."""
    try:
        place = cache_folder()
    except InputError:  # a read-only cache of images may hold everything that is needed
        place = temporary_folder()
    for variable, name in (("MPLCONFIGDIR", "matplotlib"), ("TORCHINDUCTOR_CACHE_DIR", "torch")):
        os.environ.setdefault(variable, str(place / name))
