"""Command line of a sweep: accepted and refused options, messages, lists, exit statuses."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from commands import call
from fabricate import write_trial

from bench.cli import plan
from bench.cli.commands import execute, writable
from bench.cli.run import requested, run
from bench.cli.sweep import execute_sweep
from bench.cli.terminal import console
from bench.networks import cpu
from bench.planning import registry
from bench.planning.spec import record_of
from bench.records.schema import Done
from bench.records.writer import TrialWriter

ROOT = Path(__file__).resolve().parents[2]


REFUSED = {
    "unknown method": (
        ["--methods", "sotfmix"],
        "there is no method 'sotfmix': did you mean softmix",
    ),
    "no methods": ([], "name methods with --methods"),
    "empty methods": (["--methods", ""], "the list is empty"),
    "empty item": (["--methods", "elr,,gce"], "the list has an empty item"),
    "wrapper on the wrong side": (
        ["--methods", "ce+rmd"],
        "ce cannot wrap another method (in 'ce+rmd'): did you mean rmd+ce?",
    ),
    "wrapper around nothing": (
        ["--methods", "rmd+"],
        "'rmd+' has an empty part: write wrapper+method",
    ),
    "part twice": (["--methods", "rmd+rmd"], "'rmd+rmd' names a part twice"),
    "unknown reference": (
        ["--methods", "elr", "--reference", "cee"],
        "there is no method 'cee': did you mean ce",
    ),
    "unknown data set": (
        ["--methods", "elr", "--dataset", "cifar"],
        "there is no data set 'cifar': did you mean cifar10",
    ),
    "missing npz": (
        ["--methods", "elr", "--dataset", "npz:nowhere.npz"],
        "there is no file 'nowhere.npz'",
    ),
    "unknown noise kind": (
        ["--methods", "elr", "--noise-kind", "symetric"],
        "did you mean symmetric",
    ),
    "rate of 1": (
        ["--methods", "elr", "--noise", "1.0"],
        "the noise rate is 1: give a rate from 0 up to",
    ),
    "negative rate": (["--methods", "elr", "--noise=-0.1"], "the noise rate is -0.1"),
    "rate that is no number": (["--methods", "elr", "--noise", "0.2,x"], "is no list of numbers"),
    "rate nan": (["--methods", "elr", "--noise", "nan"], "the noise rate is nan"),
    "empty rates": (["--methods", "elr", "--noise", ","], "the list is empty"),
    "clean with a rate": (
        ["--methods", "elr", "--noise-kind", "clean", "--noise", "0.2"],
        "clean labels take no noise rate",
    ),
    "zero epochs": (
        ["--methods", "elr", "--epochs", "0"],
        "the number of epochs is 0: give at least 1",
    ),
    "zero seeds": (["--methods", "elr", "--seeds", "0"], "--seeds is 0: give at least 1"),
    "zero batch": (["--methods", "elr", "--batch-size", "1"], "the batch size is 1"),
    "zero cpus": (["--methods", "elr", "--cpus-per-trial", "0"], "0 is not in the range"),
    "unknown backbone": (
        ["--methods", "elr", "--backbone", "resnet"],
        "there is no backbone 'resnet': did you mean resnet",
    ),
    "axis of no method": (
        ["--methods", "elr", "--k", "1,2"],
        "--k is given, but none of ce, elr has that axis",
    ),
    "axis value": (["--methods", "softmix", "--k", "0"], "softmix.k is 0: give at least 1"),
    "axis word": (
        ["--methods", "softmix", "--k", "two"],
        "softmix.k is 'two': give a whole number",
    ),
    "axis that the relation does not use": (
        ["--methods", "rmd", "--temperature", "0.1,0.2", "--set", "rmd.relation=ega"],
        "rmd.temperature does nothing with rmd.relation=ega",
    ),
    "hyper-parameter no method has": (
        ["--methods", "elr", "--set", "elr.wieght=3"],
        "there is no hyper-parameter of elr 'elr.wieght': did you mean elr.weight",
    ),
    "part that is not requested": (
        ["--methods", "elr", "--set", "gce.q=0.5"],
        "there is no part among the requested methods 'gce'",
    ),
    "setting without a part": (
        ["--methods", "elr", "--set", "weight=3"],
        "--set weight names no part",
    ),
    "setting without a value": (
        ["--methods", "elr", "--set", "elr.weight"],
        "is no setting: write part.name=value",
    ),
    "setting with an empty value": (["--methods", "elr", "--set", "elr.weight="], "is no setting"),
    "setting twice": (
        ["--methods", "elr", "--set", "elr.weight=1", "--set", "elr.weight=2"],
        "elr.weight is set twice",
    ),
    "setting out of range": (
        ["--methods", "gce", "--set", "gce.q=0"],
        "gce.q is 0: give a number above 0",
    ),
    "unknown recipe": (
        ["--methods", "elr", "--recipe", "papers"],
        "'papers' is no recipe: choose shared, paper or tuned-defaults:FILE",
    ),
    "tuned defaults that are not there": (
        ["--methods", "elr", "--recipe", "tuned-defaults:nowhere"],
        "--recipe tuned-defaults:nowhere cannot be read",
    ),
    "unknown recipe field": (
        ["--methods", "elr", "--set", "recipe.lr=0.1"],
        "there is no field of the recipe 'lr'",
    ),
    "subset too large": (
        ["--methods", "elr", "--subset", "100000"],
        "--subset is 100000, but digits has 1437 training images",
    ),
    "subset of 1": (["--methods", "elr", "--subset", "1"], "--subset is 1"),
    "option misspelt": (["--methods", "elr", "--epoch", "3"], "No such option"),
    "precision": (["--methods", "elr", "--precision", "fp8"], "is not one of"),
    "list twice": (
        ["--methods", "elr", "--noise", "0.2", "--noise", "0.5"],
        "give it once, several values separated by commas",
    ),
    "option twice": (
        ["--methods", "elr", "--epochs", "2", "--epochs", "5"],
        "--epochs is given twice: give it once\n",
    ),
    "recipe twice": (
        ["--methods", "elr", "--epochs", "3", "--set", "recipe.epochs=4"],
        "recipe.epochs is set by --epochs and by --set",
    ),
    "axis of no method's loss": (
        ["--methods", "gce", "--weight", "1,2"],
        "--weight is given, but none of ce, gce has that axis",
    ),
    "temperature of 0": (
        ["--methods", "rmd", "--temperature", "0"],
        "rmd.temperature is 0: give a number above 0",
    ),
    "negative weight": (
        ["--methods", "elr", "--set", "elr.weight=-1"],
        "elr.weight is -1: give a number from 0",
    ),
    "seconds that are no number": (
        ["--methods", "elr", "--tune-seconds", "nan"],
        "'nan' is no number to count with",
    ),
    "tuning that tunes nothing": (
        ["--methods", "elr", "--scheduler", "asha"],
        "nothing is tuned: add --tune N",
    ),
    "an optimizer that a method cannot use": (
        ["--methods", "rmd+sop_plus", "--set", "recipe.optimizer=adam"],
        "sop_plus trains by SGD alone: its noise is sparse only so; use --set recipe.optimizer=sgd",
    ),
    "a sampler of no search": (["--methods", "elr", "--sampler", "random"], "--sampler says how"),
    "a start of no search": (["--methods", "elr", "--start-from", "o"], "--start-from says how"),
    "a start that teaches nothing": (
        ["--methods", "elr", "--tune", "2", "--sampler", "random", "--start-from", "digits-tuned"],
        "--sampler random learns from no trials, so that --start-from changes nothing: use "
        "--sampler tpe or cmaes",
    ),
    "a board that is none": (
        ["--methods", "elr", "--tune", "2", "--start-from", "digits-tunde"],
        "--start-from: there is no folder, archive or reference board 'digits-tunde': did you "
        "mean digits-tuned",
    ),
    "a start of nothing": (
        ["--methods", "elr", "--tune", "2", "--start-from", ""],
        "--start-from is empty: give a folder, an archive or the name of a reference board",
    ),
    "a grid of a continuous range": (
        ["--methods", "elr", "--tune", "2", "--sampler", "grid"],
        "--sampler grid cannot try all values of elr.weight, elr.momentum",
    ),
    "goal that is none": (["--methods", "elr", "--tune", "2", "--tune-for", "test"], "test"),
    "npz without a file": (
        ["--methods", "elr", "--dataset", "npz:"],
        "npz: names no file: write npz:FILE",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_sentence_and_status_2(case, capsys, tmp_path):
    arguments, message = REFUSED[case]
    out = tmp_path / "out"
    status, text, errors = call(capsys, *arguments, "--out", str(out))
    assert status == 2
    assert message in errors
    assert errors.startswith("Error: ") and errors.count("\n") == 1
    assert "Traceback" not in errors and text == ""
    assert not out.exists(), "nothing was started"


@pytest.mark.parametrize("is_default", [True, False])
def test_a_search_does_not_start_from_its_own_sweep(capsys, tmp_path, monkeypatch, is_default):
    monkeypatch.chdir(tmp_path)
    arguments = ["--methods", "elr", "--subset", "200", "--tune", "2", "--device", "cpu"]
    arguments += [] if is_default else ["--out", str(tmp_path / "sweep")]
    _, text, _ = call(capsys, *arguments, "--dry-run")
    folder = Path(re.search("on record in (.*)", text)[1])
    write_trial(folder, "elr")
    status, _, errors = call(capsys, *arguments, "--start-from", str(folder))
    assert status == 2 and f"--start-from is '{folder}', the sweep's own folder" in errors


def test_truncated_data_is_named(capsys, tmp_path):
    path = tmp_path / "data.npz"
    arrays = {"train_images": np.zeros((50, 8, 8), np.uint8), "train_labels": np.arange(50) % 5}
    np.savez(path, **arrays, test_images=arrays["train_images"], test_labels=arrays["train_labels"])
    path.write_bytes(path.read_bytes()[:2000])
    status, _, errors = call(capsys, "--methods", "elr", "--dataset", f"npz:{path}")
    assert status == 2 and "cannot be read" in errors and str(path) in errors


def test_missing_idx_file_is_named(capsys, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    status, _, errors = call(
        capsys, "--methods", "elr", "--dataset", "fashion_mnist", "--data-dir", str(tmp_path)
    )
    assert status == 2 and "train-images-idx3-ubyte" in errors


def test_unwritable_folder_is_named(capsys, tmp_path):
    (tmp_path / "file").touch()
    status, _, errors = call(capsys, "--methods", "elr", "--out", str(tmp_path / "file" / "sweep"))
    assert status == 2 and "choose another --out" in errors and errors.count("\n") == 1


def test_the_check_of_an_output_folder_leaves_every_file_in_it(tmp_path):
    (tmp_path / ".probe").write_text("mine")
    writable(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_bfloat16_without_units_for_it_is_warned_of(capsys, monkeypatch):
    warning = "warning: this CPU lacks units for bfloat16"
    for there in (False, True):
        monkeypatch.setattr(cpu, "bfloat16_units", lambda there=there: there)
        for precision in ("bf16", "fp32", "auto"):
            arguments = [
                "--methods",
                "gce",
                "--device",
                "cpu",
                "--precision",
                precision,
                "--dry-run",
            ]
            status, _, errors = call(capsys, *arguments)
            assert status == 0
            assert errors.count(warning) == (precision == "bf16" and not there)


def test_dry_run_lists_and_estimates_and_runs_nothing(capsys, tmp_path):
    out = tmp_path / "sweep"
    arguments = [
        "--methods",
        "rmd,softmix",
        "--noise",
        "0.2,0.5,0.8",
        "--k",
        "1,4",
        "--dry-run",
        "--out",
        str(out),
    ]
    status, text, _ = call(capsys, *arguments)
    assert status == 0 and not out.exists()
    # 3 rates x 3 seeds x (ce once, since it has no k; rmd and softmix with both)
    assert "45 trials, 0 of them on record" in text
    assert "estimate:" in text
    lines = [line for line in text.splitlines() if " · seed " in line]
    assert len(lines) == len({line.split()[0] for line in lines}) == 45
    assert sum("softmix softmix.k=4 " in line for line in lines) == 9


def test_reference_can_be_left_out_or_replaced(capsys):
    for reference, expected in (("none", {"gce"}), ("elr", {"gce", "elr"})):
        status, text, _ = call(capsys, "--methods", "gce", "--reference", reference, "--dry-run")
        assert status == 0
        assert {line.split()[1] for line in text.splitlines() if " · seed " in line} == expected


BROKEN = {
    "a syntax error": ('"""Broken."""\ndef (\n', "line 2"),
    "an import of what is not there": (
        '"""Broken."""\nimport nowhere_to_be_found\n',
        "nowhere_to_be_found",
    ),
    "an unknown privilege": (
        '"""Broken."""\nfrom bench.method import Method\n\n\n'
        'class Broken(Method):\n    privileges = {"test_labels"}\n',
        "declares the privileges ['test_labels']: there are noise_rate, noise_kind",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_method_file_is_named_and_hides_nothing(case, capsys, tmp_path, monkeypatch):
    import methods

    content, message = BROKEN[case]
    name = f"broken_{list(BROKEN).index(case)}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    status, text, errors = call(capsys, "--list", "methods")
    assert status == 0 and not errors and "softmix" in text
    if case == "a syntax error":
        assert message in text
    status, text, errors = call(capsys, "--methods", name, "--out", str(tmp_path / "out"))
    assert (
        status == 2 and message in errors and errors.count("\n") == 1 and "Traceback" not in errors
    )
    assert not (tmp_path / "out").exists()


def test_an_override_that_changes_nothing_gives_the_same_trials(capsys):
    plain = call(capsys, "--methods", "elr", "--dry-run")[1]
    again = call(capsys, "--methods", "elr", "--epochs", "25", "--batch-size", "128", "--dry-run")[
        1
    ]
    trials = [[line for line in text.splitlines() if " · seed " in line] for text in (plain, again)]
    assert trials[0] == trials[1]


def test_list_names_everything_on_one_line_each(capsys):
    status, text, _ = call(capsys, "--list")
    assert status == 0
    lines = text.splitlines()
    for name in [
        *registry.method_names(),
        "digits",
        "cifar100",
        "npz:FILE",
        "symmetric-inclusive",
        "resnet50",
    ]:
        [line] = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 3, "a name and what it is"
    assert call(capsys, "--list", "noise")[1].startswith("noise\n")


def test_tuning_leaves_alone_what_an_axis_sets(monkeypatch):
    """Under the name of the hyper-parameter, which may differ from that of the axis."""
    axes = {"rmd": {"weight": "strength", "k": "k"}, "elr": {"weight": "weight"}}
    monkeypatch.setattr(plan, "load_method", lambda part: SimpleNamespace(axes=axes[part]))
    methods = SimpleNamespace(axes={"k": [], "weight": ["1"]}, hparams={"elr.momentum": ["0"]})
    fixed = plan._fixed_hparams(SimpleNamespace(methods=methods), [("rmd+elr", {})])
    assert fixed == {"rmd.strength", "elr.weight", "elr.momentum"}


def in_fresh_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_listing_is_not_cut_when_piped():
    text = subprocess.run(
        [sys.executable, "-m", "bench.run", "--list"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "40"},
        capture_output=True,
        text=True,
    ).stdout
    assert max(map(len, text.splitlines())) > 100


def test_importing_is_light():
    everything = ", ".join(f"bench.{path.stem}" for path in (ROOT / "bench").glob("[a-z]*.py"))
    code = (
        "import bench, sys; print('torch' in sys.modules)\n"
        f"import {everything}; print('ray' in sys.modules, 'torchvision' in sys.modules)"
    )
    assert in_fresh_process(code) == "False\nFalse False\n"


def test_help_needs_no_torch():
    """Commands in turn, in one process; those that need NumPy come last."""
    light = ["run", "data", "report", "study", "trial", "ingest", "clean", "site"]
    code = (
        "import contextlib, importlib, io, sys\n"
        f"for name in {[*light, 'verify', 'noise']}:\n"
        "    main = importlib.import_module(f'bench.cli.{name}').main\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(['--help'])\n"
        "    heavy = {'torch', 'ray', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "    print(name, *sorted(heavy))\n"
    )
    assert in_fresh_process(code).splitlines() == [*light, "verify numpy", "noise numpy"]


def test_one_trial_without_ray(tmp_path, capsys):
    """From a dry run's specification to a record, in a process that cannot import Ray."""
    from bench.datasets import load_dataset
    from bench.planning.spec import Plan, expand_hparams, record_of

    data = load_dataset("digits", subset=200)
    [spec] = Plan(subset=200, overrides=(("epochs", 2),)).specs(
        data, expand_hparams(["elr"], {}, {}), [0.5], [0]
    )
    path = tmp_path / "spec.json"
    path.write_bytes(msgspec.json.encode(record_of(spec)))
    code = (
        "import sys; sys.modules['ray'] = None\n"
        f"from bench.cli.trial import main\nmain(['{path}', '--out', '{tmp_path / 'sweep'}'])"
    )
    text = in_fresh_process(code)
    assert [json.loads(line)["epoch"] for line in text.splitlines()] == [0, 1]
    done = json.loads((tmp_path / "sweep" / "trials" / spec.id / "done.json").read_text())
    assert done["status"] == "finished" and done["epochs"] == 2
    stamp = (tmp_path / "sweep" / "trials" / spec.id / "done.json").stat().st_mtime_ns
    assert in_fresh_process(code) == "", "what is finished is not run again"
    assert (tmp_path / "sweep" / "trials" / spec.id / "done.json").stat().st_mtime_ns == stamp


