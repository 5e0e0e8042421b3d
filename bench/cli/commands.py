"""Behaviour that all commands share: help under headings, refusals, signals and exit statuses."""

import contextlib
import errno
import importlib
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from bench.cli import terminal
from bench.cli.terminal import echo
from bench.common import progress
from bench.common.importing import main_module, put_working_directory_last
from bench.errors import InputError, unknown

#: Headings of options in ``--help``, in their order.
HEADINGS = ("Data", "Noise", "Methods", "Training", "Tuning", "Resources", "Output", "General")

_CONTEXT = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}

#: Widest column of option names in ``--help``.
_NAME_COLUMNS = 30


#: Hyphen that no line is broken at, in place of those of options while a help text is wrapped.
_HYPHEN = "\N{NON-BREAKING HYPHEN}"


class _Formatter(click.HelpFormatter):
    """Formatter of ``--help`` that breaks no line within the name of an option."""

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        unbroken = [
            (name, re.sub(r"--[\w-]+", lambda option: option[0].replace("-", _HYPHEN), text))
            for name, text in rows
        ]
        super().write_dl(unbroken, col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class Option(click.Option):
    """An option that ``--help`` shows under a heading."""

    def __init__(self, *args: Any, heading: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the environment's value, which a file given with --config goes before."""
        return None if self.name in (ctx.default_map or {}) else super().resolve_envvar_value(ctx)

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what follows a help text; a range has the name of the value, as in N>=1."""
        extra = super().get_help_extra(ctx)
        if "range" in extra:
            extra["range"] = extra["range"].replace("x", self.metavar or "x")
        return extra


class Command(click.Command):
    """A command with its options under headings, which refuses an option that is given twice.

    Click alone would silently take the last.
    """

    context_class = _Context

    def __init__(self, *args: Any, resumes: bool = True, **settings: Any) -> None:
        """Declare a command.

        Args:
            resumes: whether the same command goes on where an interrupt has ended it.
        """
        super().__init__(*args, **settings | {"context_settings": _CONTEXT})
        self.resumes = resumes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for param in order:
            if isinstance(param, click.Option) and not param.multiple and order.count(param) > 1:
                commas = (
                    ", several values separated by commas" if "," in (param.metavar or "") else ""
                )
                raise click.UsageError(f"{param.opts[-1]} is given twice: give it once{commas}")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, all in columns of the same widths."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:  # not of an argument, which the usage names
                sections[getattr(param, "heading", HEADINGS[-1])].append(record)
        widths = {
            heading: min(max(len(name) for name, _ in records), _NAME_COLUMNS)
            for heading, records in sections.items()
            if records
        }
        for heading, width in widths.items():
            with formatter.section(heading):
                spacing = 2 + max(widths.values()) - width
                formatter.write_dl(sections[heading], _NAME_COLUMNS, spacing)


class Commands(click.Group):
    """A group of commands, whose names it lists where none of them is given."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings | {"context_settings": _CONTEXT})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a call without words, for which click shows its help as if it were an error."""
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
    """Run a command and exit with its status.

    An error that the user can mend is one line on the error stream and status 2. An interrupt is
    130, SIGTERM 143, a terminal that closes (SIGHUP) 129, output that no process reads 141, and a
    full disk 1.
    """
    put_working_directory_last()
    terminal.prepare()
    progress.show(terminal.track, partial(echo, err=True))
    warned = set()  # records are read several times
    status = 130

    def show_once(message: Warning | str, *_: object, **__: object) -> None:
        text = _joined(message)
        if text not in warned:
            warned.add(text)
            echo(f"Warning: {text}", err=True)

    warnings.showwarning = show_once

    def terminate(number: int, _: object) -> NoReturn:
        nonlocal status
        status = 128 + number
        # A closing terminal sends SIGHUP twice: the second one would end Ray's shutdown.
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # SystemExit would end the process at once, with status 1, where Ray waits.
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
        _end_interrupted(entry, status)
    except OSError as error:
        if error.errno == errno.EIO and status == 128 + signal.SIGHUP:  # the terminal is gone
            os._exit(status)
        if error.errno == errno.ENAMETOOLONG:
            name = f"{str(error.filename)[:40]}..."
            echo(f"Error: {name!r} is longer than names may be: choose a shorter one", err=True)
            sys.exit(2)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _end_full(error)


def _end_interrupted(entry: click.Command, status: int) -> NoReturn:
    """End after an interrupt, with the command that goes on, or begins anew."""
    again = shlex.join(["python", "-m", _module(entry), *sys.argv[1:]])
    resumes = getattr(entry, "resumes", True)
    advice = "Nothing finished is lost; to go on" if resumes else "To begin anew"
    with contextlib.suppress(OSError):  # the terminal may be gone
        echo(f"Interrupted. {advice}: {again}", err=True)
        sys.stdout.flush()
    # Ray that is shut down during its start can crash the interpreter's own end.
    if "ray" in sys.modules:
        os._exit(status)
    sys.exit(status)


def _module(entry: click.Command) -> str:
    """Return the module that runs; that of the command's name where it is a script."""
    name = main_module().removesuffix(".__main__")
    return name if name.startswith("bench.") else f"bench.{entry.name}"


def _end_full(error: OSError) -> NoReturn:
    """End where a disk, perhaps that of the output, is full."""
    full = f"the disk is full ({error.filename})" if error.filename else "the disk is full"
    if not terminal.takes_output():
        full = "the disk that the output goes to is full"
        terminal.discard_output()
    echo(f"Error: {full}: free some room, then run the same command again", err=True)
    sys.exit(1)


def check_platform() -> None:
    """Raise InputError on a system without what Ray, file locks and memory limits need."""
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
    return " ".join(str(message).split())


def writable(folder: Path, option: str = "--out") -> Path:
    """Create the folder where it is missing, and return it.

    Raises:
        InputError: where nothing can be written there; it tells to choose another ``option``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"  # no file of the user
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to {str(folder)!r} ({error.strerror}): choose another {option}"
        ) from error
    return folder
