"""Tables for papers: their form, and compiled where LaTeX is installed."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fabricate import write_trial

from bench.report.board import read_board
from bench.report.latex import escaped, to_latex


def write_sweep(sweep: Path) -> Path:
    accuracies = {
        "ce": (0.5, 0.7),
        "elr": (0.8, 0.9),
        "co_teaching": (0.8001, 0.6),
        "gce": (0.7, 0.7),
        "sop": (0.7, 0.1),
    }
    for method, pair in accuracies.items():
        for rate, accuracy in zip((0.2, 0.5), pair, strict=True):
            for seed in (0, 1):
                done = {"privileges": ["noise_rate"]} if method == "co_teaching" else {}
                write_trial(
                    sweep, method, test=[accuracy + seed / 100], rate=rate, seed=seed, done=done
                )
    write_trial(sweep, "sop", test=[0.9], rate=0.5, seed=2, status="diverged")
    write_trial(
        sweep, "ce", test=[0.5], spec={"noise_kind": "pairflip", "dataset": "folder:my_set & more"}
    )
    return sweep


@pytest.fixture
def text(tmp_path):
    return to_latex(read_board([write_sweep(tmp_path)]))


def test_best_is_bold_ties_too_and_the_second_is_underlined(text):
    rows = dict(line.split(" & ", 1) for line in text.splitlines() if " & " in line)
    assert rows["elr"].startswith(r"\textbf{80.5}") and rows[r"co\_teaching (oracle)"].startswith(
        r"\textbf{80.5}"
    ), "as printed"
    assert rows["gce"].startswith(r"\underline{70.5}") and rows["sop"].startswith(
        r"\underline{70.5}"
    )
    assert r"\textbf{90.5}" in rows["elr"] and r"\underline{70.5}" in rows["gce"].split(" & ")[1]
    assert "noise\\_rate" in rows[r"co\_teaching (oracle)"] and rows["sop"].endswith("1/5 \\\\")


def test_the_form_is_that_of_a_table(text):
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    for part in text.split(r"\begin{table}")[1:]:
        columns = len(re.search(r"\\begin{tabular}{(\w+)}", part).group(1))
        rows = [line for line in part.splitlines() if line.endswith(r"\\")]
        assert rows and all(line.count(" & ") == columns - 1 for line in rows)
        assert [part.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [
            1,
            1,
            1,
        ]
        assert part.count("{") == part.count("}")
    assert len(set(re.findall(r"\\label{(.*)}", text))) == 2
    assert not re.search(r"(?<!\\)[&_#](?!\s)", "".join(re.findall(r"\\caption{.*}", text))), (
        "escaped"
    )
    assert text.isascii() or not set(text) - set("–") - {chr(code) for code in range(128)}


def test_where_validation_and_test_disagree(tmp_path):
    board = read_board([write_sweep(tmp_path)])
    table = board.leaderboard
    shaky = table["noise_rate"].eq(0.5) & table["noise_kind"].eq("symmetric")
    tables = to_latex(replace(board, flagged=frozenset(table.loc[shaky, "cell"]))).split(
        r"\begin{table}"
    )[1:]
    [marked] = [part for part in tables if r"\ddagger" in part]
    assert r"Method & 20 \% & 50 \%$^{\ddagger}$ & Avg. rank & Cost ($\times$ce)" in marked
    assert r"$^{\ddagger}$ At 50 \% noisy validation and test accuracy disagree" in marked


def test_special_characters_are_escaped():
    assert escaped("a_b & 50 % {x} \\ ^~#$") == (
        r"a\_b \& 50 \% \{x\} \textbackslash{} \textasciicircum{}\textasciitilde{}\#\$"
    )


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_it_compiles(tmp_path, text):
    document = (
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
        + text
        + "\\end{document}\n"
    )
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:]
