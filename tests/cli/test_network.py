"""Options of pretrained networks: `--freeze`, fine-tuning, and what is refused."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from commands import call
from sweeps import sweep

from bench.cli import network
from bench.cli.trial import main as trial
from bench.embedding import compute
from bench.errors import InputError
from bench.records.trials import finished_statuses

NETWORK = "timm:test_resnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Return a file of random weights of a tiny network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def small_sweep(weights: Path, sweep: Path) -> list[str]:
    """Return the options of a small sweep on frozen features."""
    return [
        *["--backbone", NETWORK, "--weights", str(weights), "--network-size", "32", "--freeze"],
        *["--subset", "100", "--seeds", "1", "--epochs", "2", "--no-plots"],
        *["--out", str(sweep)],
    ]


@pytest.fixture
def frozen(weights, tmp_path, monkeypatch) -> list[str]:
    """Return the options of a sweep of one's own, with a cache of its own."""
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    return small_sweep(weights, tmp_path / "sweep")


@pytest.fixture(scope="module")
def swept(weights, tmp_path_factory) -> tuple[Path, str]:
    """Run gce, rmd and their reference on frozen features.

    Returns:
        The folder, in which "cache" and "sweep" lie, and what the command has printed.
    """
    folder = tmp_path_factory.mktemp("frozen")
    words = ["--methods", "gce,rmd", *small_sweep(weights, folder / "sweep")]
    return folder, sweep(*words, env={"LNL_BENCH_CACHE": str(folder / "cache")})


@pytest.fixture
def again(swept, weights, monkeypatch) -> list[str]:
    """Return the options of that sweep, whose images may not be embedded again."""
    folder, _ = swept
    monkeypatch.setenv("LNL_BENCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr(compute, "embed_batches", None)
    return small_sweep(weights, folder / "sweep")


def specifications(folder: Path) -> dict[str, dict]:
    """Return the specification of each trial, by method."""
    files = folder.glob("trials/*/spec.json")
    specs = [json.loads(path.read_text())["spec"] for path in files]
    return {spec["method"]: spec for spec in specs}


def test_a_sweep_on_frozen_features_and_the_same_command_again(swept, again, weights, capsys):
    folder, out = swept
    assert f"mlp on frozen {NETWORK}" in out
    specs = specifications(folder / "sweep")
    assert specs.keys() == {"ce", "gce", "rmd+ce"}
    for spec in specs.values():
        assert spec["recipe"]["backbone"] == "mlp" and spec["protocol"] == "shared, epochs=2"
        assert spec["pretrained"]["frozen"] and spec["pretrained"]["size"] == 32
        assert str(weights) not in json.dumps(spec), "a path is no part of a trial"
    assert not (folder / "sweep" / "encoders").exists(), "the features are the teacher"
    status, out, _ = call(capsys, "--methods", "gce,rmd", *again)
    assert status == 0 and "nothing was missing" in out


def test_a_trial_of_its_file_needs_the_same_weights(swept, again, weights, tmp_path, capsys):
    folder, _ = swept
    [spec] = [
        path
        for path in (folder / "sweep").glob("trials/*/spec.json")
        if json.loads(path.read_text())["spec"]["method"] == "gce"
    ]
    with pytest.raises(SystemExit) as end:
        trial([str(spec), "--weights", str(weights), "--out", str(tmp_path / "alone")])
    assert not end.value.code, capsys.readouterr().err
    assert list(finished_statuses(tmp_path / "alone").values()) == ["finished"]
    name = spec.parent.name
    first, second = (
        json.loads((place / "trials" / name / "done.json").read_text())
        for place in (folder / "sweep", tmp_path / "alone")
    )
    assert first["pretrained"] == second["pretrained"]
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), other)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        trial([str(spec), "--weights", str(other)])
    assert end.value.code == 2
    assert "give its file with --weights" in capsys.readouterr().err


def test_fine_tuning_starts_from_the_weights(weights, tmp_path):
    words = ["--backbone", NETWORK, "--weights", str(weights), "--network-size", "32"]
    words += ["--subset", "60", "--seeds", "1", "--epochs", "1", "--no-plots"]
    words += ["--methods", "rmd", "--set", "rmd.teacher=pretrained", "--reference", "none"]
    assert f"fine-tuned {NETWORK}" in sweep(*words, "--out", str(tmp_path / "sweep"))
    [spec] = specifications(tmp_path / "sweep").values()
    assert spec["recipe"]["backbone"] == NETWORK and not spec["pretrained"]["frozen"]


