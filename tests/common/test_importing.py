"""Imports find the files of this package, whatever lies in the user's working directory."""

import os
import subprocess
import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import bench
from bench.common.importing import (
    PLUGINS,
    ROOT,
    import_bundled,
    module_command,
    put_working_directory_last,
    worker_path,
)
from bench.errors import InputError


def write(folder: Path, *files: str) -> Path:
    """Write files of a user's project, each of which fails when it is imported."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "" if name.endswith("__init__.py") else "raise RuntimeError('not this one')\n"
        )
    return folder


@pytest.mark.parametrize("theirs", ["{}/__init__.py", "{}/gce.py", "{}.py"])
@pytest.mark.parametrize("name", PLUGINS)
def test_plugins_are_those_beside_the_package(tmp_path, monkeypatch, name, theirs):
    ours = import_bundled(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(write(tmp_path, theirs.format(name)))
    package = import_bundled(name)
    assert list(package.__path__) == list(ours.__path__) == [str(ROOT / name)]
    assert sys.modules[name] is package and package.__doc__ == ours.__doc__


def test_a_module_of_the_same_name_that_is_imported_already_is_named(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "methods")
    monkeypatch.syspath_prepend(write(tmp_path, "methods/__init__.py"))
    import methods

    assert methods.__file__ == str(tmp_path / "methods" / "__init__.py")
    with pytest.raises(InputError, match="is imported already, from") as error:
        import_bundled("methods")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_package_that_is_not_there_is_named():
    with pytest.raises(InputError, match="install lnl-bench again"):
        import_bundled("no_such_package")


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


TUNED = ("--methods", "gce", "--tune", "2", "--epochs", "1", "--dry-run")


@pytest.mark.parametrize(
    ("files", "arguments", "said"),
    [
        (
            ("methods/__init__.py", "random.py", "torch.py", "bench/notes.py"),
            ("--list", "methods"),
            "softmix",
        ),
        (
            ("click.py", "rich/__init__.py", "platform.py", "signal.py", "token.py", "uuid.py"),
            ("--list", "methods"),
            "softmix",
        ),
        pytest.param(
            ("methods.py", "search_spaces/__init__.py", "queue.py", "numpy.py", "ray.py"),
            TUNED,
            "estimate:",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("methods/gce.py", "search_spaces.py", "bench/records/trials.py", "secrets.py"),
            TUNED,
            "estimate:",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_project_around_the_user_shadows_nothing(tmp_path, files, arguments, said):
    """The package is installed: otherwise the interpreter would not find it in that folder."""
    if run_in(tmp_path, "bench.data", "--help").returncode:
        pytest.skip("the package is not installed")
    write(tmp_path, *files)
    done = run_in(tmp_path, "bench.run", *arguments)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize(
    ("root", "main", "moved"),
    [
        ("/elsewhere", "bench.run", True),
        ("here", "bench.run", False),
        ("/elsewhere", "pytest.__main__", False),
        ("/elsewhere", None, False),
    ],
)
def test_the_working_directory_goes_behind_all_libraries(tmp_path, monkeypatch, root, main, moved):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.common.importing.ROOT", tmp_path if root == "here" else Path(root))
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", main and ModuleSpec(main, None))
    for first in ("", str(tmp_path)):
        monkeypatch.setattr(sys, "path", [first, "/library"])
        put_working_directory_last()
        assert sys.path == (["/library", str(tmp_path)] if moved else [first, "/library"])


class TestWorkerPath:
    LIBRARY = sysconfig.get_paths()["stdlib"]
    SITE = sysconfig.get_paths()["purelib"]

    def test_on_this_machine_it_is_the_drivers(self, monkeypatch):
        monkeypatch.setattr("bench.common.importing.ROOT", Path(self.SITE))
        path = ["/project", self.LIBRARY, self.SITE, "/last"]
        assert worker_path(path, same_machine=True) == path

    def test_on_another_machine_its_interpreter_has_its_own_libraries(self, monkeypatch):
        monkeypatch.setattr("bench.common.importing.ROOT", Path(self.SITE))
        assert worker_path(["/project", "/more", self.LIBRARY, self.SITE], same_machine=False) == [
            "/project",
            "/more",
        ]
        assert worker_path([self.LIBRARY, self.SITE], same_machine=False) == []

    @pytest.mark.parametrize("same_machine", [True, False])
    def test_a_checkout_comes_first(self, monkeypatch, same_machine):
        """Otherwise another copy, installed or in the working directory, would run in workers."""
        monkeypatch.setattr("bench.common.importing.ROOT", Path("/checkout"))
        path = worker_path(
            ["/project", self.LIBRARY, self.SITE, "/checkout"], same_machine=same_machine
        )
        assert path[:2] == ["/checkout", "/project"] and path.count("/checkout") == 1

    def test_a_relative_entry_is_made_absolute(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert str(tmp_path) in worker_path(["", self.LIBRARY], same_machine=True)


def test_a_command_of_this_package_is_started_as_this_one():
    assert module_command("bench.run") == [sys.executable, "-m", "bench.run"]
    code = (
        "from bench.common.importing import module_command; print(module_command('bench.run')[1:])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.stdout.strip() == "['-P', '-m', 'bench.run']"


def test_the_version_is_known_under_its_old_name():
    from bench.common.version import __version__

    assert bench.__version__ == __version__


@pytest.mark.slow
def test_workers_import_what_the_driver_does(tmp_path):
    """The folder holds another copy of the package, and plugins of the same name."""
    script = Path(sys.executable).parent / "lnl-bench"
    if not script.exists():
        pytest.skip("the package is not installed")
    write(
        tmp_path,
        "bench/__init__.py",
        "bench/sweep/worker.py",
        "bench/sweep/__init__.py",
        "methods/__init__.py",
        "queue.py",
    )
    options = [
        "--methods",
        "ce",
        "--reference",
        "none",
        "--subset",
        "200",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--no-plots",
    ]
    done = subprocess.run(
        [script, *options, "--out", "o"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results are in" in done.stdout
