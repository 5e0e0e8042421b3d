"""Output of all commands: text as it is, whatever characters a stream lacks, a line a call."""

import codecs
import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, NoReturn

from bench.common.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

#: Seconds between two plain lines on the progress of a long loop.
PLAIN_SECONDS = 30.0

#: Codec error handler for a stream that lacks a character.
_HANDLER = "lnl-bench"

#: Substitutes for characters of our own tables where a stream lacks them.
_SUBSTITUTES = {
    **{
        "×": "x",
        "±": "+-",
        "·": "|",
        "–": "-",
        "−": "-",
        "…": "...",
        "†": "#",
        "‡": "##",
        "§": "%",
        "¶": "&",
        "²": "^2",
    },
    **{"→": "->", "τ": "tau"},
    **dict.fromkeys("─━═╸╺╶╴", "-"),
    **dict.fromkeys("│┃║", "|"),
}


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(
        _SUBSTITUTES.get(character) or character.encode("ascii", "backslashreplace").decode()
        for character in error.object[error.start : error.end]
    )
    return text, error.end


codecs.register_error(_HANDLER, _substitute)


def prepare() -> None:
    """Make the standard streams take any text; text for a closed stream is lost."""
    # A file opened later would get the number of a closed stream, and with it all that libraries
    # print.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def write_utf8() -> None:
    """Write UTF-8 to a file or a pipe whatever the locale, for output that programs read."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")


def echo(text: str = "", err: bool = False) -> None:
    """Print one line to the standard output, or to the error stream."""
    stream = sys.stderr if err else sys.stdout
    # An error that cannot be written is told by the exit status alone.
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        try:
            stream.write(f"{_readable(text, stream.encoding)}\n")
            stream.flush()
        except BrokenPipeError:
            if not err:
                _end_unread()


def _end_unread() -> NoReturn:
    """End with the status of a broken pipe; click and rich would end with 1, that of failures."""
    discard_output()
    sys.exit(128 + signal.SIGPIPE)


def takes_output() -> bool:
    """Return whether the standard output takes a line."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def discard_output() -> None:
    """Discard text that the standard output has not taken, or Python writes it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> "Console":
    """Return a rich console for the standard output, which takes no text for markup."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            _end_unread()

    return Output(file=sys.stdout, markup=False, emoji=False, highlight=False)


def track(items: Iterable[Any], description: str) -> Iterable[Any]:
    """Iterate with a progress bar on the error stream, or with plain lines where it is a file."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    if not console.is_terminal:
        return _track_in_lines(items, description)
    return rich_track(items, description, console=console, transient=True)


def _track_in_lines(items: Iterable[Any], description: str) -> Iterator[Any]:
    """Iterate, and print the share that is done every ``PLAIN_SECONDS``."""
    total = len(items) if isinstance(items, Sized) else None
    printed = time.monotonic()
    for done, item in enumerate(items):
        if total and time.monotonic() - printed >= PLAIN_SECONDS:
            printed = time.monotonic()
            echo(f"{description}: {done / total:.0%}", err=True)
        yield item


def line(console: "Console", text: str = "", style: str = "", wrap: bool = False) -> None:
    """Print one line above a progress bar; ``wrap`` breaks it between words in a terminal."""
    console.print(styled(console, text, style), soft_wrap=not (wrap and console.is_terminal))


def styled(console: "Console", text: str, style: str = "") -> "Text":
    """Return the text as the console can show it, for a table."""
    from rich.text import Text

    return Text(_readable(text, console.encoding), style)


def print_table(console: "Console", table: "Table") -> None:
    """Print a table as wide as its content; a figure that is cut short would be a wrong one."""
    from rich.measure import Measurement

    width = console.width
    console.width = 1 << 20
    console.width = Measurement.get(console, console.options, table).maximum
    try:
        console.print(table)
    finally:
        console.width = width


def padded(text: str, width: int) -> str:
    """Return the text as it is shown, filled with spaces to ``width`` columns of a terminal."""
    return _readable(text, sys.stdout.encoding) + " " * (width - wide(text))


def wide(text: str) -> int:
    """Return the number of columns that the text takes in a terminal; a CJK character takes two."""
    from rich.cells import cell_len

    return cell_len(_readable(text, sys.stdout.encoding))


def _readable(text: str, encoding: str | None) -> str:
    """Return the text as a stream of this encoding shows it."""
    encoding = encoding or "utf-8"
    return printable(text).encode(encoding, _HANDLER).decode(encoding)
