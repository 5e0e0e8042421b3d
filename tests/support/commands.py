"""Commands of the package, called in this process."""

import pytest

from bench.cli.run import main

#: Click command of every module that declares one.
COMMANDS = {
    "bench.cli.run": "run",
    "bench.cli.data": "data",
    "bench.cli.report": "report",
    "bench.cli.study": "study",
    "bench.cli.trial": "trial",
    "bench.cli.ingest": "ingest",
    "bench.cli.noise": "noise",
    "bench.cli.clean": "clean",
    "bench.cli.verify": "verify",
    "bench.cli.site": "site",
    "bench.speed.__main__": "speed",
    "bench.speed.throughput": "throughput",
}


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run `python -m bench.run` in this process; return its exit status, output and errors."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err
