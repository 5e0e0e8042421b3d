"""Text on a terminal: names as they are, whatever characters a stream lacks."""

import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.cli import terminal
from bench.cli.commands import Command, execute
from bench.common.text import encodable, printable, same_spelling
from bench.noise.files import NamedLabels, read_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u3000b\xa0c", "a\u3000b\xa0c"),  # spaces of Japanese and of French
        ("x\xad\ufeff\u200b", r"x\xad\ufeff\u200b"),
        ("née 猫 ²×± ·", "née 猫 ²×± ·"),
        ("[/red] :cat: %s {x} \\n", "[/red] :cat: %s {x} \\n"),
        ("a\nb\tc\r\a\x1b[31m\x7f", r"a\nb\tc\r\x07\x1b[31m\x7f"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("caf\udce9.png \ud800", r"caf\xe9.png \ud800"),
        ("\udcc3\udca9", "é"),  # as Python knows a name of UTF-8 where the locale is none
        ("می\u200cخواهم", "می\u200cخواهم"),  # not to be written without the joiner
        ("", ""),
    ],
)
def test_printable_text_is_one_line_without_anything_hidden(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode()


def test_encodable_text_is_as_it_was_where_it_can_be():
    assert encodable("née\n\x1b") == "née\n\x1b"
    assert encodable("caf\udce9") == "caf\\xe9"
    assert encodable("n\udcc3\udca9e") == "née"
    assert same_spelling("ne\u0301e") == "née"


def stream(encoding: str) -> io.TextIOWrapper:
    """A stream that takes what the encoding has, and raises at the rest."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def written(text: io.TextIOWrapper) -> str:
    text.flush()
    return text.buffer.getvalue().decode(text.encoding)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("utf-8", "3 × 猫 ± · † \\xe9 – …"),
        ("latin-1", "3 × \\u732b ± · # \\xe9 - ..."),
        ("ascii", "3 x \\u732b +- | # \\xe9 - ..."),
        ("cp1252", "3 × \\u732b ± · † \\xe9 – …"),
    ],
)
def test_a_stream_that_lacks_a_character_gets_another(encoding, line, monkeypatch):
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    terminal.echo("3 × 猫 ± · † \udce9 – …")
    terminal.line(terminal.console(), "3 × 猫 ± · † \udce9 – …", "bold")
    assert written(out) == f"{line}\n{line}\n"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_tables_are_whole_in_any_encoding(encoding, monkeypatch):
    """A figure that is cut short would be a wrong one; and 猫 is twice as wide as a letter."""
    out = stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    terminal.prepare()  # for the lines of the table, and its title
    console = terminal.console()
    table = Table(title="猫")
    for column in ("name", "[b]figure", "m" * 60):
        table.add_column(terminal.styled(console, column), no_wrap=True)
    table.add_row(
        *(terminal.styled(console, text) for text in ("猫" * 60, "[/red]\n:cat:", "91.2 ± 0.3"))
    )
    terminal.print_table(console, table)
    text = written(out)
    for cell in (
        "[b]figure",
        "m" * 60,
        "[/red]\\n:cat:",
        "91.2 ± 0.3" if encoding != "ascii" else "91.2 +- 0.3",
    ):
        assert cell in text
    assert text.count("猫" if encoding == "utf-8" else "\\u732b") == 61
    assert "…" not in text and "..." not in text


def test_the_console_takes_no_text_for_markup():
    console = terminal.console()
    assert not console._markup and not console._emoji and not console._highlight
    with console.capture() as captured:
        console.print("[bold]x[/bold] :cat: [/]", "12 'x' http://a.b")
    assert captured.get() == "[bold]x[/bold] :cat: [/] 12 'x' http://a.b\n"


def test_a_terminal_gets_styles_and_no_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, markup=False)
    terminal.line(console, "\x1b[31mred", "bold")
    assert console.file.getvalue() == "\x1b[1m\\x1b[31mred\x1b[0m\n"


def test_columns_line_up_below_wide_characters():
    assert (
        terminal.padded("猫", 4) == "猫  "
        and terminal.padded("\n", 4) == "\\n  "
        and terminal.wide("né猫") == 4
    )


def run(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, **options)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full disk to try")
@pytest.mark.parametrize("command", [("bench.study",), ("bench.study", "--help")])
def test_a_full_disk_below_the_output_is_one_sentence(command):
    with open("/dev/full", "w") as full:
        done = run(*command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the disk that the output goes to is full: free some room, then run the same "
        "command again\n"
    )


def test_closed_streams_lose_what_is_written_and_nothing_else(tmp_path):
    """A file that is opened after the start would get the number of a closed stream, and what is
    printed.
    """
    script = (
        "import os, sys; from bench.cli.commands import execute; from bench.cli import terminal; "
        f"terminal.prepare(); file = open({str(tmp_path / 'kept')!r}, 'w'); os.write(1, b'lost'); "
        "print('lost'); terminal.echo('lost', err=True); file.write(str(file.fileno() > 2))"
    )
    subprocess.run(
        ["/bin/sh", "-c", f'{sys.executable} -c "{script}" <&- >&- 2>&-'], cwd=ROOT, check=True
    )
    assert (tmp_path / "kept").read_text() == "True"


def test_errors_that_nobody_can_read_end_with_their_status():
    assert run("bench.study", "nothing", stderr=open("/dev/full", "w")).returncode == 2  # noqa: SIM115


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_a_command_in_a_narrow_locale(settings):
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LC_", "LANG", "PYTHON"))
    }
    done = run("bench.study", "né猫", env=environment | settings, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").startswith("Error: there is no study 'n\\"), done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("lines", ["terminal.echo('x')", "terminal.console().print('x')"])
def test_a_reader_that_has_ended_is_no_failure_of_a_trial(lines):
    """As with ``| head``; 1 would mean that trials have failed."""
    script = (
        "import click, sys; from bench.cli.commands import execute; from bench.cli import "
        f"terminal; sys.stdin.read(); execute(click.Command('x', callback=lambda: {lines}), [])"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdin and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_columns_line_up_where_characters_are_lacking(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert terminal.wide("né猫") == len(r"n\xe9\u732b") == 11
    assert terminal.padded("né", 8) == r"n\xe9   "


def test_a_list_of_images_is_utf_8_in_any_locale(tmp_path):
    """``labels:FILE`` reads nothing else."""
    for name in ("né", "猫"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), number).save(tmp_path / "set" / name / f"{number}.png")
    environment = os.environ | {
        "PYTHONIOENCODING": "latin-1",
        "LNL_BENCH_CACHE": str(tmp_path / "cache"),
    }
    done = run(
        "bench.data", "images", f"folder:{tmp_path / 'set'}", env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "labels.csv").write_bytes(done.stdout)
    content = read_file(tmp_path / "labels.csv")
    assert isinstance(content, NamedLabels) and {label for _, _, label in content.rows} == {
        "né",
        "猫",
    }


@pytest.mark.parametrize("width", range(60, 121, 10))
def test_help_breaks_no_option_at_its_hyphen(width):
    command = importlib.import_module("bench.cli.run").run
    text = command.get_help(command.context_class(command, terminal_width=width))
    assert "--trial-timeout" in text and "\N{NON-BREAKING HYPHEN}" not in text
    assert not [line for line in text.splitlines() if re.search(r"--[\w-]*-$", line)]


def test_progress_is_plain_lines_where_no_terminal_shows_it(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 0.0)
    assert list(terminal.track(range(4), "embedding images")) == [0, 1, 2, 3]
    lines = [f"embedding images: {share}%" for share in (0, 25, 50, 75)]
    assert capsys.readouterr().err.splitlines() == lines
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", 30.0)
    assert list(terminal.track(range(4), "embedding images")) == [0, 1, 2, 3]
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "Nothing finished is lost; to go on"),
        ({"cls": Command, "resumes": False}, "To begin anew"),
    ],
)
def test_an_interrupt_names_the_module_that_ran(monkeypatch, capsys, settings, advice):
    @click.command("apply", **settings)
    def apply():
        raise KeyboardInterrupt

    module = SimpleNamespace(name="bench.clean")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", module)
    monkeypatch.setattr(sys, "argv", ["clean.py", "apply", "decisions.csv"])
    monkeypatch.delitem(sys.modules, "ray", raising=False)  # with it the process ends at once
    with pytest.raises(SystemExit) as end:
        execute(apply, [])
    assert end.value.code == 130
    assert f"{advice}: python -m bench.clean apply decisions.csv" in capsys.readouterr().err