def test_a_dry_run_embeds_nothing_and_counts_it(frozen, tmp_path, capsys):
    status, out, err = call(capsys, "--methods", "gce", *frozen, "--dry-run")
    assert status == 0, err
    assert "of embedding images" in out
    assert not list((tmp_path / "cache").glob("embeddings-*/vectors*"))


def test_a_library_network_that_a_field_of_the_recipe_names_has_its_weights(
    monkeypatch, tmp_path, capsys
):
    def load(name, weights, **_):
        raise InputError(f"{weights} weights of {name}")

    monkeypatch.setattr(network, "load_pretrained", load)
    words = ["--set", f"recipe.backbone={NETWORK}", "--methods", "ce", "--subset", "60"]
    status, _, err = call(capsys, *words, "--dry-run", "--out", str(tmp_path))
    assert status == 2 and f"default weights of {NETWORK}" in err


@pytest.mark.slow
def test_random_weights_of_a_library_network(tmp_path):
    words = ["--backbone", NETWORK, "--weights", "none", "--subset", "40", "--epochs", "1"]
    words += ["--seeds", "1", "--no-plots", "--reference", "none", "--out", str(tmp_path)]
    sweep("--methods", "ce", *words)
    assert "pretrained" not in specifications(tmp_path)["ce"]


REFUSED = {
    "freeze without a network": (["--freeze"], "--freeze needs a network with pretrained weights"),
    "freeze of a network without weights": (
        ["--freeze", "--backbone", "resnet18"],
        "--freeze needs a network with pretrained weights",
    ),
    "freeze of random weights": (
        ["--freeze", "--backbone", NETWORK, "--weights", "none"],
        "--freeze needs a network with pretrained weights",
    ),
    "weights without a network": (["--weights", "w.pth"], "--weights does nothing here"),
    "size without a network": (["--network-size", "64"], "--network-size does nothing here"),
    "more views than memory holds": (["--views", "99999"], "99999 is not in the range 0<=x<=100"),
    "views without freeze": (["--views", "2"], "--views does nothing here: add --freeze"),
    "head of a network that is trained": (["--head", "linear"], "--head is for frozen networks"),
    "head as a backbone": (["--backbone", "mlp"], "mlp is a head on vectors: add --freeze"),
    "head as a backbone of photographs": (
        ["--backbone", "linear", "--set", "recipe.augmentation=crop"],
        "linear is a head on vectors: add --freeze --head linear",
    ),
    "network without its library": (
        ["--freeze", "--backbone", "tf_efficientnet_lite0"],
        "choose from linear, mlp, preact_resnet18, resnet18, resnet34, resnet50, small_cnn, "
        "timm:NAME, tiny_cnn, torchvision:NAME",
    ),
    "unknown library": (
        ["--freeze", "--backbone", "tim:resnet18"],
        "names of libraries are torchvision:NAME and timm:NAME",
    ),
    "unknown network": (["--backbone", "timm:test_resnt"], "test_resnet"),
    "weights that are not there": (
        ["--backbone", NETWORK, "--weights", "nowhere.pth"],
        "there is no file of weights",
    ),
    "teacher from scratch": (
        ["--methods", "rmd", "--set", "rmd.teacher=pretrained"],
        "the trial fine-tunes none",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, capsys):
    options, message = REFUSED[case]
    methods = [] if "--methods" in options else ["--methods", "gce"]
    status, _, err = call(capsys, *methods, *options)
    assert status == 2 and message in err and err.count("\n") == 1


FROZEN_REFUSED = {
    "a paper's recipe": (["--recipe", "paper"], "no paper's recipe is for a head on vectors"),
    "an augmentation of images": (["--set", "recipe.augmentation=crop"], "none, dropout"),
    "blocks of a linear head": (
        ["--methods", "pes", "--head", "linear"],
        "pes cannot train a linear head",
    ),
    "relations of a linear head": (
        ["--methods", "rmd", "--head", "linear"],
        "rmd cannot train a linear head",
    ),
}


@pytest.mark.parametrize("case", FROZEN_REFUSED)
def test_refused_on_frozen_features(case, frozen, capsys):
    options, message = FROZEN_REFUSED[case]
    methods = [] if "--methods" in options else ["--methods", "gce"]
    status, _, err = call(capsys, *methods, *options, *frozen)
    assert status == 2 and message in err and err.count("\n") == 1


def test_two_linear_heads_are_warned_of(frozen, capsys):
    options = ["--methods", "co_teaching", "--head", "linear", *frozen, "--dry-run"]
    status, _, err = call(capsys, *options)
    assert status == 0 and "linear heads hardly do: --head mlp suits it better" in err
