"""Odd names and texts in every command: each works or is refused in one sentence."""

import csv
import json
import os
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fabricate import write_trial
from PIL import Image

from bench.cli import data, listing, noise, report, run, study, trial
from bench.common.files import to_json
from bench.common.identity import plain_id, trial_id
from bench.common.text import encodable, printable
from bench.datasets import load_dataset
from bench.datasets.folder.names import class_name
from bench.noise import NoiseKind, NoiseSpec, corrupt, kinds, registry
from bench.records.trials import Trial, read_trials
from bench.report.latex import escaped
from bench.report.markdown import to_markdown
from bench.report.page import embedded
from bench.sweep import tracker_clients

NAMES = [
    *("[/red]", "[cat]", "[bold", ":cat:", "$x_1$", "a|b", "<b>x</b>", "</script>", "=1+1", "@x"),
    *(
        "née",
        "猫",
        "ﷺ",
        "e\u0301",
        "²",
        "١",
        "\u202egnp",
        "\x1b[31mred",
        "a\nb",
        "a\tb\r\a",
        "\u2028",
    ),
    *(
        "\x7f",
        "%s %(a)d",
        "{x} {0}",
        "CON",
        "~",
        "`x`",
        "\\",
        "'",
        "a,b",
        'q"q',
        "--help",
        "-",
        "nan",
    ),
    *("n" * 250, "*_#&^", "."),
]
#: Names that labels.csv takes for classes, which nan is not.
CLASSES = [name for name in NAMES if name.strip() and name != "nan"]
#: Names of files alone: bytes that are no UTF-8, and blanks.
FILES = [name for name in NAMES if "/" not in name and name != "."] + ["\udce9", " ", " a"]


@pytest.fixture(autouse=True)
def of_its_own(monkeypatch, tmp_path):
    """Every command leaves the process as it was, and its folder is empty."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def call(capsys, entry, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command; nothing that it prints moves a cursor or cannot
    be printed.
    """
    with pytest.raises(SystemExit) as end:
        entry(list(arguments))
    status = end.value.code or 0
    text, errors = capsys.readouterr()
    for line in (text + errors).split("\n"):
        assert line == printable(line), f"{line!a} is printed"
    assert status in (0, 1, 2)
    if status == 2:
        assert errors.startswith(("Error: ", "Warning: ")) and errors.rstrip("\n").split("\n")[
            -1
        ].startswith("Error: ")
    return status, text, errors


def image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(file, format="png")


@pytest.fixture
def folders(tmp_path) -> Path:
    """A folder for each class, of two images with the same kind of name."""
    root = tmp_path / "here" / "images [/x]"
    for number, name in enumerate(FILES):
        for copy in "01":
            image(root / name / f"{copy}{name[:200]}.png", 4 * number + int(copy))
    return root


@pytest.fixture
def listed(tmp_path) -> Path:
    """Images named in a labels.csv, with right labels, of classes that are no names of folders
    either.
    """
    root = tmp_path / "here" / "listed"
    rows = [("path", "label", "clean_label")]
    for number, name in enumerate(CLASSES):
        for copy in range(5):
            image(root / "all" / f"{copy} {number}.png", 6 * number + copy)
            rows.append((f"all/{copy} {number}.png", name, name))
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return root


def test_folders_of_any_name(folders, capsys):
    name = f"folder:{folders}"
    status, text, errors = call(capsys, data.main, "check", name)
    assert status == 0 and not errors
    rows = text.splitlines()
    assert [
        name for name in FILES if not any(row.startswith(f"{class_name(name)} ") for row in rows)
    ] == []
    assert call(capsys, data.main, "prepare", name)[0] == 0
    status, text, _ = call(capsys, data.main, "images", name)
    Path("as [li]sted %s.csv").write_text(text, encoding="utf-8")
    assert status == 0 and len(list(csv.reader(text.splitlines()))) == 1 + 2 * len(FILES)
    dataset = load_dataset(name)
    kind = "labels:as [li]sted %s.csv"
    assert (corrupt(dataset, NoiseSpec(kind)) == dataset.found["found"]).all(), (
        "paths and classes are read back"
    )
    status, text, _ = call(capsys, noise.main, "import", kind.partition(":")[2], "--dataset", name)
    assert status == 0 and f"'{kind}'" in text
    assert (
        call(
            capsys, noise.main, "export", "--dataset", name, "--kind", "found", "--out", "l[/x].npy"
        )[0]
        == 0
    )


