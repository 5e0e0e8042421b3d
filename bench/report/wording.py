"""Words, figures and marks as every table, figure and page prints them."""

from collections.abc import Collection, Sequence

import pandas as pd

from bench.common.text import printable
from bench.planning.selection import ALL, CLEAN_VAL, ORACLE
from bench.records.schema import Imported, NetworkFacts

NONE = "–"
#: Epoch that the rule label-wave picks.
LABEL_WAVE_EPOCH = (
    "where predictions of training samples first change least, else the final tenth of the epochs"
)
#: Marks of a row or a figure: its footnote explains each.
BETTER, WORSE, DOUBTFUL, LOST_SEEDS, MIXED = MARKS = "*", "†", "‡", "§", "¶"


def percent(value: float) -> str:
    """Return a fraction in percent, or in points."""
    return NONE if pd.isna(value) else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """Return a fraction in points, with its sign; what rounds to nothing has a plus."""
    return NONE if pd.isna(value) else f"{100 * value:+z.1f}".replace("-", "−")


def decimal(value: float, digits: int = 1) -> str:
    """Return a number with this many decimal places."""
    return NONE if pd.isna(value) else f"{value:z.{digits}f}".replace("-", "−")


def half_interval(low: float, high: float) -> str:
    """Return half the width of an interval in points, behind a difference; empty without one."""
    return "" if pd.isna(low) else f" ± {50 * (high - low):.1f}"


def span(numbers: Collection[float]) -> str:
    """Return the range of some numbers, as "2 to 3"; a single one alone."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def rate_title(rate: float) -> str:
    """Return a noise rate for people; a negative one stands for an unknown rate."""
    return "as found" if rate < 0 else f"{100 * rate:.3g} %"


def rates_of(table: pd.DataFrame) -> list[float]:
    """Return the noise rates of a table, in ascending order."""
    return sorted(set(table["noise_rate"]))


def group_title(group: pd.DataFrame, *, brief: bool = False) -> str:
    """Return a title of a group of comparable rows: data set, noise, protocol, and pretraining.

    Args:
        brief: leave out the input and the weights of a pretrained network.
    """
    first = group.iloc[0]
    start = first["start" if brief else "pretrained"]
    recipe = "imported" if first["imported"] else f"recipe {first['protocol']}"
    title = f"{first['dataset']}, {first['noise_kind']} noise, {recipe}"
    return f"{title}, {start}" if start else title


def pretraining_of(network: NetworkFacts) -> str:
    """Return the privilege of starting from this pretrained network."""
    return printable(f"pretrained:{network.data}")


def start_label(network: NetworkFacts) -> str:
    """Return a pretrained network for titles: its use, its name and its pretraining."""
    use = "frozen" if network.frozen else "fine-tuned"
    return f"{use} {printable(network.network)} ({pretraining_of(network)})"


def pretrained_label(network: NetworkFacts) -> str:
    """Return a pretrained network for people: its use, its name, its input and its weights."""
    views = f"{network.views} view{'s' * (network.views > 1)}" if network.views else ""
    facts = [f"{network.size} pixels", views, f"weights {printable(network.weights[:8])}"]
    return start_label(network)[:-1] + "".join(f", {fact}" for fact in facts if fact) + ")"


def imported_label(origin: Imported) -> str:
    """Return where imported trials are from, for people: source, code and licence."""
    facts = f"{origin.code or 'code not stated'}; licence {origin.licence or 'not stated'}"
    return printable(f"imported from {origin.source} ({facts})")


def setup_of_network(row: pd.Series, backbones: Collection[str]) -> str:
    """Return the trained networks of a row or group: its backbones, and what they start from."""
    names = " or ".join(sorted(backbones))
    if not row["pretrained"]:
        return names
    return f"{names} on {row['pretrained']}" if row["frozen"] else row["pretrained"]


def rule_label(rule: str) -> str:
    """Return a rule's name, with the objection to ranking by it."""
    if rule == ORACLE:
        return f"{rule} (not for ranking)"
    return f"{rule} (privileged)" if rule.startswith(CLEAN_VAL) else rule


def clean_labels_of(rule: str) -> str:
    """Return the figure by which a clean-val rule picks."""
    images = rule.partition(":")[2]
    return f"accuracy on the right labels of {'the' if images == ALL else images} validation images"


def clean_note(rules: Sequence[str]) -> str:
    """Return a note on the clean-val rule: the labels that it reads, or why it is missing."""
    for rule in rules:
        if rule.startswith(CLEAN_VAL):
            return (
                f"{rule} picks by {clean_labels_of(rule)}, which the other rules do without: a "
                "privilege."
            )
    return (
        f"{CLEAN_VAL} is missing: the records do not say the right labels of so many validation "
        "images."
    )


def disagreement(rates: Sequence[float]) -> str:
    """Footnote for noise rates where noisy validation and test accuracy disagree."""
    titles = ", ".join(map(rate_title, rates))
    return (
        f"At {titles} noisy validation and test accuracy disagree: what is selected there is "
        "partly chance."
    )
