"""Studies: each consists of commands that would run."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fabricate import write_trial

from bench.cli import audit_study
from bench.cli.commands import execute
from bench.cli.run import run
from bench.cli.study import AUDIT, STUDIES, study
from bench.method import Wrapper, takes_own_steps
from bench.planning import registry


def words_of(name: str) -> list[str]:
    return " ".join(STUDIES[name].sweeps).split()


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        execute(study, list(arguments))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_without_a_name_they_are_listed(capsys):
    status, text, _ = call(capsys)
    assert status == 0 and [line.split()[0] for line in text.splitlines()] == [
        *STUDIES,
        AUDIT,
    ]


def test_an_unknown_study_is_one_sentence(capsys):
    status, text, errors = call(capsys, "sanety")
    assert status == 2 and "there is no study 'sanety': did you mean sanity" in errors and not text


def test_a_comparison_makes_a_sweep_of_each_side_and_sets_them_side_by_side(
    monkeypatch, tmp_path, capsys
):
    commands = []

    def run(command):
        commands.append(command[2:])
        Path(command[-1]).mkdir(exist_ok=True, parents=True)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert call(capsys, "precision", "--out", str(tmp_path), "--", "--device", "cpu")[0] == 0
    *sweeps, comparison = commands
    assert (
        comparison
        == f"bench.report {tmp_path}/fp32 --compare {tmp_path}/bf16 --out {tmp_path}".split()
    )
    assert [command[-1] for command in sweeps] == [
        f"{tmp_path}/{side}" for side in ("fp32", "fp32", "bf16", "bf16")
    ]
    for command in sweeps:
        assert command[command.index("--precision") + 1] == Path(command[-1]).name
        assert (
            command[command.index("--seeds") + 1] == "5"
            and command[command.index("--device") + 1] == "cpu"
        )
    # But for the precision, both sides run the same.
    plain = [[word for word in command[:-1] if word not in ("fp32", "bf16")] for command in sweeps]
    assert plain[:2] == plain[2:] and plain[0] != plain[1]
    commands.clear()
    call(capsys, "precision", "--out", str(tmp_path), "--", "--seeds", "2")
    assert all(command.count("--seeds") == 1 and "2" in command for command in commands[:-1])


def commands_of(monkeypatch, capsys, *arguments: str) -> list[list[str]]:
    """Return the commands of a study, none of which is run."""
    commands = []
    monkeypatch.setattr(
        "bench.cli.study._run", lambda module, words: commands.append([module, *words]) or 0
    )
    assert call(capsys, *arguments)[0] == 0
    return commands


def value_of(command: list[str], name: str) -> str:
    assert command.count(name) == 1, command
    return command[command.index(name) + 1]


def test_cifar10n_runs_all_sweeps_with_one_seed_before_the_second(monkeypatch, tmp_path, capsys):
    out = str(tmp_path / "board")
    *sweeps, report = commands_of(monkeypatch, capsys, "cifar10n-features", "--out", out)
    assert report == ["bench.report", out]
    counts = [value_of(command, "--seeds") for command in sweeps]
    assert counts == [str(1 + index // 5) for index in range(25)]
    noises = [value_of(command, "--noise-kind") for command in sweeps]
    assert noises == noises[:5] * 5 and len(set(noises[:5])) == 5
    for command in sweeps:
        methods = value_of(command, "--methods").split(",")
        assert {"gce", "elr", "sop"} <= {*methods} and value_of(command, "--out") == out


def test_options_of_the_user_replace_those_of_the_study(monkeypatch, tmp_path, capsys):
    further = "--dataset npz:mine.npz --seeds=2 --set softmix.k=1 --set elr.weight=1".split()
    *sweeps, _ = commands_of(
        monkeypatch, capsys, "cifar10n-features", "--out", str(tmp_path), "--", *further
    )
    assert [value_of(command, "--seeds") for command in sweeps] == ["1"] * 5 + ["2"] * 5
    for command in sweeps:
        assert value_of(command, "--dataset") == "npz:mine.npz" and command.count("--set") == 2


@pytest.mark.parametrize("name", ["sanity", "precision", "cifar10n-features"])
@pytest.mark.parametrize("seeds", ["x", "1,2", "0"])
def test_a_number_of_seeds_that_is_none_is_one_sentence(monkeypatch, capsys, name, seeds):
    monkeypatch.setattr("bench.cli.study._run", lambda *_: pytest.fail("ran"))
    monkeypatch.setattr("bench.cli.study._run_here", lambda *_: pytest.fail("ran"))
    status, text, errors = call(capsys, name, "--", "--seeds", seeds, "--no-plots")
    assert status == 2 and "--seeds" in errors and errors.count("\n") == 1 and not text


def test_methods_of_the_user_get_all_seeds_at_once(monkeypatch, tmp_path, capsys):
    further = "--methods elr --reference none".split()
    sweeps = commands_of(
        monkeypatch, capsys, "cifar10n-features", "--out", str(tmp_path), "--", *further
    )
    assert len(sweeps) == 5
    for command in sweeps:
        assert command[0] == "bench.run" and value_of(command, "--methods") == "elr"
        assert value_of(command, "--seeds") == "5" and value_of(command, "--reference") == "none"


def in_this_process(module: str, arguments) -> int:
    """In place of a process for each sweep, which would spend its time on importing torch."""
    assert module == "bench.run"
    with pytest.raises(SystemExit) as end:
        execute(run, list(arguments))
    return end.value.code or 0


@pytest.mark.parametrize(
    "name",
    [name for name in STUDIES if not {"fashion_mnist", "cifar10n"} & {*words_of(name)}],
)
def test_every_sweep_of_a_study_would_run(name, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("bench.cli.study._run", in_this_process)
    status, text, errors = call(
        capsys, name, "--out", str(tmp_path / "out"), "--", "--dry-run", "--seeds", "1"
    )
    assert status == 0, errors
    assert text.count("of them on record in") == len(STUDIES[name].sweeps)
    assert not (tmp_path / "out").exists()
    if name == "sanity":
        for method in registry.method_names():
            assert f"  {method} " in text, method
    if name == "rmd-hosts":
        for method in registry.method_names():
            cls = registry.load_method(method)
            wrapped = f"  rmd+{method} ·" in text
            if not issubclass(cls, Wrapper) and method != registry.REFERENCE:
                assert wrapped == (not takes_own_steps(cls)), method
    if name == "privileges":
        for method in registry.method_names():
            oracles = registry.load_method(method).oracles
            settings = "".join(f" {method}.{field}=oracle" for field in oracles)
            assert text.count(f"  {method} ·") == (
                2 if oracles else 6 * (method == registry.REFERENCE)
            ), method
            assert not oracles or text.count(f"  {method}{settings} ·") == 2, method
        assert text.count("  divide_mix divide_mix.unlabelled_weight=estimate ·") == 2
        assert "co_teaching.forget_rate=estimate" not in text, "its default"


def test_a_study_without_ray_goes_on_and_makes_a_leaderboard(tmp_path, capsys):
    archive = tmp_path / "tiny.npz"
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(
        archive,
        train_images=draw.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
        train_labels=labels,
        noisy_labels_worst=1 - labels,
        test_images=draw.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8),
        test_labels=labels[:10],
    )
    further = f"--dataset npz:{archive} --device cpu --backbone tiny_cnn --epochs 1 --methods gce"
    arguments = ["cifar10n-resnet18", "--out", str(tmp_path / "out"), "--", *further.split()]
    status, text, errors = call(capsys, *arguments)
    assert status == 0 and "ray" not in errors, errors
    with (tmp_path / "out/leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"ce", "gce"}
    assert text.count('"epoch":') == 2
    assert call(capsys, *arguments)[1].count('"epoch":') == 0
    facts = json.loads((tmp_path / "out/sweep.json").read_text())
    assert len(facts["trials"]) == 2 and len(facts["runs"]) == 2
    write_trial(tmp_path / "theirs", spec={"imported": {"source": "S"}})
    arguments[2] = str(tmp_path / "theirs")
    status, _, errors = call(capsys, *arguments)
    assert status == 2 and "imported trials" in errors


@pytest.mark.parametrize(
    "option", ["--tune=2", "--trial-timeout=9", "--storage=x", "--track=tensorboard"]
)
def test_a_study_without_ray_refuses_what_needs_ray(option, tmp_path, capsys):
    arguments = ["cifar10n-resnet18", "--out", str(tmp_path / "out"), "--", option]
    status, _, errors = call(capsys, *arguments)
    assert status == 2 and option.partition("=")[0] in errors and "needs Ray" in errors


def test_a_study_that_a_signal_ends_stops_with_its_status(monkeypatch, tmp_path, capsys):
    commands = []

    def killed(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, -9)

    monkeypatch.setattr(subprocess, "run", killed)
    status, *_ = call(capsys, "softmix-neighbours", "--out", str(tmp_path))
    assert status == 128 + 9 and len(commands) == 1


def test_settings_of_a_study_are_those_of_the_users_methods(monkeypatch, tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    commands = commands_of(
        monkeypatch, capsys, "privileges", *out, "--", "--methods", "co_teaching"
    )
    settings = [word for command in commands for word in command if word.endswith("oracle")]
    assert len(commands) == 4 and {*settings} == {"co_teaching.forget_rate=oracle"}
    assert not any("estimate" in word for command in commands for word in command)


def test_the_study_of_audits_compares_scores_and_goes_on(tmp_path, capsys):
    arguments = ["audit", "--out", str(tmp_path), "--", "--sizes", "200", "--seeds", "1"]
    arguments += ["--noises", "symmetric:0.3"]
    status, text, errors = call(capsys, *arguments)
    assert status == 0, errors
    assert "audit less cleanlab" in text and (tmp_path / "audit.md").exists()
    [check] = tmp_path.glob("*/check.json")
    before = check.stat().st_mtime_ns
    assert call(capsys, *arguments)[0] == 0 and check.stat().st_mtime_ns == before


def test_labels_as_delivered_of_a_whole_set_are_audited_once(tmp_path, monkeypatch):
    labels = np.arange(12) % 3
    images = np.zeros((12, 8, 8, 3), np.uint8)
    parts = {
        f"{part}_{name}": array
        for part in ("train", "test")
        for name, array in zip(("images", "labels"), (images, labels), strict=True)
    }
    np.savez(tmp_path / "d.npz", **parts, noisy_labels_worst=labels[::-1])
    audited = []
    monkeypatch.setattr(
        audit_study, "_audit", lambda _, *setting: audited.append(setting[:3]) or {}
    )
    monkeypatch.setattr(audit_study, "study_report", lambda rows: "")
    options = ["--dataset", f"npz:{tmp_path / 'd.npz'}", "--noises", "human-worst,symmetric:0.2"]
    with pytest.raises(SystemExit):
        execute(study, [AUDIT, "--out", str(tmp_path), "--", *options, "--sizes", "0,6,12"])
    drawn = [(noise, size) for noise, size, _ in audited]
    assert [drawn.count(("human-worst", size)) for size in (0, 6, 12)] == [1, 3, 1]
    assert [drawn.count(("symmetric:0.2", size)) for size in (0, 6, 12)] == [3, 3, 3]


def test_options_of_the_study_of_audits_are_checked(tmp_path, capsys):
    status, _, errors = call(capsys, "audit", "--out", str(tmp_path), "--", "--seeds", "0")
    assert status == 2 and "--seeds" in errors