def test_class_names_in_tables_and_figures(listed, capsys):
    shown = ("show", "--dataset", f"folder:{listed}", "--kind", "pairflip", "--rate", "0.3")
    with warnings.catch_warnings(record=True):  # of characters that the font lacks
        status, text, errors = call(capsys, noise.main, *shown, "--out", "T [/red] $x_1$.png")
    assert status == 0 and "Traceback" not in errors
    assert [name for name in CLASSES if class_name(name) not in text] == []
    assert Path("T [/red] $x_1$.svg").read_bytes().count(b"<svg") == 1


@pytest.mark.parametrize("classes", [NAMES[:20], NAMES[-17:], ["\udce9", "\ud800"]])
def test_a_figure_with_names_of_classes(classes):
    from bench.report.plots import FORMATS, render
    from bench.report.plots.noise import matrix_figure

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = matrix_figure(np.eye(len(classes)), tuple(classes), "\udce9 $x_1$ \x1b[31m")
        assert all(render(figure, kind) for kind in FORMATS)
    assert {str(warning.message) for warning in caught} <= {
        "the font of figures lacks characters of some names, and shows boxes in their place"
    }


#: Names that commands read in ways of their own: markup, formats, escapes, options, paths, no text.
READ = ["[/red]", ":cat:", "猫", "\x1b[31mred", "a\nb", "%s %(a)d", "{x} {0}", "~", "\\", "'"]
READ += ["a,b", "--help", "-", "nan", "n" * 250, ".", "\udce9", "", " "]


@pytest.mark.parametrize(
    "name", [*READ, *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n not in READ)]
)
def test_what_does_not_exist_is_refused_by_its_name(name, capsys):
    """Which each command does in a sentence, or, of a help option, with its help."""
    from bench.speed.__main__ import main as speed

    ce = (run.main, "--methods", "ce")
    kinds = ("labels", "matrix", "openset", "clean")
    settings = (name, f"{name}={name}", f"ce.{name}=1", f"recipe.{name}=1")
    commands = [
        *(
            (run.main, option, name)
            for option in ("--methods", "--k", "--noise", "--track", "--address", "--bogus")
        ),
        *((*ce, option, name) for option in ("--dataset", "--noise-kind", "--backbone")),
        *((*ce, "--dataset", f"{scheme}:{name}") for scheme in ("npz", "folder")),
        *((*ce, "--noise-kind", f"{kind}:{name}") for kind in kinds),
        *((*ce, "--dry-run", "--set", value) for value in settings),
        *((data.main, command, name) for command in ("show", "prepare", "check", "images")),
        *(
            (noise.main, "show", option, name)
            for option in ("--kind", "--dataset", "--rate", "--out")
        ),
        *(
            (noise.main, "import", file)
            for file in (name, f"{name}.csv", f"{name}.npy", f"{name}.pt")
        ),
        *((entry, name) for entry in (study.main, report.main, trial.main)),
        *([(speed, name)] if name else []),  # all is measured where nothing is named
    ]
    for entry, *arguments in commands:
        status, text, errors = call(capsys, entry, *arguments)
        assert status == 2 or "--help" in arguments or (entry is study.main and not name), (
            arguments,
            text,
            errors,
        )
        assert errors.count("\n") <= 1, errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "there is nothing to do: give one of list, show, prepare, check, images, embed, or "
            "--help",
        ),
        (["lst"], "there is no command 'lst': did you mean list?"),
        (
            ["[/red]"],
            "there is no command '[/red]': choose from check, embed, images, list, prepare, show",
        ),
    ],
)
def test_commands_are_named_where_none_is_given(arguments, message, capsys):
    assert call(capsys, data.main, *arguments) == (2, "", f"Error: {message}\n")


# ----------------------------------------------------------------------------
# reports


#: Three names in one, since a table for each takes its time.
JOINED = [" ".join([*NAMES, "\udce9"][start : start + 3]) for start in range(0, len(NAMES) + 1, 3)]

