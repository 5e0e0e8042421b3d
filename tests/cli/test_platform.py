"""Messages of all commands on a system where this package cannot run."""

import importlib
import subprocess
import sys

import pytest
from commands import COMMANDS

from bench.cli.commands import check_platform
from bench.errors import InputError

ARGUMENTS = {
    "bench.cli.run": ["--methods", "ce", "--dry-run"],
    "bench.cli.data": ["list"],
    "bench.cli.report": ["."],
    "bench.cli.study": [],
    "bench.cli.trial": ["spec.json"],
    "bench.cli.ingest": ["curves.csv", "--out", "sweep"],
    "bench.cli.noise": ["show"],
    "bench.cli.clean": ["digits"],
    "bench.cli.verify": ["records.tar.gz"],
    "bench.cli.site": ["results", "--out", "site"],
    "bench.speed.__main__": ["data"],
    "bench.speed.throughput": ["--trials", "1"],
}


@pytest.mark.parametrize("missing", ["fcntl", "resource"])
@pytest.mark.parametrize("module", COMMANDS)
def test_a_platform_without_what_is_needed_is_one_sentence(monkeypatch, capsys, module, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    command = importlib.import_module(module)
    monkeypatch.setattr(sys, "argv", ["bench", *ARGUMENTS[module]])
    with pytest.raises(SystemExit) as end:
        command.main(ARGUMENTS[module])
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert (
        text.startswith("Error: this package runs on Linux and macOS")
        and "WSL" in text
        and text.count("\n") == 1
    )


@pytest.mark.parametrize("platform", ["win32", "cygwin", "freebsd14", "emscripten"])
def test_other_platforms_are_named(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(
        InputError, match=f"and this is {platform}: on Windows, install and run it inside WSL"
    ):
        check_platform()


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_these_platforms_are_ours(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    check_platform()


def test_every_command_can_be_imported_there():
    """One process imports all of them, as imports take seconds."""
    commands = [name for name in COMMANDS if name != "bench.speed.__main__"]
    modules = ", ".join([*commands, "bench.networks.cpu", "bench.training.memory"])
    code = f"import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
