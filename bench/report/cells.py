"""Cells of comparable trials, and groups of cells: a group is one printed table.

Cells differ by content: a data set, or a file of noisy labels, is the same under every spelling of
its path.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import msgspec

from bench.common.identity import IMPORTED, PAPER, data_identity, noise_identity, short_name
from bench.common.text import printable
from bench.records.schema import Recorded, number
from bench.report.columns import GROUP, SEEDS
from bench.report.wording import imported_label, pretrained_label, pretraining_of, start_label

Facts = dict[str, Any]
#: Fields of a recipe and their values as texts.
Overrides = frozenset[tuple[str, str]]

#: Fields that trials of a group may differ in, or that a group holds in another way.
_OTHER = {"method", "hparams", "noise_rate", "recipe", "stage", "told", *SEEDS}

#: Published data sets by the hash of their content, which a user's archive may hold as well:
#: lossless CIFAR-10 in its own order, with CIFAR-10N's labels and the flips of asymmetric noise.
_CONTENTS = {"ce9e0c25521f163a": "cifar10n"}

#: Placeholder for an unknown noise rate: grouping drops rows whose key is missing.
UNKNOWN_RATE = -1.0

#: Names of folders that do not identify them.
_NAMELESS = (".", "..", "~")


def key_of(settings: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal settings."""
    return msgspec.json.encode(settings, order="deterministic").decode()


def cell_facts(spec: Recorded, raw: Mapping[str, Any]) -> Facts:
    """Return the facts of a specification by which ``arrange_cells`` finds its cell.

    Args:
        raw: the specification as it is on disk.
    """
    # Optional fields, and those of younger versions.
    further = {key: value for key, value in raw.items() if key not in _OTHER and key not in GROUP}
    shared = {key: getattr(spec, key) for key in GROUP}
    shared["dataset"] = _CONTENTS.get(spec.data_hash, spec.dataset)
    shared["validation_share"] = number(spec.validation_share)
    network = spec.pretrained
    labelled = ("pretrained", "imported")  # fields with a label of their own
    texts = {key: value for key, value in further.items() if key not in labelled}
    return {
        # As every table and figure shows them: paths may hold line ends, and worse.
        **{
            key: printable(value) if isinstance(value, str) else value
            for key, value in shared.items()
        },
        "noise_rate": spec.noise_rate,
        "further": ", ".join(f"{key}={value}" for key, value in sorted(texts.items())),
        "network": key_of(raw["pretrained"]) if network else "",  # all of its identity
        "frozen": network.frozen if network else False,
        "pretraining": pretraining_of(network) if network else "",
        "start": start_label(network) if network else "",
        "pretrained": pretrained_label(network) if network else "",
        "imported": imported_label(spec.imported) if spec.imported else "",
        "_data": data_identity(shared["dataset"]),
        "_noise": noise_identity(spec.noise_kind, spec.noise_hash),
        "_recipe": raw["recipe"],
        "_further": further,
    }


def name_sources(trials: Sequence[Facts]) -> None:
    """Give each data set and each file of labels one name for people: the last part of its path.

    Different ones of one name have their hash behind it.
    """

    def table(facts: Facts) -> tuple[Any, ...]:
        """Return the facts by which tables differ where data sets have the same name."""
        openset = facts["_noise"] if facts["_noise"].startswith("openset:") else ""
        return facts["subset"], facts["image_size"], openset

    _name(trials, "dataset", lambda facts: (facts["_data"], facts["data_hash"]), table)
    _name(
        trials, "noise_kind", lambda facts: (facts["_noise"], facts["noise_hash"]), lambda _: None
    )


def complete_rates(trials: Sequence[Facts]) -> None:
    """Give trials of noise without a nominal rate the mean rate that the noise seeds realised.

    Labels that came with the data, and flips by a matrix, have none. Seeds of one cell share a rate
    although each may have drawn its own, and although a failed trial recorded none.
    """
    realised: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    unrated = [facts for facts in trials if facts["noise_rate"] is None]
    for facts in unrated:
        if math.isfinite(facts["realised_noise_rate"]):
            realised[_labels(facts)][facts["noise_seed"]] = facts["realised_noise_rate"]
    for facts in unrated:
        rates = realised[_labels(facts)].values()
        facts["noise_rate"] = fmean(rates) if rates else UNKNOWN_RATE