WRONG_SPECS = {
    "noise_rate": (2, "the noise rate is 2"),
    "noise_rate ": ("x", "noise_rate is 'x': give a number"),
    "train_seed": (-1, "train_seed is -1: give a whole number from 0"),
    "noise_seed": (0.5, "noise_seed is 0.5: give a whole number"),
    "validation_share": (1.5, "validation_share is 1.5: give a number between 0 and 1"),
    "noise_kind": ("symetric", "there is no noise kind 'symetric': did you mean symmetric"),
    "method": ("ce+rmd", "ce cannot wrap another method"),
    "dataset": ("digit", "there is no data set 'digit': did you mean digits"),
    "subset": (99999, "--subset is 99999, but digits has 1437 training images"),
    "recipe": ({"backbone": "tiny_cnn", "epochs": "many"}, "epochs is 'many': give a whole number"),
}


@pytest.mark.parametrize("field", WRONG_SPECS)
def test_a_wrong_specification_is_one_sentence(field, tmp_path, capsys):
    from bench.cli.trial import trial as trial_main
    from bench.datasets import load_dataset
    from bench.planning.spec import Plan, expand_hparams, record_of

    value, message = WRONG_SPECS[field]
    data = load_dataset("digits", subset=200)
    [spec] = Plan(subset=200).specs(data, expand_hparams(["elr"], {}, {}), [0.5], [0])
    record = record_of(spec)
    record.spec[field.strip()] = value
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(record))
    with pytest.raises(SystemExit) as end:
        execute(trial_main, [str(tmp_path / "spec.json")])
    captured = capsys.readouterr()
    assert end.value.code == 2 and captured.out == ""
    assert message in captured.err and captured.err.count("\n") == 1


