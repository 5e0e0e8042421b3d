"""Golden records: a change for speed or order moves no number of a trial.

golden_records.py writes the expected records.
"""

import copy
import json

import golden_records
import pytest
from golden_records import TOLERANCES

from bench import ops

EXPECTED = json.loads(golden_records.FILE.read_text())

#: What samples they choose, or how far they go in a step, lets rounding grow: their first epoch is
#: enough on other machines.
SENSITIVE = ("co_teaching_plus", "cores2", "sop")


@pytest.fixture(scope="module")
def data():
    return golden_records.load()


def assert_golden(name: str, record: dict) -> None:
    expected = EXPECTED["records"][name]
    if golden_records.machine() == EXPECTED["machine"]:
        assert record["bits"] == expected["bits"], (
            f"{name} has moved: if that is meant, run python tests/support/golden_records.py"
        )
    pairs = list(zip(record["epochs"], expected["epochs"], strict=True))
    for epoch, (new, old) in enumerate(pairs[:1] if name in SENSITIVE else pairs):
        for key, value in old.items():
            close = (
                pytest.approx(value, abs=TOLERANCES[key])
                if key in TOLERANCES
                else pytest.approx(value, rel=0.02)
            )
            assert new[key] == close, f"{name}, epoch {epoch}: {key}"


@pytest.mark.parametrize("name", EXPECTED["records"])
def test_no_record_has_moved(name, data):
    assert_golden(name, golden_records.record(name, data))


def test_a_change_of_what_is_computed_is_noticed(data, monkeypatch):
    """On any machine: by the figures, not by the bits."""
    monkeypatch.setattr(golden_records, "machine", dict)
    sharpen = ops.sharpen
    monkeypatch.setattr(
        ops.mixmatch,
        "sharpen",
        lambda probabilities, temperature: sharpen(probabilities, 4 * temperature),
    )
    with pytest.raises(AssertionError, match="divide_mix, epoch"):
        assert_golden("divide_mix", golden_records.record("divide_mix", data))


def test_the_bits_are_those_of_the_machine_that_made_them(data, monkeypatch):
    monkeypatch.setitem(EXPECTED, "machine", golden_records.machine())
    moved = copy.deepcopy(EXPECTED["records"]["ce"]) | {"bits": "0"}
    with pytest.raises(AssertionError, match="ce has moved"):
        assert_golden("ce", moved)
    monkeypatch.setitem(EXPECTED, "machine", {})
    assert_golden("ce", moved)
