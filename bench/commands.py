"""How every command of this package behaves towards its user."""

import errno
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from bench import terminal
from bench.errors import InputError
from bench.terminal import echo


class Once(click.Command):
    """A command that refuses an option given twice, of which click would silently take the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for param in order:
            if isinstance(param, click.Option) and not param.multiple and order.count(param) > 1:
                commas = ", several values separated by commas" if "," in (param.metavar or "") else ""
                raise click.UsageError(f"{param.opts[-1]} is given twice: give it once{commas}")
        return super().parse_args(ctx, args)


def execute(entry: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit.

    What a user can mend is one line on the error stream and status 2; an interrupt is 130, SIGTERM 143.
    """
    terminal.prepare()
    warnings.showwarning = lambda message, *_: echo(f"Warning: {_joined(message)}", err=True)
    status = 130

    def terminate(*_: object) -> NoReturn:
        nonlocal status
        status = 143
        # Not SystemExit: where Ray waits, that would end the process at once, with status 1.
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    try:
        sys.exit(entry.main(arguments and list(arguments), standalone_mode=False))
    except (InputError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        echo(f"Error: {_joined(message)}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        again = shlex.join(["python", "-m", f"bench.{entry.name}", *sys.argv[1:]])
        echo(f"Interrupted. Nothing finished is lost; to go on: {again}", err=True)
        if "ray" in sys.modules:  # shut down in the middle of its start, it can crash the interpreter's own end
            sys.stdout.flush()
            os._exit(status)
        sys.exit(status)
    except BrokenPipeError:
        terminal.discard_output()
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = f"the disk is full ({error.filename})" if error.filename else "the disk is full"
        if not terminal.takes_output():
            full = "the disk that the output goes to is full"
            terminal.discard_output()
        echo(f"Error: {full}: free some room, then run the same command again", err=True)
        sys.exit(1)


def _joined(message: object) -> str:
    """The message on one line."""
    return " ".join(str(message).split())


def writable(folder: Path, option: str = "--out") -> Path:
    """The folder, made if need be; InputError, which says to choose another ``option``, where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write to {str(folder)!r} ({error.strerror}): choose another {option}") from error
    return folder
