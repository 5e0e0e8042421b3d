"""Agreement of records with new runs: to the bit, within the tolerance, or by other code."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from archives import Tampering, verdict_of, write_archive
from msgspec import UNSET

from bench.cli.recorded import run_recorded
from bench.cli.verify import main
from bench.datasets import load_dataset
from bench.networks.machine import machine
from bench.planning.code_hash import code_of
from bench.planning.spec import Plan, expand_hparams
from bench.records.build import LIBRARIES
from bench.records.schema import STOPPED, Done, Epoch
from bench.records.verdict import APART, CLOSE, CONSISTENT, DRIFTED, EXACT, OTHER_CODE, VERIFIED
from bench.training.build import this_build
from bench.training.checkpoint import Checkpoint
from bench.training.trial import run_trial
from bench.verification.again import TOLERANCE, compare, same_build
from bench.verification.records import Record


def record_of(epochs: list[Epoch], status: str = "finished") -> Record:
    return Record("abc", {}, None, epochs, Done(status=status))


def curve(accuracies: list[float], loss: float = 2.0) -> list[Epoch]:
    return [
        Epoch(epoch=number, train_loss=loss / (1 + number), test_accuracy=accuracy)
        for number, accuracy in enumerate(accuracies)
    ]


def test_equal_epochs_agree_to_the_bit_whatever_they_took():
    again = [msgspec.structs.replace(epoch, train_seconds=9.0) for epoch in curve([0.1, 0.5])]
    assert compare(record_of(curve([0.1, 0.5])), record_of(again)).agreement == EXACT


@pytest.mark.parametrize("figure", ["calibration_error", "memorised_wrong", "detection_auc"])
def test_an_epoch_with_another_figure_is_not_equal(figure):
    again = curve([0.1, 0.5])
    setattr(again[1], figure, 0.5)
    assert compare(record_of(curve([0.1, 0.5])), record_of(again)).agreement == CLOSE


def test_facts_of_the_end_are_compared_but_for_cost():
    def agreement(**facts):
        again = Done(status="finished", peak_memory_bytes=7, **facts)
        return compare(record_of(curve([0.1])), replace(record_of(curve([0.1])), done=again))

    assert agreement().agreement == EXACT
    assert agreement(feature_knn_accuracy=0.9).agreement == CLOSE
    assert agreement(privileges=["noise_rate"]).agreement == APART


@pytest.mark.parametrize(("share", "agreement"), [(0.9, CLOSE), (1.1, DRIFTED), (5.1, APART)])
def test_the_end_may_differ_by_the_tolerance(share, agreement):
    """The last tenth of 20 epochs is two of them, and the mean over all differs by a tenth."""
    difference = share * TOLERANCE["at_end"]
    again = curve([0.3] * 18 + [0.5 + difference] * 2)
    result = compare(record_of(curve([0.3] * 18 + [0.5] * 2)), record_of(again))
    assert result.at_end == pytest.approx(difference) and result.agreement == agreement


@pytest.mark.parametrize(("share", "agreement"), [(0.9, CLOSE), (1.1, DRIFTED), (4, APART)])
def test_the_mean_over_all_epochs_may_differ_by_the_tolerance(share, agreement):
    difference = share * TOLERANCE["over_epochs"] * 20 / 17
    again = curve([0.1] + [0.3 + difference] * 17 + [0.5] * 2)
    result = compare(record_of(curve([0.1] + [0.3] * 17 + [0.5] * 2)), record_of(again))
    assert result.at_end == 0 and result.agreement == agreement


@pytest.mark.parametrize(("share", "agreement"), [(0.9, CLOSE), (1.1, APART)])
def test_the_first_accuracy_may_differ_by_the_tolerance(share, agreement):
    again = curve([0.1 + share * TOLERANCE["first_accuracy"], *[0.5] * 19])
    assert compare(record_of(curve([0.1, *[0.5] * 19])), record_of(again)).agreement == agreement


@pytest.mark.parametrize(("share", "agreement"), [(0.9, CLOSE), (1.1, APART)])
def test_the_first_loss_may_differ_by_the_tolerance(share, agreement):
    again = record_of(curve([0.1, 0.5], loss=2.0 * (1 + share * TOLERANCE["first_loss"])))
    assert compare(record_of(curve([0.1, 0.5])), again).agreement == agreement


def test_a_trial_that_a_search_stopped_is_compared_as_far_as_it_goes():
    again = record_of(curve([0.1, 0.5, 0.6]))
    assert compare(record_of(curve([0.1, 0.5]), STOPPED), again).agreement == EXACT
    assert compare(record_of(curve([0.1, 0.5])), again).agreement == APART


def test_a_build_is_the_same_by_machine_and_libraries():
    def same(build, **facts):
        done = Done(status="finished", build=build)
        return same_build(replace(record_of([]), done=done), facts)

    assert same(this_build()) and same(this_build() | {"ray": "1"})
    assert not same(this_build() | {"torch": "0.1"})
    assert not same(this_build() | {"instructions": "other"})
    # of a record, not of the sweep's last run
    assert not same(this_build() | {"torch": "0.1"}, machine=this_build(), versions=this_build())


def test_the_build_of_an_earlier_record_is_that_of_the_sweep_if_one_run_made_it():
    def same(**facts):
        return same_build(record_of([]), facts)

    versions = {name: this_build()[name] for name in LIBRARIES}
    sweep = {"machine": machine(), "versions": versions | {"ray": "1"}, "runs": [{}]}
    assert same(**sweep)
    assert not same(**sweep | {"runs": [{}, {}]})
    assert not same(**sweep | {"machine": machine() | {"instructions": "other"}})
    assert not same(**sweep | {"machine": machine() | {"processor": ""}})
    assert not same() and not same(machine=None, versions=[], runs=None)


def test_a_trial_that_a_second_process_has_ended_names_no_build(tmp_path):
    """Both may have been on other machines."""
    data = load_dataset("digits", subset=100)
    plan = Plan(subset=100, overrides=(("epochs", 3),))
    [spec] = plan.specs(data, expand_hparams(["ce"], {}, {}), [0.0], [0])

    def interrupt(epochs: list[Epoch], restart: bool) -> None:
        if [epoch.epoch for epoch in epochs] == [1]:  # after the checkpoint of epoch 0
            raise KeyboardInterrupt

    path = tmp_path / "checkpoints" / f"{spec.id}.pt"
    with pytest.raises(KeyboardInterrupt):
        run_trial(spec, data, report=interrupt, checkpoint=Checkpoint(path, 0.0))
    assert run_recorded(spec, data, tmp_path).build is UNSET
    assert run_recorded(spec, data, tmp_path / "whole").build == this_build()


# ----------------------------------------------------------------------------
# the command


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("honest") / "sweep"
    return write_archive(folder, methods=["ce", "gce"], rates=[0.5], seeds=[0])


@pytest.fixture
def tampering(archive, tmp_path) -> Tampering:
    copy = Tampering(archive, tmp_path / "sweep")
    copy.remove_tables()
    return copy


def verify(sweep: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(sweep), *words])
    return end.value.code or 0


def test_a_record_of_other_code_is_neither_verified_nor_refused(tampering):
    folder = tampering.trial("gce")
    other = code_of("gce") | {"harness": "0123456789ab"}
    tampering.change(folder, "done.json", lambda done: done.update(code=other))
    tampering.change(folder, "epochs.jsonl", lambda lines: lines[0].update(train_loss=9.0))
    assert verify(tampering.sweep, "--sample", folder.name) == 0
    verdict = verdict_of(tampering.sweep)
    assert verdict.outcome == CONSISTENT and verdict.reruns[0].agreement == OTHER_CODE
    assert f"records of other code than this checkout ({folder.name})" in " ".join(
        verdict.unchecked
    )


def test_a_record_of_an_earlier_version_lacks_newer_facts(tampering):
    folder = tampering.trial("gce")

    def forget(done):
        del done["noise"]["training_rate"]

    tampering.change(folder, "done.json", forget)
    assert verify(tampering.sweep, "--sample", folder.name) == 0
    assert verdict_of(tampering.sweep).outcome == VERIFIED
    tampering.change(folder, "done.json", lambda done: done["noise"].update(training_rate=0.9))
    assert verify(tampering.sweep, "--sample", folder.name) == 1


def test_a_record_of_another_machine_agrees_within_the_tolerance(tampering):
    folder = tampering.trial("gce")
    tampering.change(folder, "epochs.jsonl", lambda lines: lines[2].update(train_loss=1.5))
    assert verify(tampering.sweep, "--sample", folder.name) == 1
    tampering.change(folder, "done.json", lambda done: done["build"].update(system="other"))
    assert verify(tampering.sweep, "--sample", folder.name) == 0
    verdict = verdict_of(tampering.sweep)
    assert verdict.outcome == VERIFIED and verdict.reruns[0].agreement == CLOSE


def test_data_and_devices_that_are_not_here_are_named_and_leave_a_verdict(tampering, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    folder = tampering.respecify(tampering.trial("gce"), device="cuda")
    absent = tampering.respecify(tampering.trial("ce"), dataset="npz:/missing.npz")
    assert verify(tampering.sweep, "--sample", "all") == 0
    unchecked = " ".join(verdict_of(tampering.sweep).unchecked)
    assert "labels of npz:/missing.npz" in unchecked and "no GPU" in unchecked
    assert f"{folder.name} was not run again" in unchecked and absent.name in unchecked


def test_a_trial_that_is_not_over_is_counted_apart(tampering):
    (tampering.trial("gce") / "done.json").unlink()
    assert verify(tampering.sweep, "--sample", "0") == 0
    verdict = verdict_of(tampering.sweep)
    assert verdict.trials == 1 and "not over, and in no table: 1" in " ".join(verdict.unchecked)


@pytest.mark.parametrize("sample", ["-1", "x", "", "1.5", "abc,def", "9" * 5000])
def test_a_wrong_sample_is_refused_in_one_sentence(tampering, capsys, sample):
    assert verify(tampering.sweep, f"--sample={sample}") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_id_is_named(tampering, capsys):
    assert verify(tampering.sweep, "--sample", f"{tampering.trial('ce').name},abc") == 2
    assert "'abc'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing.tar.gz", "."])
def test_what_is_no_archive_is_refused(tmp_path, capsys, name):
    assert verify(tmp_path / name) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_a_file_that_is_no_archive_gets_no_verdict(tampering, capsys):
    assert verify(tampering.sweep / "sweep.json") == 2
    assert "is no archive: give a records.tar.gz" in capsys.readouterr().err
    assert list(tampering.sweep.glob("*verdict.json")) == []


def test_a_file_that_may_not_be_read_is_no_fault_of_the_record(tampering, capsys, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("bench.verification.records.content_of", forbidden)
    assert verify(tampering.sweep, "--sample", "0") == 2
    assert "(Permission denied): make it readable" in capsys.readouterr().err


def test_options_are_checked_before_the_archive(tampering, capsys, monkeypatch):
    monkeypatch.setattr("bench.report.reproduced.compare_tables", lambda _: pytest.fail("too late"))
    assert verify(tampering.sweep, "--sample", "foo") == 2
    assert verify(tampering.sweep, "--sample", "0", "--out", str(tampering.sweep)) == 2
    assert "is a folder" in capsys.readouterr().err
    blocked = tampering.sweep / "sweep.json" / "verdict.json"
    assert verify(tampering.sweep, "--sample", "0", "--out", str(blocked)) == 2


def test_an_archive_without_trials_is_refused(tampering, capsys):
    for name in ("ce", "gce"):
        shutil.rmtree(tampering.trial(name))
    assert verify(tampering.sweep) == 2
    assert "no trial" in capsys.readouterr().err


def test_a_verdict_can_lie_elsewhere(tampering, tmp_path):
    out = tmp_path / "new" / "verdict.json"
    assert verify(tampering.sweep, "--sample", "0", "--out", str(out)) == 0
    assert json.loads(out.read_text())["trials"] == 2
    assert not (tampering.sweep / "verdict.json").exists()


def test_a_verdict_replaces_verdicts_alone(tampering, tmp_path, capsys):
    packed = tampering.pack()
    for path in (packed, tampering.sweep / "sweep.json"):
        content = path.read_bytes()
        assert verify(packed, "--sample", "0", "--out", str(path)) == 2
        assert "holds no verdict" in capsys.readouterr().err and path.read_bytes() == content
    out = tmp_path / "mine.json"
    out.touch()
    for _ in range(2):
        assert verify(packed, "--sample", "0", "--out", str(out)) == 0
