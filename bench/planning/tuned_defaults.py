"""File of tuned defaults, which a report proposes and ``--recipe tuned-defaults:FILE`` reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.common.identity import TUNED_DEFAULTS
from bench.errors import InputError
from bench.planning.registry import Scalar, canonical, neutral_hparams, resolve

#: Name of the file in a sweep's folder.
FILE = f"{TUNED_DEFAULTS}.json"
#: Version of its format.
SCHEMA = 1


class Evidence(msgspec.Struct, frozen=True):
    """Reasons for a proposal: accuracies are fractions, of means over cells."""

    candidates: int  # configurations that ran in all cells
    cells: list[str]
    seeds: int  # of each cell
    mean_rank: float  # by accuracy on noisy validation labels, 1 for the best
    mean_rank_of_first: float  # of the configuration that the sweep began with
    gain: float | None  # in test accuracy over that configuration: the outcome
    gain_low: float | None  # ends of its 95 % interval over seeds
    gain_high: float | None


class Proposal(msgspec.Struct, frozen=True):
    """Proposed settings of one method."""

    hparams: dict[str, Scalar]  # all of them, "part.name"
    evidence: Evidence


class TunedDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the file."""

    schema: int = SCHEMA
    selected_by: str = "mean rank by accuracy on noisy validation labels over cells"
    methods: dict[str, Proposal]  # by the name that commands take


def read_tuned_defaults(place: Path) -> Mapping[str, Mapping[str, Scalar]]:
    """Return proposed hyper-parameters by a method's canonical name.

    Args:
        place: the file, or the folder of a sweep that holds it.

    Raises:
        InputError: where it cannot be read, a setting fits no method of today, or one is missing.
    """
    path = place / FILE if place.is_dir() else place
    try:
        values = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"--recipe {TUNED_DEFAULTS}:{place} cannot be read ({error.strerror}): give a "
            f"{FILE}, or the folder of a sweep with --tune N --transfer, whose report writes one"
        ) from error
    except ValueError as error:  # msgspec's errors, too
        raise _no_file(path, error) from error
    _check_schema(path, values)
    try:
        content = msgspec.convert(values, TunedDefaults)
    except msgspec.ValidationError as error:
        raise _no_file(path, error) from error
    settings = {}
    for name, proposal in content.methods.items():
        try:
            # a record, and so a proposal, leaves out younger settings that are neutral
            given = {**neutral_hparams(canonical(name)), **proposal.hparams}
            settings[canonical(name)] = resolve(canonical(name), given)
        except InputError as error:
            raise InputError(f"{str(path)!r}: {error}") from error
        if absent := sorted(settings[canonical(name)].keys() - given.keys()):
            raise InputError(
                f"{str(path)!r} has no {absent[0]} of {name}: add it, or write the file anew with "
                "python -m bench.report"
            )
    return settings


def _no_file(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{str(path)!r} is no file of tuned defaults ({error}): write it anew with python -m "
        "bench.report"
    )


def _check_schema(path: Path, values: Any) -> None:
    """Raise InputError where a file is of a later version, whatever its structure."""
    schema = values.get("schema") if isinstance(values, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise InputError(
            f"{str(path)!r} has version {schema} of its format, and this code knows {SCHEMA}: "
            "update lnl-bench"
        )
