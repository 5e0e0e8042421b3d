"""Other people's numbers beside ours, under their protocol where it can be named.

``bench/report/published_numbers/*.csv`` hold the numbers of papers and READMEs, in percent. A
number is set beside ours where data set, kind of noise, noise rate, method and selection rule are
the same; other known differences are listed with it. A number that cannot be set beside ours says
why.
"""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import InputError
from bench.planning.registry import display
from bench.planning.selection import DECIMALS, DEFAULT_RULE
from bench.report.tables import Section, Table, entries
from bench.report.tracks import PRIVILEGED
from bench.report.wording import NONE, rate_title, rates_of, setup_of_network, signed

#: Folder of the files.
FOLDER = Path(__file__).parent / "published_numbers"

COLUMNS = "dataset noise rate method backbone protocol accuracy source".split()

#: Selection of the published numbers, in the words of the files -> our rule.
PROTOCOLS = {
    "best test epoch (oracle)": "oracle",
    "best epoch, top-1": "oracle",
    "last epochs": "last",
    "last epoch": "last",
    "validation-selected": DEFAULT_RULE,
}
_ABOUT_PROTOCOL = {
    "last epoch": "theirs is the last epoch alone, ours the mean of the final tenth",
    "validation-selected": "whether their validation labels are noisy is not stated, ours are",
}

#: Data set and noise as the files name them -> as our records do.
_OUR_NAMES = {
    ("cifar10", "human-clean"): ("cifar10", "clean"),
    ("cifar100", "human-clean"): ("cifar100", "clean"),
    ("cifar100", "human-noisy"): ("cifar100n", "human-noisy100"),
    ("clothing1m", "web"): ("clothing1m", "found"),
    ("mini-webvision", "web"): ("webvision", "found"),
}

#: Data sets whose images and true labels are another's: synthetic noise on them is noise on that.
_SAME_IMAGES = {"cifar10n": "cifar10", "cifar100n": "cifar100"}

#: What our records lack for a number that cannot be compared -> beginning of the reason.
LACKS = {
    "data set": "no records on",
    "noise": "no records with",
    "rate": "no records at",
    "method": "no records of",
    "other runs": "no records but those",
}

#: First known difference of a number that stands beside an imported run.
IMPORTED = "ours is an imported run"

#: Columns of published.csv beside those of the files.
COMPARED = ("rule ours ours_ci95 seeds difference config differences not_comparable").split()


def read_published(folder: Path | None = None) -> pd.DataFrame:
    """Return all published numbers, in the order of the files; empty where there are none.

    Args:
        folder: of the files, by default the package's.

    Raises:
        InputError: where a file lacks a column, or names a protocol that maps to no rule.
    """
    tables = []
    for path in sorted((folder or FOLDER).glob("*.csv")):
        table = pd.read_csv(path)
        if list(table.columns) != COLUMNS:
            raise InputError(
                f"{str(path)!r} has the columns {', '.join(table.columns)}: give it "
                f"{', '.join(COLUMNS)}"
            )
        if unmapped := sorted(set(table["protocol"].astype(str)) - set(PROTOCOLS)):
            raise InputError(
                f"{str(path)!r} has the protocol {unmapped[0]!r}: choose from "
                f"{', '.join(PROTOCOLS)}"
            )
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def our_names(dataset: str, noise: str) -> tuple[str, str]:
    """Return data set and kind of noise as our records name them."""
    if noise.startswith("human-") and (dataset, noise) not in _OUR_NAMES:
        return f"{dataset}n", noise
    return _OUR_NAMES.get((dataset, noise), (dataset, noise))


