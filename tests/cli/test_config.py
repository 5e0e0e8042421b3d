"""Sweeps as files: options read from YAML and from sweep.json, and what is wrong with a file."""

import json
from pathlib import Path

import click
import pytest
import yaml
from commands import call

from bench.cli.commands import HEADINGS, Option
from bench.cli.request import Request
from bench.cli.run import run
from bench.common.files import to_json
from bench.errors import InputError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into an empty working directory, and return its path."""
    monkeypatch.chdir(tmp_path)

    def write_file(content: str | bytes, name: str = "sweep.yaml") -> str:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write_file


def request_of(*words: str) -> Request:
    return Request.of(run.make_context("run", list(words)).params)


SWEEP = """
methods: [rmd, softmix]        # a list, where the command line has commas
noise: 0.2,0.5
noise_kind: asymmetric
--batch-size: 064
seeds: 1
no-plots: yes
save-models: false
out: ~
set:
  rmd.weight: [10, 1e1]
  recipe.learning_rate: 1e-2
"""
WORDS = [
    *("--methods", "rmd,softmix", "--noise", "0.2,0.5", "--noise-kind", "asymmetric"),
    *("--batch-size", "064", "--seeds", "1", "--no-plots", "--set", "rmd.weight=10,1e1"),
    *("--set", "recipe.learning_rate=1e-2"),
]


def test_a_file_means_what_the_same_words_mean_on_the_command_line(write):
    assert request_of("--config", write(SWEEP)) == request_of(*WORDS)
    listed = SWEEP.partition("set:")[0] + 'set: ["rmd.weight=10,1e1", recipe.learning_rate=1e-2]'
    assert request_of("--config", write(listed)) == request_of(*WORDS)
    quoted = {"methods": "gce", "scheduler": "none", "reference": "none", "epochs": 3}
    for text in (yaml.safe_dump(quoted), json.dumps(quoted), "\ufeff" + json.dumps(quoted)):
        request = request_of("--config", write(text))
        assert request == request_of("--methods", "gce", "--reference", "none", "--epochs", "3")


def test_the_command_line_overrides_the_file(write):
    path = write(SWEEP)
    for words in (
        ["--config", path, "--noise", "0.8", "--seeds", "2"],
        ["--noise", "0.8", "--config", path, "--seeds", "2"],
    ):
        request = request_of(*words)
        assert request.noise.noise == [0.8] and request.training.seeds == 2
        assert request.methods.methods == ["rmd", "softmix"]
    settings = request_of("--config", path, "--set", "rmd.weight=3").methods.settings
    assert settings == {"rmd.weight": ["3"], "recipe.learning_rate": ["1e-2"]}, (
        "a setting replaces the file's of the same name alone"
    )


def test_a_file_goes_before_the_environment(write, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_GRAPHS", "1")
    assert request_of("--methods", "ce").training.graphs
    assert not request_of("--config", write("methods: ce\ngraphs: no")).training.graphs


EVERYTHING = [
    *("--methods", "rmd,née 猫 😀", "--noise", "0,0.5", "--noise-kind", "pairflip", "--k", "1,4"),
    *("--noise-seed", "0", "--split-seed", "0", "--misspecify", "0.5,1", "--temperature", "0.1"),
    *("--dataset", "folder:x", "--data-dir", "d", "--image-size", "32", "--subset", "100"),
    *("--seeds", "1", "--recipe", "paper", "--epochs", "2", "--batch-size", "32", "--graphs"),
    *("--backbone", "tiny_cnn", "--device", "cpu", "--precision", "fp32", "--tune", "2"),
    *("--tune-seconds", "1.5", "--tune-for", "oracle", "--scheduler", "asha", "--transfer"),
    *("--reference", "gce", "--cpus-per-trial", "2", "--gpus-per-trial", "0", "--address", "auto"),
    *("--max-concurrent", "1", "--storage", "s", "--trial-timeout", "9", "--out", "o"),
    *("--save-models", "--save-features", "--retry-failed", "--checkpoint-seconds", "0"),
    *("--track", "mlflow", "--no-plots", "--details", "--set", "rmd.weight=1,2"),
    *("--set", "recipe.gamma=0.5", "--noise-sampling", "independent", "--weights", "w.pth"),
    *("--network-size", "64", "--freeze", "--head", "linear", "--views", "2", "--weight", "3"),
    *("--sampler", "cmaes", "--start-from", "results/before"),
]


@pytest.mark.parametrize("words", [EVERYTHING, WORDS, ["--methods", "ce"]])
def test_options_of_a_sweep_are_read_back(words, write):
    request = request_of(*words)
    options = request.options()
    record = to_json({"schema": 1, "command": words, "options": options, "runs": []}, indent=1)
    for content in (record, yaml.safe_dump(options)):
        assert request_of("--config", write(content, "sweep.json")) == request
    if words is EVERYTHING:
        names = {param.opts[0].removeprefix("--") for param in run.params if param.expose_value}
        assert set(options) == names - {"dry-run", "list", "format"}, "every option is in it"


def test_a_sweep_json_of_an_earlier_version_is_read_by_its_command(write):
    old = {"schema": 1, "command": WORDS, "runs": [{"command": WORDS}]}
    assert request_of("--config", write(json.dumps(old))) == request_of(*WORDS)


REFUSED = {
    "epoch: 3": "there is no option 'epoch': did you mean epochs?",
    "noise_knid: x": "there is no option 'noise_knid': did you mean noise-kind",
    "config: x": "there is no option 'config'",
    "help: yes": "there is no option 'help'",
    "epochs: many": "epochs: 'many' is not a valid integer",
    "epochs: 2.5": "epochs: '2.5' is not a valid integer",
    "epochs: true": "epochs: 'true' is not a valid integer",
    "epochs: [1, 2]": "epochs is a list: give one value",
    "seeds: {a: 1}": "seeds has a mapping: give a text or a number",
    "noise: [0.2, x]": "noise: '0.2,x' is no list of numbers",
    "noise: []": "noise: the list is empty",
    "noise: [[0.2]]": "noise has a list in a list",
    "methods: [ce, ~]": "methods has an empty value",
    "tune-seconds: nan": "tune-seconds: 'nan' is no number to count with",
    "precision: fp8": "precision: 'fp8' is not one of",
    "no-plots: 3": "no-plots is '3': write true or false",
    "set: weight": "set: 'weight' is no setting",
    "set: {elr: {weight: 3}}": "elr has a mapping: write each setting as elr.weight: value",
    "set: [elr.weight=1, elr.weight=2]": "elr.weight is set twice",
    "epochs: 1\nepochs: 2": "'epochs' is given twice: give it once",
    "noise-kind: a\nnoise_kind: b": "noise-kind is given twice: give it once",
    '{"epochs": 1, "epochs": 2}': "'epochs' is given twice: give it once",
    "": "the file holds no options: write each on its own line, as epochs: 10",
    "# nothing": "the file holds no options",
    "- epochs": "the file holds no options",
    "epochs": "the file holds no options",
    "&a [*a]": "the file holds no options",
    "? [a]\n: b": "['a'] is no name of an option: write name: value",
    "epochs: [1": "the file is not valid YAML: ",
    "epochs: 1\n  seeds: 2": "mapping values are not allowed here (line 2)",
    '{"epochs": 1, "seeds"': "the file is not valid YAML: ",
    "a: 1\n---\nb: 2": "expected a single document in the stream, but found another document",
    "epochs: !!python/name:os.system": "(line 1): write plain texts, lists and mappings, without",
    "epochs: \x00": "the file is not valid YAML: ",
    "set: &a {x: *a}": "the file is not valid YAML: ",
    "[" * 5000: "the file is nested too deeply: write each option as name: value",
    '{"a":' * 5000: "the file is ",
    r'{"out": "a\u0000b"}': r"out: 'a\x00b' holds a null byte, which no path does: leave it out",
    r'{"noise-kind": "labels:a\u0000b.npy"}': "holds a null byte, which no path does",
    '{"schema": 1, "runs": []}': "the sweep.json is damaged: it names neither options nor command",
}


@pytest.mark.parametrize("content", REFUSED, ids=lambda content: content[:40])
def test_a_wrong_file_is_one_sentence_and_status_2(content, write, capsys):
    status, text, errors = call(capsys, "--config", write(content), "--methods", "ce")
    assert status == 2 and not text
    assert errors.startswith("Error: --config 'sweep.yaml': ") and errors.count("\n") == 1
    assert REFUSED[content] in errors


def test_a_very_long_name_is_cut_in_the_message(write, capsys):
    status, _, errors = call(capsys, "--config", write(f"methods: {'a' * 100_000}"))
    assert status == 2 and "aaa...': choose from" in errors and len(errors) < 2_000


def test_a_file_that_cannot_be_read_is_one_sentence(write, capsys):
    Path(write("epochs: \xe9".encode("latin-1"), "latin.yaml"))
    for name, message in (
        ("nowhere.yaml", "the file cannot be read (No such file or directory): give a YAML file"),
        (".", "the file cannot be read (Is a directory): give a YAML file"),
        ("latin.yaml", "the file is no text in UTF-8: save it as UTF-8"),
    ):
        status, _, errors = call(capsys, "--config", name)
        assert (status, errors) == (2, f"Error: --config {name!r}: {message}\n")


def test_a_sweep_is_given_its_options(write, capsys, monkeypatch):
    """The options of the file and of the command line together; sweep.json holds them."""
    import bench.cli.sweep
    from bench.sweep.provenance import describe

    def run_sweep(specs, data, out, *, command, options, **others):
        (out / "sweep.json").write_bytes(to_json(describe(specs, command, out, options)))
        raise InputError("enough")

    monkeypatch.setattr(bench.cli.sweep, "run_sweep", run_sweep)
    monkeypatch.setattr("sys.argv", ["bench.run"])
    path = write("methods: gce\nsubset: 100\nepochs: 1\nseeds: 1\nno-plots: yes\nout: here\n")
    assert "enough" in call(capsys, "--config", path, "--epochs", "2")[2]
    Path(path).unlink()
    for number in range(2):
        facts = json.loads(Path("here/sweep.json").read_text())
        assert facts["options"] == facts["runs"][number]["options"]
        assert facts["options"]["methods"] == ["gce"] and facts["options"]["epochs"] == 2
        assert len(facts["trials"]) == 2
        assert "enough" in call(capsys, "--config", "here/sweep.json")[2]
    status, text, _ = call(capsys, "--config", "here/sweep.json", "--out", "there", "--dry-run")
    assert status == 0 and "2 trials" in text


def test_every_option_is_under_the_heading_of_its_part():
    """The parts of a request are the headings of the help."""
    for param in run.params:
        if isinstance(param, Option) and param.heading != "General":
            assert param.heading in HEADINGS
            part = Request.__dataclass_fields__[param.heading.lower()].type
            assert param.name in part.__dataclass_fields__, param.name


def test_help_has_headings_and_says_something_of_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, text, _ = call(capsys, "--help")
    assert status == 0 and max(map(len, text.splitlines())) <= 80
    headings = [line[:-1] for line in text.splitlines() if line and line[0] != " "][1:]
    assert tuple(headings) == HEADINGS
    for param in run.params:
        if isinstance(param, click.Option):
            assert param.help and param.help[0].isupper() and param.help.endswith((".", "..."))
