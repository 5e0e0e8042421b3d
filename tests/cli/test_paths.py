"""Options that hold a path, in every command."""

import importlib
from pathlib import Path

import click
import pytest

from bench.cli.paths import NameOrFile, Place, UserPath, expanded

#: Placeholders in --help of what is a path, or may hold one.
PATHS = ("DIR", "FILE", "PLACE", "SPEC", "KIND")

COMMANDS = {
    "bench.cli.run": "run",
    "bench.cli.data": "data",
    "bench.cli.report": "report",
    "bench.cli.study": "study",
    "bench.cli.trial": "trial",
    "bench.cli.noise": "noise",
    "bench.speed.__main__": "speed",
}


def parameters() -> dict[str, click.Parameter]:
    """All parameters of all commands that may hold a path, by command and name."""
    chosen = {}
    for module, entry in COMMANDS.items():
        command = getattr(importlib.import_module(module), entry)
        parts = command.commands if isinstance(command, click.Group) else {"": command}
        for name, part in parts.items():
            for parameter in part.params:
                text = f"{parameter.metavar or ''} {parameter.name}".replace("DIRECTORY", "DIR")
                if (
                    any(word in text for word in PATHS)
                    or parameter.name in ("dataset", "file")
                    or isinstance(parameter.type, click.Path)
                ):
                    chosen[f"{module} {name} {parameter.name}"] = parameter
    return chosen


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "parameter"), parameters().items())
def test_every_option_that_holds_a_path_understands_the_home_folder(name, parameter, home):
    assert isinstance(parameter.type, UserPath | Place | NameOrFile), (
        f"{name} takes ~ for a folder's name"
    )
    context = click.Context(click.Command("x"))
    many = parameter.nargs == -1
    given = ["~/x"] if many else "~/x"
    if isinstance(parameter.type, NameOrFile):
        given = "folder:~/x"
    value = parameter.type_cast_value(context, given)
    assert (
        str(value[0] if many else value)
        == {True: f"folder:{home}/x", False: f"{home}/x"}[given == "folder:~/x"]
    )


def test_all_commands_are_covered():
    names = {name.split()[0] for name in parameters()}
    assert names == set(COMMANDS)
    assert {
        "bench.cli.run  out",
        "bench.cli.run  storage",
        "bench.cli.run  data_dir",
        "bench.cli.run  noise_kind",
    } <= set(parameters())
    assert {
        "bench.cli.report  folders",
        "bench.cli.report  compare",
        "bench.cli.noise import file",
    } <= set(parameters())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("~", "{}"),
        ("~/", "{}/"),
        ("~/a/~b", "{}/a/~b"),
        ("./~x", "./~x"),
        ("a~", "a~"),
        ("/~/x", "/~/x"),
        ("", ""),
    ],
)
def test_only_a_leading_tilde_is_the_home_folder(home, given, kept):
    assert expanded(given) == kept.format(home)


@pytest.mark.parametrize(
    "given", ["digits", "npz:a.npz", "folder:./~x", "labels:/x/~", "openset:fashion_mnist"]
)
def test_names_stay_as_they_are(home, given):
    assert NameOrFile().convert(given, None, None) == given


@pytest.mark.parametrize("kind", [Place(), UserPath(), NameOrFile()])
def test_a_home_folder_of_nobody_is_one_clear_sentence(kind):
    given = (
        "labels:~nobody-of-this-name/x"
        if isinstance(kind, NameOrFile)
        else "~nobody-of-this-name/x"
    )
    with pytest.raises(click.BadParameter, match="no home folder '~nobody-of-this-name'"):
        kind.convert(given, None, None)


def test_an_option_with_an_equals_sign(home, monkeypatch):
    """The shell leaves ~ there as it is."""
    from bench.cli.run import run

    context = run.make_context("run", ["--out=~/sweep", "--dataset=npz:~/my.npz"])
    assert (
        context.params["out"] == f"{home}/sweep"
        and context.params["dataset"] == f"npz:{home}/my.npz"
    )
