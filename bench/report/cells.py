"""Which trials are comparable: the cell of a trial, and the group of cells that is one printed
table.

Cells are told apart by content: a data set, or a file of noisy labels, is one however its path is
spelt.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec

from bench.common.identity import PAPER, data_identity, noise_identity, short_name
from bench.common.text import printable
from bench.report.columns import GROUP, SEEDS

Facts = dict[str, Any]
#: Fields of a recipe and their values as texts.
Overrides = frozenset[tuple[str, str]]

#: Fields that a group need not have in common, or that it holds in another way.
_OTHER = {"method", "hparams", "noise_rate", "recipe", "stage", "told", *SEEDS}

#: Names of folders that say nothing.
_NAMELESS = (".", "..", "~")


def key_of(settings: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal settings."""
    return msgspec.json.encode(settings, order="deterministic").decode()


def cell_facts(spec: Mapping[str, Any], rate: float) -> Facts:
    """Return what a specification says of its cell, before it is compared with others: see
    ``arrange_cells``.

    Args:
        rate: the noise rate of the cell.

    Raises:
        TypeError: where a name is none.
    """
    if not all(isinstance(spec[key], str) for key in ("dataset", "noise_kind", "protocol")):
        raise TypeError("data set, noise and protocol have names")
    # Fields that a specification has only where they are set, those of younger versions among them.
    further = {key: value for key, value in spec.items() if key not in _OTHER and key not in GROUP}
    return {
        # As every table and figure shows them: paths may hold line ends, and worse.
        **{key: printable(spec[key]) if isinstance(spec[key], str) else spec[key] for key in GROUP},
        "noise_rate": rate,
        "further": ", ".join(f"{key}={value}" for key, value in sorted(further.items())),
        "_data": data_identity(spec["dataset"]),
        "_noise": noise_identity(spec["noise_kind"], spec["noise_hash"]),
        "_recipe": spec["recipe"],
        "_further": further,
    }


def name_sources(trials: Sequence[Facts]) -> None:
    """Give each data set and each file of labels one name for people: the last part of its path.

    Different ones of one name have their hash behind it.
    """

    def name(field: str, content: Callable[[Facts], Any], apart: Callable[[Facts], Any]) -> None:
        by_path = [facts for facts in trials if ":" in facts[field]]
        spellings = defaultdict(set)
        for facts in by_path:
            spellings[content(facts)].add(short_name(facts[field]))
        chosen = {key: min(names, key=_merit) for key, names in spellings.items()}
        contents = defaultdict(set)
        for facts in by_path:
            contents[chosen[content(facts)], apart(facts)].add(content(facts))
        for facts in by_path:
            key = content(facts)
            several = len(contents[chosen[key], apart(facts)]) > 1
            facts[field] = chosen[key] + (f" ({key[-1][:8]})" if several and key[-1] else "")

    name(
        "dataset",
        lambda facts: (facts["_data"], facts["data_hash"]),
        lambda facts: (
            facts["subset"],
            facts["image_size"],
            facts["_noise"].startswith("openset:") and facts["_noise"],
        ),
    )
    name("noise_kind", lambda facts: (facts["_noise"], facts["noise_hash"]), lambda facts: None)


def _merit(name: str) -> tuple[bool, int, str]:
    return name.endswith(tuple(f":{nameless}" for nameless in _NAMELESS)), len(name), name


def arrange_cells(trials: Sequence[Facts]) -> list[Facts]:
    """Give each trial its ``group`` and ``cell``, texts that are equal for comparable trials.

    Under the protocol "paper" each method has its own recipe, and a table is of the trials that one
    command would run: their recipes have the values that the command sets, and are their methods'
    own otherwise. A trial whose own recipe has these values anyway stands in that table, and in the
    one without them.
    """
    arranged = []
    papers: dict[str, list[Facts]] = defaultdict(list)
    for facts in trials:
        if _base(facts["protocol"]) == PAPER:
            papers[_keys(facts, PAPER)["group"]].append(facts)
        else:
            arranged.append(facts | _keys(facts, facts["protocol"]))
    for alike in papers.values():
        for overrides, members in _paper_tables(alike):
            protocol = ", ".join([PAPER, *(f"{key}={value}" for key, value in sorted(overrides))])
            arranged += [facts | _keys(facts, protocol) for facts in members]
    for facts in arranged:
        for name in [name for name in facts if name.startswith("_")]:
            del facts[name]
    return arranged


def _keys(facts: Facts, protocol: str) -> Facts:
    """Group and cell of the trial under this protocol."""
    shared = _base(protocol) != PAPER
    group = {key: facts[key] for key in GROUP} | facts["_further"]
    group |= {"dataset": facts["_data"], "noise_kind": facts["_noise"], "protocol": protocol}
    group["recipe"] = facts["recipe"] if shared else None
    cell = group | {"noise_rate": facts["noise_rate"]}
    return {"protocol": protocol, "group": key_of(group), "cell": key_of(cell)}


def _base(protocol: str) -> str:
    return protocol.partition(", ")[0]


def _paper_tables(trials: Sequence[Facts]) -> list[tuple[Overrides, list[Facts]]]:
    """Tables of trials that differ in the overrides of their protocols: the overrides of each, and
    its trials.
    """
    by_overrides: dict[Overrides, list[Facts]] = defaultdict(list)
    for facts in trials:
        by_overrides[_overrides(facts["protocol"])].append(facts)

    def members(overrides: Overrides) -> list[Facts]:
        return [
            facts
            for own, alike in by_overrides.items()
            if own <= overrides
            for facts in alike
            if all(_text(facts["_recipe"].get(key)) == value for key, value in overrides - own)
        ]

    tables = {overrides: members(overrides) for overrides in by_overrides}
    waiting = list(combinations(tables, 2))
    # of one command that sets several fields a method may have all but one as its own
    while waiting:
        one, other = waiting.pop()
        both = one | other
        if both in tables or len({key for key, _ in both}) < len(both):
            continue
        found = members(both)
        if _adds(found, one, other) and _adds(found, other, one):
            waiting += [(both, known) for known in tables]
            tables[both] = found
    ids = {overrides: {facts["id"] for facts in found} for overrides, found in tables.items()}
    whole = [
        overrides
        for overrides in tables
        if not any(ids[overrides] < others for others in ids.values())
    ]
    return [(overrides, tables[overrides]) for overrides in sorted(whole, key=sorted)]


def _adds(found: Iterable[Facts], overrides: Overrides, others: Overrides) -> bool:
    """Return whether one of the trials is of a table with ``overrides``, and not of one with the
    ``others`` alone.
    """
    return any(
        (own := _overrides(facts["protocol"])) <= overrides and not own <= others for facts in found
    )


def _overrides(protocol: str) -> Overrides:
    """Fields of the recipe that the command line set, with their values, as a protocol lists them."""
    parts = re.split(r", (?=\w+=)", protocol)[1:]
    return frozenset((key, value) for key, _, value in (part.partition("=") for part in parts))


def _text(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)
