"""Identity of a trial: the part of its specification that its result depends on.

A path says where data were found, not what they are: the identity has the scheme alone, since the
specification also holds the hash of the content. It leaves out the changes that the command line
made to a method's recipe, since the specification holds the recipe itself.

The rules are shared: planning gives ids, records and reports compare them, and the plugin interface
offers ``added`` to methods. None of these rooms may import all the others, hence this place.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from bench.common.files import to_json

#: Name before the colon of open-set noise, whose argument is a data set.
_OPENSET = "openset"

#: Protocol under which each method has its own recipe.
PAPER = "paper"
#: Protocol of the data set's recipe for all methods.
SHARED = "shared"
#: Recipe that is shared, with settings from a file in place of methods' defaults.
TUNED_DEFAULTS = "tuned-defaults"
#: Protocol of trials that other people ran, each with a recipe of its own that is not on record.
IMPORTED = "imported"

_NEUTRAL = "neutral"
_SORTED = json.JSONEncoder(sort_keys=True)


# ----------------------------------------------------------------------------
# fields that are younger than some records


def added(default: Any, *, neutral: Any) -> Any:
    """Declare a dataclass field that is younger than records which users already have.

    A trial whose field is ``neutral`` keeps the identity it had before the field existed: the
    field is left out of its specification, and a specification without it has that value.

    Args:
        default: the value of new trials.
        neutral: the value that means what the code did before.
    """
    return dataclasses.field(default=default, metadata={_NEUTRAL: neutral})


def neutral_values(owner: type) -> dict[str, Any]:
    """Return the neutral value of each younger field of a dataclass, by name."""
    return {
        field.name: field.metadata[_NEUTRAL]
        for field in dataclasses.fields(owner)
        if _NEUTRAL in field.metadata
    }


def without_neutral(values: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without those that equal their neutral value."""
    return {
        key: value for key, value in values.items() if key not in neutral or neutral[key] != value
    }


# ----------------------------------------------------------------------------
# identities and ids


def identity(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a specification with content instead of paths; the same object where it has none."""
    protocol = spec.get("protocol")
    if isinstance(protocol, str) and protocol.startswith(f"{PAPER}, "):
        protocol = PAPER
    replaced = {
        "dataset": data_identity(spec.get("dataset")),
        "noise_kind": noise_identity(spec.get("noise_kind"), spec.get("noise_hash")),
        "protocol": protocol,
    }
    changed = {key: value for key, value in replaced.items() if value != spec.get(key)}
    return {**spec, **changed} if changed else spec


def data_identity(dataset: Any) -> Any:
    """Return a data set's name; the scheme alone of SCHEME:PATH, as ``data_hash`` has the rest."""
    scheme, colon, _ = dataset.partition(":") if isinstance(dataset, str) else (dataset, "", "")
    return scheme + colon if colon else dataset


def noise_identity(kind: Any, noise_hash: Any) -> Any:
    """Return a kind of noise without the path of its file, as ``noise_hash`` has its content."""
    if not isinstance(kind, str):
        return kind
    name, colon, argument = kind.partition(":")
    if colon and name == _OPENSET:
        return f"{name}:{data_identity(argument)}"
    return name + colon if colon and noise_hash is not None else kind


def trial_id(spec: Mapping[str, Any]) -> str:
    """Return the id of a trial, a hash of its identity: the name of its folder."""
    return plain_id(identity(spec))


def plain_id(spec: Any) -> str:
    """Return the id by the rule of earlier versions: a hash of a specification, paths included."""
    text = _SORTED.encode(spec)
    if "\\ud" in text:  # perhaps of a path that is no UTF-8: hash it as records write it
        text = _SORTED.encode(json.loads(to_json(spec)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def short_name(name: str) -> str:
    """Return SCHEME:PATH with the last part of the path alone, for people; other names as is."""
    scheme, colon, path = name.partition(":")
    if not colon:
        return name
    if scheme == _OPENSET:
        return f"{scheme}:{short_name(path)}"
    return f"{scheme}:{PurePosixPath(path).name or '.'}"
