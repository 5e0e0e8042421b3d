"""Names of classes and splits: their spelling, their order, and names that look alike."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from bench.common.text import printable, same_spelling, shortlist

#: Usual names of the three parts of a data set, in lower case.
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}

#: Split's name within a longer one, such as train_images, val2017 or testset.
_SPLIT_WORD = re.compile(
    rf"(?:^|[\W\d_])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})"
    r"(?=$|[\W\d_]|sets?|data|images?|imgs?)"
)

#: Parts of a name that say nothing of a class.
_GENERIC = re.compile(r"[\W\d_]|images?|imgs?|data|sets?|folder|split")

#: Invisible characters, as ``printable`` writes them.
_INVISIBLE = re.compile(r"\\u(200[b-f]|202[a-e]|206[0-9a-f]|feff)|\\xad")


def split_of(name: str) -> str | None:
    """Return train, val or test if the name is a usual one of them."""
    return _SPLITS.get(name.strip().lower())


def split_within(name: str) -> tuple[str, str] | None:
    """Return the split within a longer name, and the rest: train and cat for cat_train."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    word = _SPLIT_WORD.search(words)
    if word is None:
        return None
    return _SPLITS[word[1]], _GENERIC.sub("", words[: word.start()] + words[word.end() :])


def class_name(text: str) -> str:
    """Return the class of a label or folder: one spelling for all Unicode normal forms."""
    return same_spelling(printable(text))


def ordered_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names in order: of value if all are numbers, else of the alphabet."""
    distinct = sorted(set(labels))
    # pandas writes 10.0 where numbers are missing. Decimal takes any digits that \d does, and more
    # of them than int() does.
    if not all(re.fullmatch(r"[+-]?\d+(\.\d+)?", name) for name in distinct):
        return tuple(distinct)
    return tuple(sorted(distinct, key=Decimal))


def plain_form(name: str) -> str:
    """Return the name without case, spaces, invisible characters, leading zeros and styles."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name).casefold())
    plain = "".join(c for c in plain if not c.isspace() and unicodedata.category(c) != "Cf")
    whole, _, fraction = plain.partition(".")  # pandas writes 1 as 1.0 where others are missing
    if not whole.isdecimal() or fraction.strip("0"):
        return plain
    # Digits of any alphabet; int() takes no more than 4,300 of them.
    digits = "".join(str(unicodedata.decimal(digit)) for digit in whole).lstrip("0")
    return f"{digits} as a number"


def notes_on_similar(classes: Sequence[str]) -> list[str]:
    """Return sentences about classes that are probably one."""
    groups = defaultdict(list)
    for name in classes:
        groups[plain_form(name)].append(name)
    return [
        f"the classes {shortlist(map(repr, names))} are spelt alike, and are taken for "
        f"{len(names)} classes: if they are one, spell them the same"
        for names in groups.values()
        if len(names) > 1
    ]
