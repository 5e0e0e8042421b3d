"""CONTRIBUTING.md, followed to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FILES = {name: code for name, code in re.findall(r"```\w+\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)}
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]


def run(line: str, cwd: Path, **env: str) -> str:
    words = line.split()
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of this checkout, to drop files into."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("bench", "methods", "search_spaces", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", copy)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.mark.slow
def test_a_file_dropped_into_methods_is_all_it_takes(checkout):
    assert set(FILES) >= {"methods/flooding.py", "search_spaces/flooding.py"}
    for name in ("methods/flooding.py", "search_spaces/flooding.py"):
        (checkout / name).write_text(FILES[name])
    assert re.search(
        r"^  flooding +Flooding \(Ishida",
        run("python -m bench.run --list methods", checkout),
        re.MULTILINE,
    )
    conformance, comparison = COMMANDS
    # Alone, under every wrapper, and with its search space; the tests of this very suite are what
    # is run.
    passed = re.search(r"(\d+) passed", run(f"{conformance} -p no:cacheprovider", checkout))
    assert passed is not None and int(passed[1]) >= 7
    text = run(
        f"{comparison} --subset 300 --epochs 3 --device cpu --no-plots --out {checkout}/sweep",
        checkout,
    )
    assert "flooding" in text
    assert "flooding" in (checkout / "sweep" / "leaderboard.csv").read_text()


@pytest.mark.slow
def test_a_method_of_an_installed_package_is_found(tmp_path):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "pyproject.toml").write_text(FILES["my_package/pyproject.toml"])
    (package / "my_flooding.py").write_text(
        FILES["methods/flooding.py"].replace("flooding.level", "my_flooding.level")
    )
    site = tmp_path / "site"
    run(
        f"python -m pip install --quiet --no-deps --no-build-isolation --no-index --target {site} "
        f"{package}",
        tmp_path,
    )
    assert "my_flooding" in run(
        "python -m bench.run --list methods", tmp_path, PYTHONPATH=str(site)
    )
    small = f"--seeds 1 --set my_flooding.level=0.5 --epochs 2 --subset 200 --out {tmp_path}/sweep"
    line = f"python -m bench.run --methods my_flooding,rmd+my_flooding {small}"
    assert "my_flooding" in run(line, tmp_path, PYTHONPATH=str(site))
    assert "rmd+my_flooding" in (tmp_path / "sweep" / "leaderboard.csv").read_text()