#: What a report calls them: the ends of their paths.
SHOWN = [printable(Path(name).name) for name in JOINED]


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Records of data sets, noise and settings with every name."""
    folder = tmp_path / "sweep [/red]:cat: \udce9"
    for number, name in enumerate(JOINED):
        content = f"{number:016x}"  # which tells data sets and files apart, whatever their paths
        spec = {
            "dataset": f"folder:{name}",
            "data_hash": content,
            "noise_kind": f"labels:{name}.csv",
            "noise_hash": content,
        }
        write_trial(folder, "gce", test=[0.6], rate=None, spec=spec, config={"gce.kind": name})
    return folder


def test_reports_of_any_name(sweep, capsys, tmp_path):
    out = tmp_path / "out\n[/x] 猫"
    status, text, errors = call(capsys, report.main, str(sweep), "--no-plots", "--out", str(out))
    assert status == 0 and not errors
    assert [name for name in SHOWN if f"folder:{name}, labels:{name}.csv noise" not in text] == []
    for file in (
        "leaderboard.md",
        "leaderboard.tex",
        "leaderboard.csv",
        "analysis.md",
        "index.html",
    ):
        assert (out / file).read_bytes().decode(), file
    with (out / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {f"folder:{name}" for name in SHOWN}
    assert not any(value and value[0] in "=+@" for row in rows for value in row.values()), (
        "no formula begins a field"
    )
    lines = (out / "leaderboard.md").read_text(encoding="utf-8").split("\n")
    tables = [line for line in lines if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in tables} <= {4, 5, 6, 7, 8}, (
        "no name makes a column"
    )
    page = (out / "index.html").read_text(encoding="utf-8")
    [data] = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    titles = {group["title"].partition(", labels:")[0] for group in json.loads(data)["groups"]}
    assert titles == {f"folder:{name}" for name in SHOWN}, "no name ends the element that it is in"


def test_a_comparison_of_any_name(sweep, capsys):
    status, text, errors = call(
        capsys, report.main, str(sweep), "--compare", str(sweep), "--out", "x[/y]\x1b"
    )
    assert status == 0 and not errors and "x[/y]\\x1b" in text
    assert [name for name in SHOWN if f"folder:{name}" not in text] == []


@pytest.mark.parametrize("name", ["$x_1$ a\nb\x1b 猫", "n" * 250])
def test_figures_of_any_name(name, tmp_path, capsys):
    spec = {"dataset": f"folder:{name}", "noise_kind": f"labels:{name}.csv", "noise_hash": "0" * 16}
    for method, value in (("ce", None), ("gce", "0.1"), ("gce", f"{name}")):
        write_trial(
            tmp_path / "s",
            method,
            test=[0.5, 0.6],
            rate=None,
            spec=spec,
            config={f"{method}.kind": value},
        )
    status, _, errors = call(capsys, report.main, str(tmp_path / "s"))
    assert status == 0 and "Traceback" not in errors
    assert len(list((tmp_path / "s" / "plots").glob("*.png"))) >= 4


def test_markdown_shows_names_as_they_are():
    from bench.report.tables import Entry, Section, Table

    table = Table("a\nb", ["x|y", "$z$"], [[Entry("<b>x</b>"), Entry("~~a~~ \udce9\x1b")]])
    text = to_markdown([Section("*t*", "[s](u)", [table], ["`n` &lt;"])], [])
    assert text.split("\n") == [
        *("# Leaderboard", "", "## \\*t\\*", "", "\\[s\\](u)", "", "**a\\\\nb**", ""),
        *(
            "| x\\|y | \\$z\\$ |",
            "| --- | --- |",
            "| &lt;b>x&lt;/b> | \\~\\~a\\~\\~ \\\\xe9\\\\x1b |",
            "",
        ),
        *("- \\`n\\` &amp;lt;", ""),
    ]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("#$%&_{}", r"\#\$\%\&\_\{\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("<a|b> [c]", r"\textless{}a\textbar{}b\textgreater{} {[}c]"),
        ("a\nb\udce9", r"a\textbackslash{}nb\textbackslash{}xe9"),
        ("née ± × · … −", r"née $\pm$ $\times$ \textperiodcentered{} \ldots{} $-$"),
    ],
)
def test_latex_shows_names_as_they_are(text, latex):
    assert escaped(text) == latex


@pytest.mark.parametrize("name", [*NAMES, "\udce9", "\ud800"])
def test_records_hold_any_name(name, tmp_path):
    value = {name: [name, {"x": name}], "y": 1.5}
    written = to_json(value)
    assert json.loads(written.decode()) == {
        encodable(name): [encodable(name), {"x": encodable(name)}],
        "y": 1.5,
    }
    assert trial_id(value) == trial_id(json.loads(written)), "what is read back is the same trial"
    embedded({"x": printable(name)}).encode()
    folder = write_trial(tmp_path, spec={"dataset": f"folder:{name}"})
    found: Trial = next(read_trials(tmp_path))
    assert found.folder == folder and found.spec.dataset == f"folder:{encodable(name)}"


def test_ids_of_plain_names_are_those_of_before():
    """By sha256sum of {"dataset": "folder:n\\u00e9e \\u732b \\ud83d\\ude00"}, and the same without
    the path.
    """
    assert plain_id({"dataset": "folder:née 猫 😀"}) == "f9babf2d9c85"
    assert trial_id({"dataset": "folder:née 猫 😀"}) == "d9c072ab8a1b"


# ----------------------------------------------------------------------------
# plugins


@pytest.mark.parametrize("text", [*NAMES, "[broken]"])
def test_what_plugins_say_of_themselves_is_shown(text, capsys, monkeypatch):
    points = {
        f"kind {text}": [
            SimpleNamespace(
                load=lambda: NoiseKind(f"about {text}", kinds._keep), value="a.b", name=text
            )
        ],
        "broken": [SimpleNamespace(load=lambda: [][1], value=f"module {text}", name="broken")],
    }
    monkeypatch.setattr(registry, "_packaged", lambda: points)
    monkeypatch.setattr(listing, "method_summary", lambda method: f"card {text}")
    status, shown, _ = call(capsys, run.main, "--list", "noise")
    assert status == 0
    assert (
        f"kind {printable(text)}" in shown
        and f"about {printable(text)}" in shown
        and f"module {printable(text)}" in shown
    )
    assert f"card {printable(text)}" in call(capsys, run.main, "--list", "methods")[1]


@pytest.mark.parametrize("text", [*NAMES, "two\nlines of\nan exception"])
def test_what_is_shown_of_a_sweep(text, capsys):
    from bench.cli.progress import Display
    from bench.cli.terminal import console

    display = Display(console(), {"a": f"labels:{text}"}, {"a": f"method {text}"})
    display.begin([("a", 1.0)], 1)
    display.start("a", text)
    display.advance("a", 0.5, 0.5)
    display.warn("a", text, f"warning {text}")
    display.lost("a", text)
    display.end("a", text, "failed", f"error {text}")
    warnings.showwarning(UserWarning(f"caution {text}"), UserWarning, "", 0)
    out = capsys.readouterr().out
    joined = " ".join(text.split())
    assert f"best on noisy validation labels:{printable(text)}: method {printable(text)} 50%" in out
    for said in ("warning", "error"):
        assert f"{printable(text)}: {printable(f'{said} {joined}'.strip())}" in out
    assert out == "".join(f"{printable(line)}\n" for line in out.splitlines())


@pytest.mark.parametrize("text", NAMES)
def test_a_live_bar_shows_names_as_they_are(text, monkeypatch):
    import io

    from rich.console import Console

    from bench.cli.progress import Display

    output = io.StringIO()
    console = Console(
        file=output, force_terminal=True, width=2000, markup=False, emoji=False, highlight=False
    )
    with Display(console, {"a": "0.5"}, {"a": text}) as display:
        display.begin([("a", 1.0)], 1)
        display.start("a", text)
        display.advance("a", 0.5, 0.5)
        display.bar.refresh()
    assert f"{printable(text)} 50%" in output.getvalue()


def test_a_live_bar_cuts_no_figure_short():
    import io

    from rich.console import Console

    from bench.cli.progress import Display

    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    rates = {f"{number}": f"0.{number}" for number in range(1, 9)}
    with Display(console, rates, dict.fromkeys(rates, "ce")) as display:
        display.begin([(key, 1.0) for key in rates], 1)
        for key in rates:
            display.start(key, key)
            display.advance(key, 0.5, 0.5)
        display.bar.refresh()
        assert display.state().count("ce 50%") == 8
    text = console.file.getvalue()
    assert text.count(": ce") == text.count(": ce 50%") > 0
    assert "…" not in text and "0/8 done" in text


def test_trackers_get_names_that_they_take(tmp_path):
    for name in NAMES:
        file = tracker_clients._file_name(name, 100)
        (tmp_path / f"{file}-0123456789ab").mkdir(exist_ok=True)
        assert len(file.encode()) <= 100 and not set(file) & set('/\\#?%:"<>|\n\x1b')
    assert tracker_clients._file_name("猫" * 50, 100) == "猫" * 33


# ----------------------------------------------------------------------------
# whole sweeps


@pytest.mark.slow
def test_a_sweep_of_any_name(folders, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench.run"])
    call(capsys, data.main, "images", f"folder:{folders}")
    kind, out = "found", "out [/red]:cat:\x1b[31m\n$y$"
    options = [
        "--methods",
        "elr",
        "--dataset",
        f"folder:{folders}",
        "--noise-kind",
        kind,
        "--epochs",
        "1",
        "--seeds",
        "1",
    ]
    status, text, errors = call(capsys, run.main, *options, "--out", out, "--track", "tensorboard")
    assert status == 0 and "switched off" not in errors
    assert f"results are in {printable(out)}: index.html" in text
    samples = next(Path(out).glob("trials/*/samples.npz"))
    with np.load(samples) as arrays:
        assert {os.path.dirname(name) for name in arrays["names"]} == set(FILES)
    again = call(capsys, run.main, *options, "--out", out, "--no-plots")
    assert again[0] == 0 and "nothing was missing" in again[1]
