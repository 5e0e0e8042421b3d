"""Sweeps that searches start from, as they lie on disk."""

from dataclasses import replace
from pathlib import Path

import pytest
from fabricate import write_trial
from searching import EPOCHS, PLAN, write

from bench.planning.spec import expand_hparams
from bench.tuning.start import read_source


def test_the_folder_that_people_are_in_has_a_name(tmp_path, monkeypatch):
    write_trial(tmp_path / "before", "elr")
    monkeypatch.chdir(tmp_path / "before")
    assert read_source(Path(".")).name == "before"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spec.json", None),
        ("spec.json", "{"),
        ("done.json", '{"status": "finished", "classes": "ten"}'),
        ("epochs.jsonl", "[]\n" * EPOCHS),
        ("epochs.jsonl", '{"\udcff": 0}\n' * EPOCHS),
    ],
)
def test_a_damaged_trial_is_left_out_of_a_start(data, tmp_path, name, content):
    configurations = expand_hparams(["elr"], {}, {"elr.weight": ["3", "7", "9"]})
    specs = PLAN.specs(data, configurations, [0.5], [0])
    for spec in specs:
        write(tmp_path, spec, [0.5] * EPOCHS)
    path = tmp_path / "trials" / specs[2].id / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content, errors="surrogateescape")
    bases = [replace(spec, stage="search") for spec in specs[:1]]
    with pytest.warns(UserWarning, match=f"{specs[2].id}' is no trial's record, and is left out"):
        start = read_source(tmp_path).start(bases, {}, "noisy-val")
    assert {hparams["elr.weight"] for hparams, _ in start.gains} == {3.0, 7.0}