def test_a_trial_on_other_data_is_refused(tmp_path):
    from bench.datasets import load_dataset
    from bench.errors import InputError
    from bench.planning.spec import Plan, expand_hparams
    from bench.training.trial import run_trial

    data = load_dataset("digits", subset=200)
    [spec] = Plan(subset=200).specs(data, expand_hparams(["ce"], {}, {}), [0.5], [0])
    with pytest.raises(InputError, match="the data is not what the specification names"):
        run_trial(spec, load_dataset("digits", subset=201))


def test_images_are_embedded_for_failed_trials_that_are_to_run_again(tmp_path, monkeypatch):
    words = f"--methods gce --reference none --subset 100 --device cpu --out {tmp_path}"
    arguments = [*words.split(), "--retry-failed"]
    sweep = plan.plan_sweep(requested(run.make_context("bench.run", arguments)))
    for spec in sweep.specs:
        TrialWriter(tmp_path, spec.id, record_of(spec)).finish(Done(status="failed"))
    embedded = []

    class Embedded(Exception):
        pass

    def embed(*arguments, **options):
        embedded.append(arguments)
        raise Embedded

    monkeypatch.setattr("bench.cli.sweep.embed", embed)
    frozen = SimpleNamespace(network=SimpleNamespace(frozen=True))
    with pytest.raises(Embedded):
        execute_sweep(replace(sweep, network=frozen), console())
    assert embedded
