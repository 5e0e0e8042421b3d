"""All that commands print: a line a call, taken as it is, whatever characters a name holds and a
terminal lacks.
"""

import codecs
import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from bench.common.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

#: Codec error handler for a stream that lacks a character.
_HANDLER = "lnl-bench"

#: What stands for a character of our own tables where a stream lacks it.
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
    lacking = error.object[error.start : error.end]
    escaped = (
        _SUBSTITUTES.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lacking
    )
    return "".join(escaped), error.end


codecs.register_error(_HANDLER, _substitute)


def prepare() -> None:
    """Make the standard streams take any text. One that is closed loses what is written to it."""
    # A file that is opened later would get the number of a closed stream, and all that libraries
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
    """Write UTF-8 to a standard output that is a file or a pipe, whatever the locale: what follows
    is to be read again.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")


def echo(text: str = "", err: bool = False) -> None:
    """Print one line to the standard output, or to the error stream."""
    stream = sys.stderr if err else sys.stdout
    # Where errors cannot be written there is no place to say so: the exit status has to do.
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        try:
            stream.write(f"{_readable(text, stream.encoding)}\n")
            stream.flush()
        except BrokenPipeError:
            if not err:
                _end_unread()


def _end_unread() -> NoReturn:
    """End as a program whose output nobody reads any more: click and rich would end with 1, the
    status of a failure.
    """
    discard_output()
    sys.exit(128 + signal.SIGPIPE)


def takes_output() -> bool:
    """Return whether the standard output takes a line; Python has forgotten what it refused before."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


def discard_output() -> None:
    """Throw away what the standard output has not taken, which Python would try to write again as
    it ends.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console() -> "Console":
    """Return rich's console for the standard output, for tables and what moves; it knows no markup
    in text.
    """
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            _end_unread()

    return Output(file=sys.stdout, markup=False, emoji=False, highlight=False)


def track(items: Iterable[Any], description: str) -> Iterable[Any]:
    """Show a progress bar on the error stream, where that is a terminal."""
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(
        items, description, console=console, transient=True, disable=not console.is_terminal
    )


def line(console: "Console", text: str = "", style: str = "", wrap: bool = False) -> None:
    """Print one line above what moves. A terminal's own wrapping leaves it whole; ``wrap`` breaks
    it between words.
    """
    console.print(styled(console, text, style), soft_wrap=not (wrap and console.is_terminal))


def styled(console: "Console", text: str, style: str = "") -> "Text":
    """Return what stands for the text in a table of the console."""
    from rich.text import Text

    return Text(_readable(text, console.encoding), style)


def print_table(console: "Console", table: "Table") -> None:
    """Print a table with all its columns, however wide: a name or figure that is cut short would be
    a wrong one.
    """
    from rich.measure import Measurement

    width = console.width
    console.width = 1 << 20
    console.width = Measurement.get(console, console.options, table).maximum
    try:
        console.print(table)
    finally:
        console.width = width


def padded(text: str, width: int) -> str:
    """Return the text as it is shown, filled with spaces to ``width`` places; a CJK character takes
    two.
    """
    return _readable(text, sys.stdout.encoding) + " " * (width - wide(text))


def wide(text: str) -> int:
    """Return the number of places that the text takes in a terminal."""
    from rich.cells import cell_len

    return cell_len(_readable(text, sys.stdout.encoding))


def _readable(text: str, encoding: str | None) -> str:
    """Return the text as a stream of this encoding can show it."""
    encoding = encoding or "utf-8"
    return printable(text).encode(encoding, _HANDLER).decode(encoding)
