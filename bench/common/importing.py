"""Search path for imports: folders of this package come before a user's of the same name."""

import os
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

#: Folder that holds bench, methods and search_spaces: a checkout, or site-packages.
ROOT = Path(__file__).parents[2]

#: Packages of plugins beside bench, whose names a user's project may have too.
PLUGINS = ("methods", "search_spaces")


def import_bundled(name: str) -> ModuleType:
    """Import the package that lies beside ``bench``, whatever comes first on ``sys.path``.

    Raises:
        InputError: where a module of that name is imported already, from elsewhere.
    """
    # Not above: its imports may be shadowed until the search path is in order.
    from bench.errors import InputError

    folder = ROOT / name
    if (loaded := sys.modules.get(name)) is not None:
        places = list(getattr(loaded, "__path__", []))
        if any(Path(place).resolve() == folder.resolve() for place in places):
            return loaded
        origin = getattr(loaded, "__file__", None) or (places or ["this program"])[0]
        raise InputError(
            f"a module called {name!r} is imported already, from {origin!r}, and this package has "
            f"one of its own in {str(folder)!r}: rename yours, or run this package in a process "
            "that does not import it"
        )
    source = folder / "__init__.py"
    spec = spec_from_file_location(name, source, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None or not source.is_file():
        raise InputError(
            f"the folder {str(folder)!r} of this package is missing: install lnl-bench again"
        )
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def put_working_directory_last() -> None:
    """Let no file of the working directory (``random.py``, ``torch.py``) shadow a library.

    ``python -m`` puts that directory first on ``sys.path``. It becomes the last entry, since a
    user's plugins may be there. In a checkout it stays first: otherwise an installed copy would
    come before it in the processes that a command starts.
    """
    _bind_bench()
    if main_module().partition(".")[0] != "bench" or sys.flags.safe_path:
        return
    if sys.path and os.path.abspath(sys.path[0]) == os.getcwd() != str(ROOT):
        sys.path.append(os.path.abspath(sys.path.pop(0)))


def main_module() -> str:
    """Return the name of the module that ``python -m`` runs; empty for any other program."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return str(spec.name)
    # While Python imports the package of the module, its name is on the command line alone.
    is_starting = sys.argv[:1] == ["-m"] and "-m" in sys.orig_argv[:-1]
    return sys.orig_argv[sys.orig_argv.index("-m") + 1] if is_starting else ""


def _bind_bench() -> None:
    """Bind ``bench`` to this folder, where one of the working directory has taken the name.

    A folder ``bench`` without ``__init__.py`` does so as a namespace package.
    """
    package = sys.modules["bench"]
    if getattr(package, "__file__", None) is None:
        package.__path__ = [str(ROOT / "bench")]


def module_command(module: str) -> list[str]:
    """Return the words that start a command of this package, with ``python -P`` if used here."""
    return [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", module]


def worker_path(path: Sequence[str], *, same_machine: bool) -> list[str]:
    """Return ``sys.path`` entries for a Ray worker, with which it imports its driver's files.

    Args:
        path: the driver's ``sys.path``.
        same_machine: whether the worker has the driver's files. On another machine, entries of the
            driver's interpreter may be absent or belong to another installation: only those before
            the standard library are passed on.
    """
    entries = [os.path.abspath(entry) for entry in path]
    libraries = {os.path.realpath(entry) for entry in _library_folders()}
    if not same_machine:
        inside = [
            number for number, entry in enumerate(entries) if os.path.realpath(entry) in libraries
        ]
        entries = entries[: min(inside, default=len(entries))]
    if os.path.realpath(ROOT) not in libraries:
        entries.insert(0, str(ROOT))
    return list(dict.fromkeys(entries))


def _library_folders() -> set[str]:
    """Return the folders of the standard library and of installed packages."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    installed = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    return installed | {*site.getsitepackages(), site.getusersitepackages()}
