"""How every command of this package behaves towards its user."""

import contextlib
import errno
import importlib
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from bench.cli import terminal
from bench.cli.terminal import echo
from bench.common import progress
from bench.common.importing import put_working_directory_last
from bench.errors import InputError, unknown


class Once(click.Command):
    """A command that refuses an option given twice, of which click would silently take the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for param in order:
            if isinstance(param, click.Option) and not param.multiple and order.count(param) > 1:
                commas = (
                    ", several values separated by commas" if "," in (param.metavar or "") else ""
                )
                raise click.UsageError(f"{param.opts[-1]} is given twice: give it once{commas}")
        return super().parse_args(ctx, args)


class Commands(click.Group):
    """A group of commands, which names them where none of them is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse no words at all, for which click shows its help as if it were an error."""
        if not args:
            raise InputError(
                f"there is nothing to do: give one of {', '.join(self.commands)}, or --help"
            )
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the name, the command and its words."""
        if args[0] not in self.commands:
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


def execute(entry: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit.

    What a user can mend is one line on the error stream and status 2; an interrupt is 130, SIGTERM
    143, a terminal that closes (SIGHUP) 129, a reader of the output that has ended 141.
    """
    put_working_directory_last()
    terminal.prepare()
    progress.show(terminal.track, partial(echo, err=True))
    warnings.showwarning = lambda message, *_: echo(f"Warning: {_joined(message)}", err=True)
    status = 130

    def terminate(number: int, _: object) -> NoReturn:
        nonlocal status
        status = 128 + number
        # a closing terminal sends it twice: the second would end Ray's shutdown
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # Not SystemExit: where Ray waits, that would end the process at once, with status 1.
        raise KeyboardInterrupt

    try:
        check_platform()
        signal.signal(signal.SIGTERM, terminate)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
            signal.signal(signal.SIGHUP, terminate)
        sys.exit(entry.main(arguments and list(arguments), standalone_mode=False))
    except (InputError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        echo(f"Error: {_joined(message)}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        again = shlex.join(["python", "-m", f"bench.{entry.name}", *sys.argv[1:]])
        with contextlib.suppress(OSError):  # the terminal may be gone
            echo(f"Interrupted. Nothing finished is lost; to go on: {again}", err=True)
            sys.stdout.flush()
        # shut down in the middle of its start, it can crash the interpreter's own end
        if "ray" in sys.modules:
            os._exit(status)
        sys.exit(status)
    except OSError as error:
        if error.errno == errno.EIO and status == 128 + signal.SIGHUP:  # a display's last words
            os._exit(status)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = f"the disk is full ({error.filename})" if error.filename else "the disk is full"
        if not terminal.takes_output():
            full = "the disk that the output goes to is full"
            terminal.discard_output()
        echo(f"Error: {full}: free some room, then run the same command again", err=True)
        sys.exit(1)


def check_platform() -> None:
    """Raise InputError where this package cannot run: it needs Ray, file locks and limits of a
    POSIX system.
    """
    modules = [name for name in ("fcntl", "resource") if not _importable(name)]
    if sys.platform not in ("linux", "darwin") or modules:
        raise InputError(
            f"this package runs on Linux and macOS, and this is {sys.platform}"
            + (f" without {' and '.join(modules)}" if modules else "")
            + ": on Windows, install and run it inside WSL (learn.microsoft.com/windows/wsl)"
        )


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _joined(message: object) -> str:
    """The message on one line."""
    return " ".join(str(message).split())


def writable(folder: Path, option: str = "--out") -> Path:
    """The folder, made if need be; InputError, which says to choose another ``option``, where
    nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to {str(folder)!r} ({error.strerror}): choose another {option}"
        ) from error
    return folder
