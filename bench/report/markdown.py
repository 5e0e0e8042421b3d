"""Sections of a report as a page of Markdown."""

import re
from collections.abc import Sequence

from bench.common.text import printable
from bench.report.tables import Entry, Section, Table
from bench.report.wording import NONE


def to_markdown(
    found: Sequence[Section],
    figures: Sequence[tuple[str, str]],
    title: str = "Leaderboard",
    about_figures: str = "",
) -> str:
    """A page of its own.

    Args:
        figures: (path relative to the page, caption) of each figure.
        about_figures: what a reader has to know of all of them.
    """
    lines = [f"# {_escaped(title)}", ""]
    for section in found:
        lines += [
            f"## {_escaped(section.title)}",
            "",
            *([_escaped(section.setup), ""] if section.setup else []),
        ]
        for table in section.tables:
            lines += [f"**{_escaped(table.caption)}**", "", *_markdown_table(table), ""]
        lines += [f"- {_escaped(note)}" for note in section.notes]
        lines.append("")
    if figures:
        lines += ["## Figures", "", *([_escaped(about_figures), ""] if about_figures else [])]
    for path, caption in figures:
        lines += [f"![{_escaped(caption)}]({path})", "", _escaped(caption), ""]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(table: Table) -> list[str]:
    head = ["---:" if _narrow(table, number) else "---" for number in range(len(table.columns))]
    body = [[_markdown_entry(entry) for entry in row] for row in table.rows]
    return [
        f"| {' | '.join(cells)} |"
        for cells in [[_escaped(name) for name in table.columns], head, *body]
    ]


def _markdown_entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return {0: text, 1: f"**{text}**", 2: f"<u>{text}</u>"}[entry.place] + _escaped(entry.mark)


def _escaped(text: str) -> str:
    text = printable(text)
    for character in "\\`*_|[]$~":
        text = text.replace(character, f"\\{character}")
    # what would be HTML
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", text))


def unescaped(text: str) -> str:
    """The text that ``to_markdown`` has escaped."""
    plain = re.sub(r"\\([\\`*_|\[\]])", r"\1", text)
    return re.sub(r"&amp;(?=#?\w+;)", "&", re.sub(r"&lt;(?=[A-Za-z/!?])", "<", plain))


def _narrow(table: Table, number: int) -> bool:
    """Whether the column holds figures, which are set to the right."""
    texts = {row[number].text for row in table.rows} - {NONE}
    return bool(texts) and all(map(_FIGURE.fullmatch, texts))


_FIGURE = re.compile(r"(\d+: )?(best|[-+−]?\d[\d./]*( ± [\d.]+)?( \(n=\d+\))?)")
