"""The machine and the libraries that computed a trial, by which its figures are rounded."""

from collections.abc import Mapping
from typing import Any

from bench.records.schema import Done, present

#: Facts of a machine, and libraries, that move the last bits of a trial.
MACHINE = ("system", "processor", "instructions")
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn")


def build_of(done: Done, sweep: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the facts of ``MACHINE`` and ``LIBRARIES`` under which a trial ran.

    Records of earlier versions hold none. For these the sweep's count, unless it ran more than
    once: sweep.json names the last run's alone.

    Args:
        sweep: content of the sweep.json; empty where there is none.

    Returns:
        Texts by name; None where one of them is not on record.
    """
    build = present(done.build)
    if build is None and len(_list(sweep.get("runs"))) <= 1:
        build = {**_mapping(sweep.get("machine")), **_mapping(sweep.get("versions"))}
    values = {name: _mapping(build).get(name) for name in (*MACHINE, *LIBRARIES)}
    # Some systems do not tell a processor's name.
    return {name: str(value) for name, value in values.items()} if all(values.values()) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
