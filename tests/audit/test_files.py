"""Files of an audit, against the formats of what reads them."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from audits import CLASSES, fabricated
from reviews import audit_of, write_pets

from bench.audit.files import COLUMNS, label_studio_tasks, reviewing, write_files
from bench.audit.report import report
from bench.audit.samples import own_order
from bench.datasets import load_dataset


@pytest.fixture
def folder(tmp_path):
    write_files(fabricated(), tmp_path, {"backbone": "pixels"})
    return tmp_path


def read(path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_suspects_are_listed_worst_first(folder):
    audit, rows = fabricated(), read(folder / "suspects.csv")
    assert list(rows[0]) == [*COLUMNS, "score_margin", "score_forward"]
    assert [int(row["rank"]) for row in rows] == list(range(1, 13))
    first = audit.order[0]
    assert rows[0]["path"] == audit.names[first]
    assert rows[0]["given_label"] == CLASSES[audit.given[first]]
    assert float(rows[0]["p_wrong"]) == pytest.approx(audit.p_wrong[first], abs=1e-4)
    assert len(rows[0]["nearest_label"].split(";")) == 5
    duplicates = [row for row in rows if row["duplicate_group"]]
    assert [row["issues"] for row in duplicates] == ["duplicate conflict"] * 2
    assert [row["split"] for row in rows] == [audit.split[i] for i in audit.order]


def test_names_that_a_spreadsheet_would_run_are_warned_of_once_each(tmp_path):
    audit = replace(fabricated(), classes=("=1+1", *CLASSES[1:]))
    with pytest.warns(UserWarning, match=r"formulas to a spreadsheet \(=1\+1\)"):
        write_files(audit, tmp_path, {})


def test_no_sample_is_of_a_part_where_the_data_set_has_none(tmp_path):
    write_files(fabricated(has_split=False), tmp_path, {})
    for name in ("suspects.csv", "weights.csv"):
        assert {row["split"] for row in read(tmp_path / name)} == {""}
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert {task["data"]["split"] for task in tasks} == {""}


def test_weights_are_the_probabilities_that_labels_are_right(folder):
    weights = [float(row["weight"]) for row in read(folder / "weights.csv")]
    assert weights == pytest.approx(1 - fabricated().p_wrong, abs=1e-4)


def test_weights_are_in_the_order_of_the_data_set(tmp_path):
    pets = load_dataset(f"folder:{write_pets(tmp_path / 'pets')}")
    audit = audit_of(pets)
    write_files(audit, tmp_path, {}, own_order(pets, audit.names))
    paths = [row["path"] for row in read(tmp_path / "weights.csv")]
    assert paths == pets.all_names.tolist() != list(audit.names)


def test_the_summary_is_strict_json_of_the_estimates(folder):
    summary = json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    assert summary["rate"] == {"low": 0.15, "estimate": 0.25, "high": 0.27}
    assert summary["issues"] == {"conflict": 2, "duplicate": 2}
    assert summary["backbone"] == "pixels"
    assert np.array(summary["transition_matrix"]).shape == (3, 3)


def test_tasks_have_the_keys_that_label_studio_documents():
    """Import of pre-annotations: labelstud.io/guide/predictions."""
    audit, tasks = fabricated(), label_studio_tasks(fabricated())
    assert len(tasks) == audit.flagged.sum()
    for task in tasks:
        [prediction] = task["predictions"]
        [result] = prediction["result"]
        assert result["type"] == "choices" and result["value"]["choices"][0] in CLASSES
        assert {result["from_name"], result["to_name"]} == {"label", "image"}
        assert 0 <= prediction["score"] <= 1
        assert task["data"]["image"] in audit.names


def test_what_a_review_brings_sums_probabilities():
    audit = fabricated()
    looks, wrong, share = reviewing(audit)[-1]
    assert wrong == pytest.approx(np.sort(audit.p_wrong)[::-1][:looks].sum())
    assert share == pytest.approx(wrong / audit.p_wrong.sum())


def test_names_are_literal_in_the_report():
    audit = fabricated(classes=("cat|<b>", "d*g", "fox"))
    text = report(audit, {})
    assert "cat\\|\\<b\\>" in text and "d\\*g" in text


def test_file_names_are_code_spans_and_notes_are_literal():
    names = ("a_b[1].png", "`tick``s.png", *fabricated().names[2:])
    text = report(fabricated(names=names, notes=("d*g*: too few", "<b>")), {})
    assert "as: `a_b[1].png`, ``` `tick``s.png ```\n" in text
    assert text.count("- d\\*g\\*: too few") == 2 and "- \\<b\\>" in text
