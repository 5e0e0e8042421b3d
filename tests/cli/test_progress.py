"""Display of a running sweep: its counts, and the state of a cluster."""

import io

import pytest
from rich.console import Console

from bench.cli.progress import Display
from bench.sweep.work import ClusterUse

USE = ClusterUse(nodes=2, cpus_used=3, cpus=4, gpus_used=0, gpus=0)


def display(keys: str, terminal: bool = False) -> Display:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    shown = Display(console, dict.fromkeys(keys, "0.5"), dict.fromkeys(keys, "ce"))
    shown.begin([(key, 1.0) for key in [*keys, "pretraining"]], 2)
    return shown


def output(shown: Display) -> str:
    return shown.console.file.getvalue()


def run_all(shown: Display, keys: list[str]) -> None:
    for key in keys:
        shown.start(key, key)
        shown.advance(key, 0.5, 0.25)
        shown.end(key, key, "finished", None)


def test_a_sweep_on_one_machine_has_no_line_on_a_cluster():
    shown = display("abc")
    run_all(shown, [*"abc", "pretraining"])
    assert output(shown).splitlines() == [
        "3 trials and 1 pretraining to run, 2 at a time",
        "3/3 done · 0 running · 0 failed · best on noisy validation 0.5: ce 25%",
    ]


def test_a_sweep_on_a_cluster_shows_its_nodes_and_the_trials_that_wait():
    shown = display("abcd")
    shown.cluster(USE)
    shown.start("pretraining", "SimSiam")
    shown.start("a", "a")
    assert shown.cluster_line == ("cluster: 2 nodes · 3 of 4 CPUs in use · 3 trials waiting")
    shown.later(5, 5.0)  # of tuning
    assert shown.cluster_line.endswith("8 trials waiting")
    shown.later(0, 0.0)
    shown.lost("a", "a")
    assert shown.cluster_line.endswith("4 trials waiting")
    run_all(shown, [*"abcd", "pretraining"])
    assert output(shown).splitlines()[-1] == (
        "cluster: 2 nodes · 3 of 4 CPUs in use · 0 trials waiting"
    )


def test_the_state_of_a_cluster_is_below_the_bar():
    with display("ab", terminal=True) as shown:
        shown.bar.refresh()
        assert "cluster" not in output(shown)
        shown.cluster(ClusterUse(1, 1, 64, 1.5, 8))
        shown.bar.refresh()
        assert (
            "cluster: 1 node · 1 of 64 CPUs and 1.5 of 8 GPUs in use · 2 trials waiting"
            in output(shown)
        )


@pytest.mark.parametrize("restarted", [False, True])
def test_the_bar_counts_each_share_of_a_trial_once(restarted):
    with display("ab", terminal=True) as shown:
        shown.start("a", "a")
        shown.advance("a", 0.75, 0.5)
        if restarted:  # from its checkpoint
            shown.lost("a", "a")
            shown.start("a", "a")
            shown.advance("a", 0.25, 0.5)
        shown.advance("a", 0.5, 0.5)
        [task] = shown.bar.tasks
        assert (task.completed, task.total) == (0.5, 3.0)
        run_all(shown, [*"ab", "pretraining"])
        assert (task.completed, task.total) == (3.0, 3.0)
