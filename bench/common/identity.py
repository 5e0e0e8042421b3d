"""Identity of a trial: the part of its specification that its result depends on.

A path says where data were found, not what they are: in the identity it is replaced by the hash of
the content, which the specification holds too. The changes that the command line made to a method's
own recipe are left out, since the recipe itself is there.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from bench.common.text import encodable

#: Name before the colon of open-set noise, whose argument is a data set.
_OPENSET = "openset"

#: Protocol under which each method has its own recipe.
PAPER = "paper"

_NEUTRAL = "neutral"
_SORTED = json.JSONEncoder(sort_keys=True)


def added(default: Any, *, neutral: Any) -> Any:
    """Declare a field that is younger than records which people already have.

    Trials in which the field has the value ``neutral`` keep the identity that they had before there
    was such a field: it is left out of their specification, and a specification without it is read
    as having that value.

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
    """Return the values without those that say no more than their absence."""
    return {
        key: value for key, value in values.items() if key not in neutral or neutral[key] != value
    }


def identity(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a specification with content in place of paths; the same object where it names no
    path.
    """
    replaced = {
        "dataset": data_identity(spec.get("dataset")),
        "noise_kind": noise_identity(spec.get("noise_kind"), spec.get("noise_hash")),
        "protocol": _protocol_identity(spec.get("protocol")),
    }
    changed = {key: value for key, value in replaced.items() if value != spec.get(key)}
    return {**spec, **changed} if changed else spec


def data_identity(dataset: Any) -> Any:
    """Return a data set's name, or only the scheme of SCHEME:PATH: ``data_hash`` says the rest."""
    scheme, colon, _ = dataset.partition(":") if isinstance(dataset, str) else (dataset, "", "")
    return scheme + colon if colon else dataset


def noise_identity(kind: Any, noise_hash: Any) -> Any:
    """Return a kind of noise without the path of its file: ``noise_hash`` says what is in it."""
    if not isinstance(kind, str):
        return kind
    name, colon, argument = kind.partition(":")
    if colon and name == _OPENSET:
        return f"{name}:{data_identity(argument)}"
    return name + colon if colon and noise_hash is not None else kind


def _protocol_identity(protocol: Any) -> Any:
    return PAPER if isinstance(protocol, str) and protocol.startswith(f"{PAPER}, ") else protocol


def trial_id(spec: Mapping[str, Any]) -> str:
    """Return the trial's id, a hash of its identity: the name of its folder."""
    return plain_id(identity(spec))


def plain_id(spec: Any) -> str:
    """Return the id by the rule of earlier versions: a hash of the specification as it is, paths
    included.
    """
    text = _SORTED.encode(spec)
    if "\\ud" in text:  # perhaps of a path that is no UTF-8: as ``records.to_json`` writes it
        text = _SORTED.encode(_encodable(spec))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return encodable(value) if isinstance(value, str) else value


def short_name(name: str) -> str:
    """Return SCHEME:PATH with the last part of the path alone, for people; any other name as it is."""
    scheme, colon, path = name.partition(":")
    if not colon:
        return name
    if scheme == _OPENSET:
        return f"{scheme}:{short_name(path)}"
    return f"{scheme}:{PurePosixPath(path).name or '.'}"
