"""CONTRIBUTING.md, followed to the letter in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
#: Commands of the walk-through, in their order.
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
#: Commands of ``make lint``.
LINT = re.findall(
    r"^\t\$\(BIN\)/(.+)$",
    re.search(r"^lint: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1],
    re.MULTILINE,
)

pytestmark = pytest.mark.slow


def run(line: str, cwd: Path, **env: str) -> str:
    """Run a command with this environment's programs; return its output."""
    program, *words = shlex.split(line)
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """Copy of this checkout, with the files of the walk-through added and nothing edited."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in (".ci", "bench", "methods", "search_spaces", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    for name in ("methods/flooding.py", "search_spaces/flooding.py"):
        (copy / name).write_text(FILES[name])
    return copy


def test_an_added_method_is_listed_and_compared(checkout):
    listed = run("python -m bench.run --list methods", checkout)
    assert re.search(r"^  flooding +Flooding \(Ishida", listed, re.MULTILINE)
    conformance, comparison = COMMANDS
    # Alone, under every wrapper, and with its search space.
    passed = re.search(r"(\d+) passed", run(f"{conformance} -p no:cacheprovider", checkout))
    assert passed is not None and int(passed[1]) >= 7
    short = f"--subset 300 --epochs 3 --device cpu --no-plots --out {checkout}/sweep"
    assert "flooding" in run(f"{comparison} {short}", checkout)
    assert "flooding" in (checkout / "sweep" / "leaderboard.csv").read_text()


@pytest.mark.parametrize("line", LINT)
def test_an_added_method_passes_lint(checkout, line):
    run(line, checkout, PYTHONPATH=str(checkout))


def test_an_added_method_passes_the_tests_that_are_run_for_every_method(checkout):
    """No golden record, recipe of a paper, or row of a reference is required."""
    run("python -m pytest -q -p no:cacheprovider -k 'flooding or every_method'", checkout)


def test_an_added_method_gets_a_row_in_the_table(checkout):
    run("python .ci/tables", checkout)
    assert "| `flooding` | Flooding (Ishida" in (checkout / "methods" / "README.md").read_text()


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