def against_published(published: pd.DataFrame, leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the published numbers with ours beside them, both in percent.

    A number has several rows where several of our cells correspond; its index is that of
    ``published`` in all of them.

    Args:
        published: from ``read_published``.
        leaderboard: from ``leaderboard.leaderboard``; its column ``board``, if any, is kept.
    """
    human = leaderboard["noise_kind"].str.startswith("human-")
    images = leaderboard["dataset"].where(human, leaderboard["dataset"].replace(_SAME_IMAGES))
    by_dataset = dict(iter(leaderboard.groupby(images, sort=False)))
    rows, places = [], []
    for place, theirs in published.iterrows():
        dataset, kind = our_names(theirs["dataset"], theirs["noise"])
        rule = PROTOCOLS[theirs["protocol"]]
        facts = theirs.to_dict() | {"rule": rule}
        matches = _matches(theirs, by_dataset.get(dataset), dataset, kind)
        if isinstance(matches, str):
            rows.append(facts | {"not_comparable": matches})
            places.append(place)
            continue
        for _, ours in matches[matches["rule"] == rule].iterrows():
            accuracy = round(100 * ours["mean"], DECIMALS)
            facts |= {
                "ours": accuracy,
                "ours_ci95": round(100 * ours["ci95"], DECIMALS),
                "seeds": ours["seeds"],
                "difference": round(accuracy - theirs["accuracy"], DECIMALS),
                "config": ours["config"],
                "differences": "; ".join(_differences(theirs, ours)),
            }
            facts |= {"board": ours["board"]} if "board" in ours else {}
            rows.append(facts.copy())
            places.append(place)
    board = ["board"] if "board" in leaderboard else []
    table = pd.DataFrame(rows, places, [*COLUMNS, *board, *COMPARED])
    return table.astype({"seeds": "Int64"})


def beside_published(leaderboard: pd.DataFrame) -> pd.DataFrame:
    """Return the published numbers on the leaderboard's data sets, with ours beside them."""
    table = against_published(read_published(), leaderboard)
    elsewhere = table["not_comparable"].str.startswith(LACKS["data set"], na=False)
    return table[~elsewhere.astype(bool)]


def _matches(
    theirs: pd.Series, ours: pd.DataFrame | None, dataset: str, kind: str
) -> pd.DataFrame | str:
    """Return our rows that the published number can be set beside, or why there are none."""
    if ours is None:
        return f"{LACKS['data set']} {dataset}"
    of_kind = ours[ours["noise_kind"] == kind]
    if of_kind.empty:
        kinds = ", ".join(sorted(set(ours["noise_kind"])))
        return f"{LACKS['noise']} {kind} noise on {dataset}: ours have {kinds}"
    if np.isfinite(theirs["rate"]):
        at_rate = of_kind[np.isclose(of_kind["noise_rate"], theirs["rate"])]
        if at_rate.empty:
            rates = ", ".join(map(rate_title, rates_of(of_kind)))
            rate = f"{rate_title(theirs['rate'])} {kind} noise"
            return f"{LACKS['rate']} {rate} on {dataset}: ours have {rates}"
        of_kind = at_rate
    name = display(theirs["method"])
    of_method = of_kind[of_kind["method"].isin([name, name + PRIVILEGED])]
    if of_method.empty:
        return f"{LACKS['method']} {theirs['method']} in this cell"
    others = of_method[~of_method["imported"].map(partial(_same_runs, theirs["source"]))]
    return others if len(others) else f"{LACKS['other runs']} that the number is from"


def _same_runs(source: str, imported: str) -> bool:
    """Tell whether a number was computed from the very logs that were imported, at one commit."""
    commit = re.search(r"commit [0-9a-f]{7,}", source)
    return commit is not None and commit[0] in imported


def _differences(theirs: pd.Series, ours: pd.Series) -> Iterable[str]:
    """Name the known differences between their setup and ours, and the unknown ones."""
    if ours["imported"]:
        yield IMPORTED
    network = setup_of_network(ours, [ours["backbone"]])
    if theirs["backbone"] != network:
        yield f"backbone {theirs['backbone']}, ours {network}"
    stated = re.search(r"(\d+) epochs", theirs["source"])
    epochs = f"their epochs {stated[1]}" if stated else "their epochs are not stated"
    yield f"{epochs}, ours {ours['epochs']}"
    if theirs["protocol"] in _ABOUT_PROTOCOL:
        yield _ABOUT_PROTOCOL[theirs["protocol"]]
    if PROTOCOLS[theirs["protocol"]] != DEFAULT_RULE and ours["validation_share"] > 0:
        share = f"{100 * ours['validation_share']:g} %"
        yield f"ours trains without the {share} held out for validation"
    if ours["protocol"].startswith("shared"):
        yield "ours has one recipe for all methods"
    if pd.notna(ours["subset"]):
        yield f"ours has a subset of {ours['subset']:g} images"
    if pd.notna(ours["image_size"]):
        yield f"ours has images of {ours['image_size']:g} pixels"
    if ours["privileges"]:
        yield f"ours reads {ours['privileges'].replace(',', ', ')}"


def published_section(table: pd.DataFrame) -> Section | None:
    """Return our numbers beside published ones; None where nothing is published.

    Args:
        table: from ``beside_published``.
    """
    if table.empty:
        return None
    compared = table[table["ours"].notna()]
    lines = []
    for _, row in compared.iterrows():
        rate = "" if pd.isna(row["rate"]) else f"{rate_title(row['rate'])} "
        line = entries(row["dataset"], rate + row["noise"], row["method"], row["rule"])
        line += entries(f"{row['accuracy']:.2f}", f"{row['ours']:.2f}")
        line += entries(signed(row["difference"] / 100), row["differences"] or NONE, row["source"])
        lines.append(line)
    columns = ["Data set", "Noise", "Method", "Rule", "Published", "Ours", "Difference"]
    columns += ["Known differences", "Source"]
    caption = "Published accuracy (%) beside ours by the same rule"
    notes = [
        f"{len(compared)} comparisons; all {len(table)} lines are in published.csv. Those that "
        "cannot be compared, and why:"
    ]
    reasons = table["not_comparable"].value_counts().sort_index()
    notes += [f"{count}: {reason}." for reason, count in reasons.items()]
    tables = [Table(caption, columns, lines)] if lines else []
    return Section("Against what was published", "", tables, notes)