def _labels(facts: Facts) -> tuple[Any, ...]:
    """Return what the noisy labels of a trial depend on, beside its seeds."""
    settings = ("data_hash", "noise_hash", "subset", "noise_sampling")
    return facts["_data"], facts["_noise"], *(facts[name] for name in settings)


def _name(
    trials: Sequence[Facts],
    field: str,
    content: Callable[[Facts], tuple[str, str | None]],
    table: Callable[[Facts], Any],
) -> None:
    """Shorten the paths in a field of the trials.

    Args:
        content: returns the identity of the file or folder at the path, and its hash.
        table: returns a value; trials that differ in it are never in one table.
    """
    by_path = [facts for facts in trials if ":" in facts[field]]
    spellings = defaultdict(set)
    for facts in by_path:
        spellings[content(facts)].add(short_name(facts[field]))
    names = {key: min(spelt, key=_order) for key, spelt in spellings.items()}
    namesakes = defaultdict(set)
    for facts in by_path:
        key = content(facts)
        namesakes[names[key], table(facts)].add(key)
    for facts in by_path:
        key = content(facts)
        several = len(namesakes[names[key], table(facts)]) > 1
        facts[field] = names[key] + (f" ({key[1][:8]})" if several and key[1] else "")


def _order(name: str) -> tuple[bool, int, str]:
    """Return the sort key of a name: names that identify a folder first, then shorter ones."""
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
    for comparable in papers.values():
        for overrides, members in _paper_tables(comparable):
            protocol = ", ".join([PAPER, *(f"{key}={value}" for key, value in sorted(overrides))])
            arranged += [facts | _keys(facts, protocol) for facts in members]
    return [
        {name: value for name, value in facts.items() if not name.startswith("_")}
        for facts in arranged
    ]


def _keys(facts: Facts, protocol: str) -> Facts:
    """Return group and cell of the trial under this protocol."""
    shared = _base(protocol) not in (PAPER, IMPORTED)
    group = {key: facts[key] for key in GROUP} | facts["_further"]
    group |= {"dataset": facts["_data"], "noise_kind": facts["_noise"], "protocol": protocol}
    group["recipe"] = facts["recipe"] if shared else None
    cell = group | {"noise_rate": facts["noise_rate"]}
    return {"protocol": protocol, "group": key_of(group), "cell": key_of(cell)}


def _base(protocol: str) -> str:
    return protocol.partition(", ")[0]


def _paper_tables(trials: Sequence[Facts]) -> list[tuple[Overrides, list[Facts]]]:
    """Sort trials under "paper" into tables: the overrides of each table, and its trials."""
    by_overrides: dict[Overrides, list[Facts]] = defaultdict(list)
    for facts in trials:
        by_overrides[_overrides(facts["protocol"])].append(facts)

    def members(overrides: Overrides) -> list[Facts]:
        return [
            facts
            for fields, group in by_overrides.items()
            if fields <= overrides
            for facts in group
            if all(_text(facts["_recipe"].get(key)) == value for key, value in overrides - fields)
        ]

    tables = {overrides: members(overrides) for overrides in by_overrides}
    pairs = list(combinations(tables, 2))
    # Where a command sets several fields, a method may have all but one of the values as its own.
    while pairs:
        first, second = pairs.pop()
        union = first | second
        if union in tables or len({key for key, _ in union}) < len(union):
            continue
        table = members(union)
        if _adds(table, first, second) and _adds(table, second, first):
            pairs += [(union, known) for known in tables]
            tables[union] = table
    ids = {overrides: {facts["id"] for facts in table} for overrides, table in tables.items()}
    return [
        (overrides, tables[overrides])
        for overrides in sorted(tables, key=sorted)
        if not any(ids[overrides] < others for others in ids.values())
    ]


def _adds(trials: Iterable[Facts], overrides: Overrides, others: Overrides) -> bool:
    """Return whether a trial is of a table with ``overrides``, and of none with ``others``."""
    set_fields = [_overrides(facts["protocol"]) for facts in trials]
    return any(fields <= overrides and not fields <= others for fields in set_fields)


def _overrides(protocol: str) -> Overrides:
    """Return the recipe's fields that the command line set, as a protocol lists them."""
    parts = re.split(r", (?=\w+=)", protocol)[1:]
    return frozenset((key, value) for key, _, value in (part.partition("=") for part in parts))


def _text(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)
