"""Lists of what a sweep can be made of: methods, data sets, noise kinds and backbones."""

from bench.cli.terminal import echo, padded, wide
from bench.datasets import SCHEMES, Source, sources
from bench.errors import InputError
from bench.networks.backbones import BACKBONES
from bench.noise import listing
from bench.planning.registry import card, method_names


def print_lists(kind: str) -> None:
    """Print one list, or all of them: a name and its summary a line."""
    for title, rows in summaries().items():
        if kind in ("all", title):
            echo(title)
            width = max(map(wide, rows))
            for name, summary in rows.items():
                echo(f"  {padded(name, width)}  {summary}")


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
