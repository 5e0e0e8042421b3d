"""Order, picks, tunability, defaults and the sections of searches, on records of known answers."""

import json

import msgspec
import numpy as np
import pytest
from fabricate import write_trial
from search_records import board_of, write_search, write_seeds

from bench.planning.searches import pick
from bench.planning.tuned_defaults import FILE, read_tuned_defaults
from bench.report.analysis import analysis_sections
from bench.report.searches import importance
from bench.report.searches.defaults import proposal
from bench.report.searches.page import searches_data
from bench.report.searches.tables import search_sections
from bench.report.writer import write_report

HEAVY, LIGHT = {"elr.weight": 9.0}, {"elr.weight": 1.0}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(importance, "RESAMPLES", 2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A search at two rates: HEAVY wins at 20 %, LIGHT at 50 %, and both ran at both."""
    sweep = tmp_path_factory.mktemp("searches")
    configurations = [{}, HEAVY, LIGHT]
    write_search(sweep, configurations, [0.5, 0.7, 0.6], [0.6, 0.65, 0.8], rate=0.2)
    write_search(sweep, configurations, [0.3, 0.2, 0.4], [0.5, 0.4, 0.7], rate=0.5)
    for rate in (0.2, 0.5):
        write_seeds(sweep, {}, [0.4, 0.4], [0.60, 0.62], rate=rate)
        gain = 0.1 if rate == 0.2 else -0.02
        heavy = [0.60 + gain, 0.62 + gain + 0.02]
        write_seeds(sweep, HEAVY, [0.5, 0.5], heavy, rate=rate, stage="tuned")
        write_seeds(sweep, LIGHT, [0.45, 0.6], [0.7, 0.7], rate=rate, stage="tuned")
        write_trial(sweep, "ce", rate=rate)
    return sweep


def test_places_are_those_by_which_a_search_picks(sweep):
    for _, tried in board_of(sweep).search_trials.groupby("cell"):
        best = pick(zip(tried["id"], tried["value"], tried["changes"], strict=True))
        assert tried.set_index("id")["place"].idxmin() == best
        assert tried["picked"].tolist() == (tried["place"] == 0).tolist()


def test_on_a_tie_the_defaults_are_picked_and_come_first(tmp_path):
    write_search(tmp_path, [HEAVY, {}, LIGHT], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    write_trial(tmp_path, "ce")
    trials = board_of(tmp_path).search_trials.set_index("config")
    assert trials["place"][""] == 0 and trials["first"][""]


def test_records_without_a_draw_begin_with_the_defaults(tmp_path):
    write_search(tmp_path, [HEAVY, LIGHT, {}], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    for path in tmp_path.glob("trials/*/spec.json"):
        content = json.loads(path.read_text())
        del content["draw"]
        path.write_text(json.dumps(content))
    write_trial(tmp_path, "ce")
    trials = board_of(tmp_path).search_trials
    assert trials["config"].iloc[0] == "" and trials["draw"].tolist() == [0, 1, 2]


def test_a_failed_configuration_counts_at_chance_and_a_lost_one_not_at_all(tmp_path):
    statuses = {1: "diverged", 2: "lost"}
    write_search(tmp_path, [{}, HEAVY, LIGHT], [0.5] * 3, [0.5] * 3, statuses=statuses)
    write_trial(tmp_path, "ce")
    board = board_of(tmp_path)
    assert board.search_trials["value"].tolist() == [0.5, 0.1]
    assert board.picks["configurations"].tolist() == [2]


def test_a_failed_configuration_is_no_pick_though_all_others_are_below_chance(tmp_path):
    write_search(
        tmp_path, [{}, HEAVY, LIGHT], [0.08, 0.5, 0.09], [0.08] * 3, statuses={1: "failed"}
    )
    write_trial(tmp_path, "ce")
    trials = board_of(tmp_path).search_trials
    assert trials.loc[trials["place"] == 0, "value"].tolist() == [0.09]


def test_a_search_of_failures_alone_has_no_picks(tmp_path):
    write_search(tmp_path, [{}, HEAVY], [0.5] * 2, [0.5] * 2, statuses={0: "failed", 1: "failed"})
    write_trial(tmp_path, "ce")
    for path in tmp_path.glob("trials/*/done.json"):
        content = json.loads(path.read_text())
        del content["classes"]  # chance is unknown
        path.write_text(json.dumps(content))
    board = board_of(tmp_path)
    assert len(board.search_trials) == 2 and board.picks.empty
    assert analysis_sections(board)


def test_losses_of_a_pick(sweep):
    at = board_of(sweep).picks.set_index("noise_rate")
    first = at.loc[0.2]
    assert [first[name] for name in ("first", "picked", "best")] == [0.6, 0.65, 0.8]
    assert first["lost_by_configuration"] == pytest.approx(0.15) and first["place"] == 2
    assert at.loc[0.5, "lost_by_configuration"] == 0 and at.loc[0.5, "place"] == 1


def test_losses_of_an_epoch(tmp_path):
    stage = {"stage": "search tuned noisy-val none"}
    write_trial(tmp_path, "elr", test=[0.9, 0.7], noisy_val=[0.2, 0.4], spec=stage)
    write_trial(tmp_path, "ce")
    [row] = board_of(tmp_path).picks.to_dict("records")
    assert row["best"] == 0.7 and row["lost_by_epoch"] == pytest.approx(0.2)


def test_tunability_is_paired_over_seeds_and_averaged_over_cells(sweep):
    table = board_of(sweep).tunability
    single = table[table["cells"] == 1].set_index("noise_rate")
    # HEAVY, tuned at 20 %: differences of 0.10 and 0.12; LIGHT, at 50 %: of 0.10 and 0.08.
    assert single["gain"][0.2] == pytest.approx(0.11)
    assert single["gain"][0.5] == pytest.approx(0.09)
    [mean] = table[table["cells"] == 2].to_dict("records")
    assert mean["gain"] == pytest.approx(0.10) and mean["pairs"] == 2
    assert single["gain_high"][0.2] - 0.11 == pytest.approx(12.706 * 0.01, rel=1e-3)


def test_the_best_mean_rank_by_noisy_validation_is_proposed(sweep):
    table = board_of(sweep).tuned_defaults.set_index("config")
    # Noisy validation: defaults 0.4, HEAVY 0.5, LIGHT 0.525, at both rates.
    assert table["mean_rank"].to_dict() == {"": 3, "elr.weight=9": 2, "elr.weight=1": 1}
    assert table["chosen"].to_dict() == {"": False, "elr.weight=9": False, "elr.weight=1": True}
    assert table["gain"]["elr.weight=1"] == pytest.approx(0.09)
    evidence = proposal(board_of(sweep).tuned_defaults).methods["elr"].evidence
    assert evidence.candidates == 3 and evidence.seeds == 2 and len(evidence.cells) == 2


def test_a_configuration_that_lacks_a_cell_or_a_seed_is_no_candidate(tmp_path):
    for rate in (0.2, 0.5):
        write_search(tmp_path, [{}, HEAVY], [0.5, 0.7], [0.6, 0.6], rate=rate)
        write_seeds(tmp_path, {}, [0.4, 0.4], [0.6, 0.6], rate=rate)
        write_trial(tmp_path, "ce", rate=rate)
    write_seeds(tmp_path, HEAVY, [0.9, 0.9], [0.6, 0.6], rate=0.2, stage="tuned")
    write_seeds(tmp_path, HEAVY, [0.9], [0.6], rate=0.5, stage="tuned")
    board = board_of(tmp_path)
    assert board.tuned_defaults["config"].tolist() == [""]
    assert proposal(board.tuned_defaults) is None
    [*_, last] = search_sections(board)
    assert "--transfer" in last.notes[0]


def test_what_was_tuned_on_test_labels_is_no_candidate(tmp_path):
    for rate in (0.2, 0.5):
        spec = {"stage": "search tuned oracle none"}
        for config, test in (({}, 0.5), (HEAVY, 0.9)):
            defaults = {"elr.weight": 3.0}
            write_trial(
                tmp_path, "elr", test=[test], config=config, defaults=defaults, rate=rate, spec=spec
            )
            stage = "tuned" if config else ""
            write_seeds(tmp_path, config, [test], [test], defaults=defaults, rate=rate, stage=stage)
        write_trial(tmp_path, "ce", rate=rate)
    assert board_of(tmp_path).tuned_defaults["config"].tolist() == [""]


def test_a_sweep_without_searches_has_no_section(tmp_path):
    write_trial(tmp_path, "ce")
    board = board_of(tmp_path)
    assert search_sections(board) == []
    for table in (board.importance, board.budgets, board.picks, board.tunability):
        assert table.empty
    assert board.tuned_defaults.empty


def test_a_report_writes_its_files_and_the_proposal_can_be_read(sweep, tmp_path):
    write_report([sweep], tmp_path, "none", plots=False)
    names = {"importance.csv", "search_budgets.csv", "picks.csv", "tunability.csv"}
    assert names | {"tuned_defaults.csv", FILE} <= {path.name for path in tmp_path.iterdir()}
    assert "What the searches have learned" in (tmp_path / "analysis.md").read_text()
    proposed = json.loads((tmp_path / FILE).read_text())["methods"]["elr"]["hparams"]
    assert proposed == {"elr.weight": 1.0, "elr.momentum": 0.7}
    for place in (tmp_path, tmp_path / FILE):
        assert read_tuned_defaults(place) == {"elr": proposed}


def test_equal_records_give_equal_files(sweep, tmp_path):
    for name in ("first", "second"):
        write_report([sweep], tmp_path / name, "none", plots=False)
    for path in (tmp_path / "first").glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_page_data_of_searches(sweep):
    entries = searches_data(board_of(sweep))
    assert [entry["title"] for entry in entries] == ["elr (tuned), 20 %", "elr (tuned), 50 %"]
    [weight, validation, test] = entries[0]["axes"]
    assert weight["name"] == "weight" and weight["values"] == [3, 9, 1]
    assert validation["values"] == [50, 70, 60] and test["values"] == [60, 65, 80]
    assert entries[0]["picked"] == 1 and msgspec.json.encode(entries)
    assert np.array_equal(entries[0]["places"], [2, 0, 1])


def note_without_candidates(sweep) -> str:
    return search_sections(board_of(sweep))[-1].notes[0]


def test_the_reason_for_no_defaults_is_named(tmp_path):
    write_seeds(tmp_path, {}, [0.4, 0.4], [0.6, 0.6], rate=0.2)
    for rate, configurations in ((0.2, [{}, HEAVY]), (0.5, [LIGHT, HEAVY])):
        write_search(tmp_path, configurations, [0.5, 0.7], [0.6, 0.6], rate=rate)
        expected = "two cells" if rate == 0.2 else "other configurations in each cell"
        assert expected in note_without_candidates(tmp_path)
