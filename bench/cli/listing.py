"""Lists of what a sweep can be made of: methods, data sets, noise kinds and backbones."""

from collections.abc import Iterator, Sequence

from bench.cli.terminal import echo, padded, wide
from bench.datasets import SCHEMES, Source, sources
from bench.errors import InputError
from bench.networks.backbones import BACKBONES
from bench.noise import listing
from bench.noise.registry import find_kind
from bench.planning.registry import card, load_method, method_names


def print_lists(kind: str) -> None:
    """Print one list, or all of them: a name and its summary a line."""
    for title, rows in summaries().items():
        if kind in ("all", title):
            echo(title)
            width = max(map(wide, rows))
            for name, summary in rows.items():
                echo(f"  {padded(name, width)}  {summary}")


def print_tables(kind: str) -> None:
    """Print one list, or all of them, as Markdown tables; a README holds each of them."""
    tables = {
        "methods": (("Method", "Idea", "Networks", "Passes", "Can read"), _method_rows),
        "datasets": (("Data set", "Content", "Images", "Where from", "Licence"), _dataset_rows),
        "noise": (("Kind", "A chosen label goes", "Source"), _noise_rows),
        "backbones": (("Backbone", "Network"), _backbone_rows),
    }
    for title, (header, rows) in tables.items():
        if kind == "all":
            for line in ("", f"## {title}", ""):
                echo(line)
        if kind in ("all", title):
            for cells in (header, ["---"] * len(header), *rows()):
                echo("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")


def summaries() -> dict[str, dict[str, str]]:
    """Return the lists by title, each from names to summaries of one line."""
    return {
        "methods": {name: method_summary(name) for name in method_names()},
        "datasets": {name: source.summary for name, source in known_sources().items()},
        "noise": listing(),
        "backbones": {name: backbone.summary for name, backbone in BACKBONES.items()},
    }


def known_sources() -> dict[str, Source]:
    """Return all data sets by name, and kinds of files and folders by their pattern."""
    return sources() | {
        f"{name}:{'FILE' if name == 'npz' else 'DIR'}": source for name, source in SCHEMES.items()
    }


def method_summary(method: str) -> str:
    """Return a method's summary, cost and privileges, or the error of a broken method file."""
    try:
        facts = card(method)
    except InputError as error:  # one broken file does not hide the others
        return f"[broken: {error}]"
    networks = (
        f"{facts.networks} network{'s' * (facts.networks > 1)}"
        if facts.networks
        else "wraps another"
    )
    reads = f"; can read the {' and '.join(facts.reads).replace('_', ' ')}" if facts.reads else ""
    return f"{facts.summary} [{networks}, passes {facts.passes}{reads}; {facts.lines} lines]"


def _method_rows() -> Iterator[Sequence[str]]:
    for name in method_names():
        try:
            facts, oracles = card(name), load_method(name).oracles
        except InputError as error:
            yield f"`{name}`", f"broken: {error}", "", "", ""
            continue
        settings = ", ".join(f"`{key}`" for key in oracles)
        reads = " and ".join(facts.reads).replace("_", " ") + f" ({settings})" * bool(oracles)
        networks = str(facts.networks or "the host's")
        passes = facts.passes if facts.networks else f"+ {facts.passes}"
        yield f"`{name}`", facts.summary, networks, passes, reads


def _dataset_rows() -> Iterator[Sequence[str]]:
    for name, source in known_sources().items():
        label = f"[`{name}`]({source.url})" if source.url else f"`{name}`"
        yield label, source.summary, source.size, source.access, source.licence


def _noise_rows() -> Iterator[Sequence[str]]:
    for name, summary in listing().items():
        try:
            citation = find_kind(name)[0].citation
        except InputError:  # kinds that come with a data set, and broken packages
            citation = ""
        yield f"`{name}`", summary, citation


def _backbone_rows() -> Iterator[Sequence[str]]:
    for name, backbone in BACKBONES.items():
        yield f"`{name}`", backbone.summary
