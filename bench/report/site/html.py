"""Text, tables and pages of the site as HTML; all text from records is escaped."""

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.common.pages import filled
from bench.common.text import printable
from bench.report.tables import Entry, Table

ASSETS = Path(__file__).parents[1] / "assets"

#: Addresses by the position of a column: of its texts, or of its rows in their order.
Links = Mapping[int, Mapping[str, str] | Sequence[str]]

#: Longest text of a table, in characters, that stays on one line.
_LONG = 40


def escaped(text: str) -> str:
    """Return a text that is nothing but text in a page, attributes included."""
    return html.escape(printable(text))


def file_name(name: str) -> str:
    """Return the name of a page, which is safe in any file system and address."""
    safe = re.sub(r"[^a-z0-9_+.-]+", "-", name.lower()).strip(".-")[:60]
    if safe != name:  # two names may become one
        safe = f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"{safe}.html"


def link(address: str, text: str) -> str:
    """Return a link."""
    return f'<a href="{html.escape(address)}">{escaped(text)}</a>'


def paragraphs(*texts: str) -> str:
    """Return plain texts, each a paragraph; empty ones are left out."""
    return "\n".join(f"<p>{escaped(text)}</p>" for text in texts if text)


def items(texts: Iterable[str]) -> str:
    """Return plain texts as a list; empty without any."""
    lines = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return f"<ul>{lines}</ul>" if lines else ""


def section(title: str, *parts: str) -> str:
    """Return a section under a heading, whose words are its anchor."""
    anchor = re.sub(r"[^a-z]+", "-", title.lower()).strip("-")
    head = f'<section id="{anchor}">\n<h2>{escaped(title)}</h2>'
    return "\n".join([head, *filter(None, parts), "</section>"])


def table(content: Table, links: Links | None = None) -> str:
    """Return a table, which scrolls within the page where it is wide."""
    numeric = [content.is_numeric(column) for column in range(len(content.columns))]
    heads = "".join(
        f"<th{_class(number, column)}>{escaped(name)}</th>"
        for column, (name, number) in enumerate(zip(content.columns, numeric, strict=True))
    )
    addresses = links or {}
    lines = []
    for place, row in enumerate(content.rows):
        cells = "".join(
            f"<td{_class(numeric[column], column, len(entry.text) > _LONG)}>"
            f"{_cell(entry, _address(entry, place, addresses.get(column, {})))}</td>"
            for column, entry in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>")
    caption = f"<caption>{escaped(content.caption)}</caption>" if content.caption else ""
    body = "\n".join(lines)
    return (
        f'<div class="wide" tabindex="0"><table>{caption}\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _class(number: bool, column: int, long: bool = False) -> str:
    names = " ".join(["number"] * number + ["first"] * (column == 0) + ["long"] * long)
    return f' class="{names}"' if names else ""


def _address(entry: Entry, place: int, addresses: Mapping[str, str] | Sequence[str]) -> str | None:
    return addresses.get(entry.value) if isinstance(addresses, Mapping) else addresses[place]


def _cell(entry: Entry, address: str | None) -> str:
    text = escaped(entry.text)
    if address:
        text = link(address, entry.text)
    text = {0: text, 1: f"<b>{text}</b>", 2: f"<u>{text}</u>"}[entry.place]
    return text + (f"<sup>{escaped(entry.mark)}</sup>" if entry.mark else "")


def navigation(root: str, place: str) -> str:
    """Return the links at the top of a page.

    Args:
        root: address of the site's folder from the page, with a slash at its end.
        place: name of the page.
    """
    links = [link(f"{root}index.html", "All boards"), link(f"{root}index.html#methods", "Methods")]
    links.append(link(f"{root}index.html#data-sets", "Data sets"))
    return f'<nav aria-label="Site">{" · ".join(links)} <span>{escaped(place)}</span></nav>'


def page(title: str, body: Sequence[str], root: str = "", about: str = "") -> bytes:
    """Return a page.

    Args:
        body: its sections.
        root: as in ``navigation``.
        about: sentence below the title.
    """
    styles = "\n".join((ASSETS / name).read_text("utf-8") for name in ("page.css", "site.css"))
    parts = {
        "title": escaped(title),
        "about": escaped(about),
        "style": styles,
        "navigation": navigation(root, title) if root else "",
        "body": "\n".join(body),
    }
    return filled((ASSETS / "site.html").read_text("utf-8"), parts).encode()
