"""Targets and features of final networks, from records with known figures."""

from pathlib import Path

import numpy as np
import pytest
from fabricate import load_rows, write_trial

from bench.report.choice import chosen_rows
from bench.report.leaderboard import leaderboard
from bench.report.learning import learning, learning_table

THREE = [0.3, 0.5, 0.6]


def table_of(sweep: Path):
    rows = load_rows([sweep])
    return learning(chosen_rows(rows, leaderboard(rows)))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for seed, (silhouette, end) in enumerate([(0.2, 0.9), (0.3, 0.8), (0.25, 0.85)]):
        known = {"noise": {"realised_rate": 0.5, "label_hash": f"h{seed}"}}
        write_trial(
            tmp_path,
            "ce",
            seed=seed,
            test=THREE,
            noisy_val=THREE,
            done=known | {"feature_silhouette": 0.1, "feature_knn_accuracy": 0.9},
        )
        epochs = {"label_correction_accuracy": [0.5, 0.6, end]}
        done = known | {"feature_silhouette": silhouette, "feature_knn_accuracy": 0.9 + seed / 100}
        write_trial(
            tmp_path, "softmix", seed=seed, test=THREE, noisy_val=THREE, epochs=epochs, done=done
        )
    return tmp_path


def test_gains_are_paired_and_have_intervals(sweep: Path) -> None:
    row = table_of(sweep).set_index("method").loc["softmix"]
    right = [row[f"targets_right_{when}"] for when in ("first", "half", "last")]
    assert right == pytest.approx([0.5, 0.6, 0.85])
    assert row["targets_gain"] == pytest.approx(0.35)
    # Three differences of sd 0.05: t(2) at 97.5 % is 4.3027.
    half = 4.302653 * 0.05 / np.sqrt(3)
    assert [row["targets_gain_low"], row["targets_gain_high"]] == pytest.approx(
        [0.35 - half, 0.35 + half]
    )
    assert row["silhouette_gain"] == pytest.approx(0.15)
    assert row["silhouette_gain_high"] - row["silhouette_gain"] == pytest.approx(half)
    assert row["knn_gain"] == pytest.approx(0.01)


def test_labels_as_given_are_those_of_the_training_samples(tmp_path: Path) -> None:
    noise = {"noise": {"realised_rate": 0.5, "training_rate": 0.52, "label_hash": "h"}}
    epochs = {"label_correction_accuracy": [0.48, 0.48, 0.48]}
    write_trial(tmp_path, "softmix", test=THREE, epochs=epochs, done=noise)
    write_trial(tmp_path, "ce", test=THREE, done=noise)
    [row] = table_of(tmp_path).query("method == 'softmix'").to_dict("records")
    assert row["labels_right"] == pytest.approx(0.48)
    assert row["targets_gain"] == pytest.approx(0)


def test_what_is_unknown_is_missing(sweep: Path) -> None:
    row = table_of(sweep).set_index("method").loc["ce"]
    assert np.isnan(row["targets_right_last"])  # it corrects no labels
    assert np.isnan(row["silhouette_gain"])  # the reference beside itself is no comparison
    # an old record, without either
    write_trial(sweep, "gce", done={"noise": {"realised_rate": 0.5}})
    assert "gce" not in set(table_of(sweep)["method"])


def test_table_names_the_reference_and_leaves_dashes(sweep: Path) -> None:
    table = learning_table(table_of(sweep))
    ce, softmix = ([entry.text for entry in line] for line in table.rows)
    assert ce[2:] == ["–", "–", "0.100", "–", "90.0", "–"]
    assert softmix[1:4] == ["softmix", "50.0 → 60.0 → 85.0", "+35.0 ± 12.4"]
