"""Search path of this package: its own folders come first, whatever lies in the user's working
directory.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

#: Folder that holds bench, methods and search_spaces: a checkout, or site-packages.
ROOT = Path(__file__).parents[2]

#: Packages of plugins beside bench; a user's project may well have a folder of the same name.
PLUGINS = ("methods", "search_spaces")


def own_package(name: str) -> ModuleType:
    """Import the package ``name`` that lies beside ``bench``, and not another one that comes first
    on ``sys.path``.

    Raises:
        InputError: where a module of that name is imported already, from elsewhere.
    """
    # not above: what it imports may be shadowed until the path is in order
    from bench.errors import InputError

    folder = ROOT / name
    loaded = sys.modules.get(name)
    if loaded is not None:
        if any(
            Path(path).resolve() == folder.resolve() for path in getattr(loaded, "__path__", [])
        ):
            return loaded
        origin = getattr(loaded, "__file__", None) or next(
            iter(getattr(loaded, "__path__", [])), "this program"
        )
        raise InputError(
            f"a module called {name!r} is imported already, from {origin!r}, and this package has "
            f"one of its own in {str(folder)!r}: rename yours, or run this package in a process "
            "that does not import it"
        )
    spec = spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
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
    """Let no file of the working directory (``random.py``, ``torch.py``) shadow a library of a
    command.

    ``python -m`` puts that directory first on ``sys.path``. It becomes the last entry: a user's own
    plugins may be there. In a checkout it stays first, or another, installed copy would come before
    it in the processes that a command starts.
    """
    _bind_bench()
    if _main_module().partition(".")[0] != "bench" or sys.flags.safe_path:
        return
    if sys.path and os.path.abspath(sys.path[0]) == os.getcwd() != str(ROOT):
        sys.path.append(os.path.abspath(sys.path.pop(0)))


def _main_module() -> str:
    """Name of the module that ``python -m`` runs; empty for any other program."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return str(spec.name)
    # the module is not found yet: its package comes first
    looking = sys.argv[:1] == ["-m"] and "-m" in sys.orig_argv[:-1]
    return sys.orig_argv[sys.orig_argv.index("-m") + 1] if looking else ""


def _bind_bench() -> None:
    """Look in our folder alone, where a folder ``bench`` without ``__init__.py`` in the working
    directory took the name.
    """
    package = sys.modules["bench"]
    if getattr(package, "__file__", None) is None:
        package.__path__ = [str(ROOT / "bench")]


def module_command(module: str) -> list[str]:
    """Words that start a command of this package: with python -P where this one was started so."""
    return [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", module]


def worker_path(path: Sequence[str], *, same_machine: bool) -> list[str]:
    """``sys.path`` entries for a Ray worker, first one first: with them it imports the same files
    as its driver.

    Args:
        path: the driver's ``sys.path``.
        same_machine: whether the worker has the driver's files. On another machine, entries of the
            driver's interpreter may be absent or belong to another installation: only what precedes
            the standard library is passed on.
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
    """Folders of the standard library and of installed packages."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    installed = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    return installed | {*site.getsitepackages(), site.getusersitepackages()}
