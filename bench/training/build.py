"""The machine and the libraries of this process, by which figures are rounded."""

from functools import cache
from importlib.metadata import version

from bench.networks.machine import machine
from bench.records.build import LIBRARIES, MACHINE


@cache
def this_build() -> dict[str, str]:
    """Return what ``done.json`` says of who computed a trial; see ``bench.records.build``."""
    facts = machine()
    return {key: facts[key] for key in MACHINE} | {name: version(name) for name in LIBRARIES}
