"""Verdicts of people on test labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.audit.verdicts import read_verdicts
from bench.errors import InputError

LABELS = np.array([3, 8, 8, 0, 6])


def entry(position: int, label: int, chosen: int) -> dict:
    return {
        "id": position,
        "url": f"https://example.org/{position}.png",
        "given_original_label": label,
        "given_original_label_name": "cat",
        "our_guessed_label": 5,
        "our_guessed_label_name": "dog",
        "mturk": {"given": chosen, "guessed": 5 - chosen, "neither": 0, "both": 0},
    }


def written(folder: Path, content: object) -> Path:
    path = folder / "cifar10_mturk.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_label_is_wrong_where_fewer_than_three_of_five_chose_it(tmp_path):
    path = written(tmp_path, [entry(0, 3, 3), entry(2, 8, 2), entry(4, 6, 0)])
    assert read_verdicts(path, LABELS).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([entry(0, 4, 3)], "other test labels"),
        ([entry(5, 3, 3)], "other test labels"),
        ([entry(-1, 6, 3)], "other test labels"),
        ([{"id": 0}], "no file of mturk"),
        ({"id": 0}, "no file of mturk"),
        ('[{"id": 0', "no file of mturk"),
        ("\xff", "no file of mturk"),
        ("[" * 100_000, "no file of mturk"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_verdicts(written(tmp_path, content), LABELS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_verdicts(tmp_path / "missing.json", LABELS)
