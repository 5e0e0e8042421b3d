"""Files of the installed package; .ci/wheel-test runs a whole wheel."""

import configparser
import fnmatch
import runpy
import subprocess
from pathlib import Path

import pytest

from bench.common import version
from bench.report.published import FOLDER, read_published

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_of_the_packages_is_package_data():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    patterns = settings["options.package_data"]["bench"].split()
    listed = subprocess.run(
        ["git", "ls-files", "bench", "methods", "search_spaces"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("this is no checkout")
    files = [
        Path(line)
        for line in listed.stdout.splitlines()
        if not line.endswith(".py") and Path(line).name != "README.md"
    ]
    left_out = [
        file
        for file in files
        if not any(fnmatch.fnmatch(str(file.relative_to("bench")), pattern) for pattern in patterns)
    ]
    assert not left_out, "add them to package_data in setup.cfg, or a wheel lacks them"


def test_nothing_is_read_from_beside_the_packages():
    """An installed package has no path that leads out of bench/."""
    leads_out = [
        path.name
        for path in (ROOT / "bench").rglob("*.py")
        if "parents[2]" in path.read_text() and "__file__" in path.read_text()
    ]
    assert leads_out == ["importing.py"], (
        "that one looks for methods/ and search_spaces/, which are packages"
    )


def test_published_numbers_are_in_the_package():
    assert FOLDER.is_relative_to(Path(version.__file__).parents[1]) and len(read_published()) > 100


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Package in site-packages, as a build leaves it."""
    folder = tmp_path / "site-packages" / "bench"
    folder.mkdir(parents=True)
    monkeypatch.setattr(version, "__file__", str(folder / "common" / "version.py"))
    version.git_commit.cache_clear()
    yield folder
    version.git_commit.cache_clear()


def test_an_installed_package_knows_its_commit(installed, monkeypatch):
    assert version.git_commit() is None
    version.git_commit.cache_clear()
    setup = hook(monkeypatch)
    monkeypatch.setenv("LNL_BENCH_COMMIT", "1234abc")
    setup["write_commit"](installed)
    assert version.git_commit() == "1234abc"


def test_the_build_asks_git(installed, monkeypatch):
    monkeypatch.delenv("LNL_BENCH_COMMIT", raising=False)
    hook(monkeypatch)["write_commit"](installed)
    assert version.git_commit() == version.checkout_commit(ROOT)


def test_where_nobody_knows_the_commit_none_is_written(installed, monkeypatch):
    monkeypatch.delenv("LNL_BENCH_COMMIT", raising=False)
    setup = hook(monkeypatch)
    monkeypatch.setitem(setup["VERSION"], "checkout_commit", lambda root: None)
    setup["write_commit"](installed)
    assert not (installed / version.COMMIT_FILE).exists() and version.git_commit() is None


def hook(monkeypatch) -> dict:
    """Return the functions of setup.py, without a build."""
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    return runpy.run_path(str(ROOT / "setup.py"))


def test_a_checkout_has_no_commit_of_a_build():
    assert not (ROOT / "bench" / version.COMMIT_FILE).exists()
