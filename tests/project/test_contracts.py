"""Rules of the rooms: the contracts of setup.cfg, and the room of every module."""

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_imports_keep_the_rules_of_the_rooms():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "setup.cfg", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contracts_name_every_room():
    """A new room is in the layers, and in each contract that lists all rooms but the exempt."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    contracts = {
        name.rpartition(":")[2]: settings[name]
        for name in settings.sections()
        if name.startswith("importlinter:contract")
    }
    top = set(contracts["rooms"]["layers"].split("\n")[1].split(" | "))
    rooms = {
        f"bench.{path.stem}"
        for path in (ROOT / "bench").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and path.stem not in {"__init__", *top}
    }
    exempt = {
        "ray": {"sweep"},
        "optuna": {"tuning", "report"},
        "tables": {"report"},
        "terminal": {"cli"},
        "island": set(),
    }
    for name, allowed in exempt.items():
        listed = set(contracts[name]["source_modules"].split())
        assert listed == {"methods", *rooms} - {f"bench.{room}" for room in allowed}, name
