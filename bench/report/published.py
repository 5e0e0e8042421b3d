"""Other people's numbers beside ours, under their protocol where it can be named.

``bench/published_numbers/*.csv`` hold what papers and READMEs print, in percent. A number is set
beside ours where data set, kind of noise, noise rate, method and selection rule are the same; what
else is known to differ is listed with it. A number that cannot be set beside ours says why.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import InputError
from bench.planning.registry import display
from bench.planning.selection import DECIMALS, DEFAULT_RULE
from bench.report.tracks import PRIVILEGED
from bench.report.wording import rate_title

#: Where the project keeps them.
FOLDER = Path(__file__).parent / "published_numbers"

COLUMNS = ["dataset", "noise", "rate", "method", "backbone", "protocol", "accuracy", "source"]

#: How published numbers were selected: the words of the files -> our rule.
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

#: Data set and noise as the files name them -> as we do.
_OUR_NAMES = {
    ("cifar10", "human-clean"): ("cifar10", "clean"),
    ("cifar100", "human-clean"): ("cifar100", "clean"),
    ("cifar100", "human-noisy"): ("cifar100n", "human-noisy100"),
    ("clothing1m", "web"): ("clothing1m", "found"),
    ("mini-webvision", "web"): ("webvision", "found"),
}

#: Columns of published.csv beside those of the files.
COMPARED = [
    "rule",
    "ours",
    "ours_ci95",
    "seeds",
    "difference",
    "config",
    "differences",
    "not_comparable",
]


def read_published(folder: Path = FOLDER) -> pd.DataFrame:
    """All published numbers, in the order of the files; empty where there are none.

    Raises:
        InputError: where a file lacks a column, or names a protocol that nobody has mapped to a
            rule.
    """
    tables = []
    for path in sorted(folder.glob("*.csv")):
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
    """Data set and kind of noise as our records name them."""
    if noise.startswith("human-") and (dataset, noise) not in _OUR_NAMES:
        return f"{dataset}n", noise
    return _OUR_NAMES.get((dataset, noise), (dataset, noise))


def against_published(published: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    """The published numbers with ours beside them, both in percent; several rows where several of
    our cells correspond.

    Args:
        published: from ``read_published``.
        board: from ``leaderboard.leaderboard``.
    """
    known = {name: own for name, own in board.groupby("dataset", sort=False)}
    found = []
    for _, theirs in published.iterrows():
        dataset, kind = our_names(theirs["dataset"], theirs["noise"])
        rule = PROTOCOLS[theirs["protocol"]]
        matches, reason = _matches(theirs, known.get(dataset), dataset, kind)
        matches = matches[matches["rule"] == rule] if len(matches) else matches
        facts = theirs.to_dict() | {"rule": rule}
        if reason:
            found.append(facts | {"not_comparable": reason})
        for _, ours in matches.iterrows():
            accuracy = round(100 * ours["mean"], DECIMALS)
            found.append(
                facts
                | {
                    "ours": accuracy,
                    "ours_ci95": round(100 * ours["ci95"], DECIMALS),
                    "seeds": ours["seeds"],
                    "difference": round(accuracy - theirs["accuracy"], DECIMALS),
                    "config": ours["config"],
                    "differences": "; ".join(_differences(theirs, ours)),
                }
            )
    table = pd.DataFrame(found, columns=[*COLUMNS, *COMPARED])
    table["seeds"] = table["seeds"].astype("Int64")
    return table


def _matches(
    theirs: pd.Series, ours: pd.DataFrame | None, dataset: str, kind: str
) -> tuple[pd.DataFrame, str]:
    """Rows of ours that the published number can be set beside; or none, and why."""
    nothing = pd.DataFrame()
    if ours is None:
        return nothing, f"no records on {dataset}"
    of_kind = ours[ours["noise_kind"] == kind]
    if of_kind.empty:
        return (
            nothing,
            f"no records with {kind} noise on {dataset}: ours have {_listed(ours['noise_kind'])}",
        )
    if np.isfinite(theirs["rate"]):
        at_rate = of_kind[np.isclose(of_kind["noise_rate"], theirs["rate"])]
        if at_rate.empty:
            have = ", ".join(rate_title(rate) for rate in sorted(set(of_kind["noise_rate"])))
            return (
                nothing,
                f"no records at {rate_title(theirs['rate'])} {kind} noise on {dataset}: ours have "
                f"{have}",
            )
        of_kind = at_rate
    name = display(theirs["method"])
    own = of_kind[of_kind["method"].isin([name, name + PRIVILEGED])]
    if own.empty:
        return nothing, f"no records of {theirs['method']} in this cell"
    return own, ""


def _differences(theirs: pd.Series, ours: pd.Series) -> list[str]:
    """What is known to differ, and what is not known, in words."""
    differences = []
    if theirs["backbone"] != ours["backbone"]:
        differences.append(f"backbone {theirs['backbone']}, ours {ours['backbone']}")
    differences.append(f"their epochs are not stated, ours {ours['epochs']}")
    if theirs["protocol"] in _ABOUT_PROTOCOL:
        differences.append(_ABOUT_PROTOCOL[theirs["protocol"]])
    if PROTOCOLS[theirs["protocol"]] != DEFAULT_RULE and ours["validation_share"] > 0:
        differences.append(
            f"ours trains without the {100 * ours['validation_share']:g} % held out for validation"
        )
    if ours["protocol"].startswith("shared"):
        differences.append("ours has one recipe for all methods")
    if pd.notna(ours["subset"]):
        differences.append(f"ours has a subset of {ours['subset']:g} images")
    if pd.notna(ours["image_size"]):
        differences.append(f"ours has images of {ours['image_size']:g} pixels")
    if ours["privileges"]:
        differences.append(f"ours reads {ours['privileges'].replace(',', ', ')}")
    return differences


def _listed(values: Sequence[str]) -> str:
    return ", ".join(sorted(set(values)))
