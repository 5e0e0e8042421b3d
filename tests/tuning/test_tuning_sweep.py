"""Tuning over real Ray, as a user starts it."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest
from sweeps import ROOT, command, ray_session, sweep, wait_for

SMALL = [
    "--methods",
    "gce",
    "--reference",
    "none",
    "--noise",
    "0.3,0.5",
    "--seeds",
    "1",
    "--subset",
    "200",
    "--device",
    "cpu",
]


def specs(out: Path) -> dict[str, dict]:
    return {
        path.parent.name: json.loads(path.read_text())["spec"]
        for path in out.glob("trials/*/spec.json")
    }


def searched(out: Path) -> Counter:
    return Counter(
        spec["noise_rate"]
        for spec in specs(out).values()
        if spec.get("stage", "").startswith("search")
    )


def statuses(out: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["status"]
        for path in out.glob("trials/*/done.json")
    }


def run_until_killed(arguments: list[str], out: Path, enough: int) -> None:
    """Start a sweep, kill its driver once so many trials are over, and wait for the end of Ray."""
    driver = subprocess.Popen(
        command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: sum(trial in specs(out) for trial in statuses(out)) >= enough)
    session = str(ray_session(out))

    def of_ray() -> list[psutil.Process]:
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if session in " ".join(process.info["cmdline"] or [])
        ]

    assert of_ray()
    driver.kill()
    driver.wait()
    wait_for(lambda: not of_ray())


def test_a_tuned_sweep_ends_with_whole_records_and_a_leaderboard(tmp_path):
    arguments = [*SMALL, "--epochs", "3", "--scheduler", "asha", "--out", str(tmp_path / "sweep")]
    out = tmp_path / "sweep"
    text = sweep(*arguments, "--tune", "3", "--details")
    assert "Searches, on seeds of their own" in text
    assert searched(out) == {0.3: 3, 0.5: 3}
    assert statuses(out).keys() == specs(out).keys() and set(statuses(out).values()) <= {
        "finished",
        "stopped",
    }
    for trial, status in statuses(out).items():
        lines = [
            json.loads(line)
            for line in (out / "trials" / trial / "epochs.jsonl").read_text().splitlines()
        ]
        done = json.loads((out / "trials" / trial / "done.json").read_text())
        assert done["epochs"] == len(lines) and [line["epoch"] for line in lines] == list(
            range(len(lines))
        )
        assert (len(lines) == 3) == (status == "finished")
        assert done["peak_memory_bytes"] > 1e8
    table = pd.read_csv(out / "leaderboard.csv")
    assert set(zip(table["track"], table["noise_rate"], strict=True)) == {
        (t, r) for t in ("default", "tuned") for r in (0.3, 0.5)
    }
    assert set(json.loads((out / "sweep.json").read_text())["trials"]) == specs(out).keys()


@pytest.mark.slow
def test_a_killed_driver_loses_no_configuration(tmp_path):
    out = tmp_path / "sweep"
    arguments = [
        *SMALL,
        "--epochs",
        "8",
        "--tune",
        "4",
        "--scheduler",
        "asha",
        "--checkpoint-seconds",
        "0",
        "--out",
        str(out),
    ]
    over: dict[str, int] = {}
    for enough in (2, 5):  # once in the middle of the searches, and again
        run_until_killed(arguments, out, enough)
        over |= {
            str(path): path.stat().st_mtime_ns
            for path in out.glob("trials/*/done.json")
            if str(path) not in over
        }
    begun = set(specs(out))
    assert sum(searched(out).values()) < 8, "the searches were over before the driver was killed"
    text = sweep(*arguments)
    assert searched(out) == {0.3: 4, 0.5: 4}
    assert begun <= specs(out).keys() == statuses(out).keys(), "what was begun is over now"
    assert all(Path(path).stat().st_mtime_ns == stamp for path, stamp in over.items()), (
        "a finished trial ran again"
    )
    assert re.search(r"gce \(tuned\)", text)
    assert "nothing was missing" in sweep(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "sampler"),
    [
        ("elr", ["--sampler", "random"]),
        ("bootstrap", ["--sampler", "grid"]),
        ("elr", ["--sampler", "cmaes"]),
        ("elr", ["--sampler", "cmaes", "--start-from", "digits-tuned"]),
        ("elr", ["--sampler", "tpe", "--start-from", "digits-tuned"]),
    ],
)
def test_a_search_whose_driver_was_killed_tries_the_same_configurations(tmp_path, method, sampler):
    arguments = ["--methods", method, "--reference", "none", "--noise", "0.5", "--seeds", "1"]
    arguments += ["--subset", "200", "--epochs", "2", "--device", "cpu", "--no-plots"]
    arguments += ["--tune", "14", "--max-concurrent", "1", *sampler]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    sweep(*arguments, "--out", str(whole))
    again = [*arguments, "--out", str(killed)]
    run_until_killed(again, killed, 9)
    assert len(statuses(killed)) < 14
    sweep(*again)
    assert searched(whole) == {0.5: 14} and statuses(killed).keys() == statuses(whole).keys()


@pytest.mark.slow
def test_tracks_share_one_leaderboard(tmp_path):
    out = tmp_path / "sweep"
    arguments = [
        *SMALL,
        "--epochs",
        "4",
        "--tune",
        "3",
        "--tune-seconds",
        "1",
        "--transfer",
        "--tune-for",
        "clean-val:10",
    ]
    arguments += ["--scheduler", "median", "--out", str(out)]
    text = sweep(*arguments)
    assert "tuned on clean-val:10" in text
    tracks = set(pd.read_csv(out / "leaderboard.csv")["track"])
    assert tracks >= {"default", "tuned", "budget"}
    assert "nothing was missing" in sweep(*arguments)
    told = [
        "--methods",
        "co_teaching",
        "--reference",
        "none",
        "--set",
        "co_teaching.forget_rate=oracle",
        "--noise",
        "0.4",
    ]
    told += [
        "--misspecify",
        "0.5,1,1.5",
        "--seeds",
        "1",
        "--subset",
        "200",
        "--epochs",
        "4",
        "--device",
        "cpu",
    ]
    assert "co_teaching (told ×1.5)" in sweep(*told, "--out", str(out))
    assert (out / "plots" / "digits_symmetric-misspecified.png").exists()


@pytest.mark.slow
def test_a_method_with_a_pretrained_encoder_is_tuned(tmp_path):
    out = tmp_path / "sweep"
    arguments = [
        "--methods",
        "rmd",
        "--reference",
        "none",
        "--noise",
        "0.3,0.5",
        "--seeds",
        "1",
        "--subset",
        "200",
    ]
    sweep(
        *arguments,
        "--epochs",
        "3",
        "--device",
        "cpu",
        "--tune",
        "3",
        "--scheduler",
        "asha",
        "--out",
        str(out),
    )
    assert searched(out) == {0.3: 3, 0.5: 3}
    assert len(list((out / "encoders").iterdir())) == 2, (
        "one for the searches, one for the leaderboard's seed"
    )
    done = [json.loads(path.read_text()) for path in out.glob("trials/*/done.json")]
    assert all(facts["pretrain_seconds"] > 0 for facts in done)
