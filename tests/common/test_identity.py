"""Identity of a trial: its id, its folders, its table, and the text of its configuration."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from fabricate import RECIPE, load_rows, write_trial
from golden_tables import write_sweep

from bench.cli.plan import _folder_named, default_folder
from bench.common.identity import (
    added,
    identity,
    neutral_values,
    plain_id,
    short_name,
    trial_id,
    without_neutral,
)
from bench.datasets import ImageFiles, load_dataset
from bench.errors import InputError
from bench.planning import registry
from bench.planning import spec as spec_module
from bench.planning.pretraining import job_for
from bench.planning.spec import Plan, TrialSpec, expand_hparams, record_of
from bench.recipe import Recipe, SimSiam
from bench.records.schema import Recorded
from bench.records.trials import finished_statuses, read_begun, read_trials, without_weights
from bench.report.board import board_of
from bench.report.cells import arrange_cells, cell_facts
from bench.report.choice import configurations
from bench.report.compare import compare
from bench.report.latex import to_latex
from bench.report.sections import sections
from bench.report.writer import write_report
from bench.sweep.run import pending
from bench.tuning.plan import _key_of

ROOT = Path(__file__).parents[2]

SPELLINGS = [
    "folder:d",
    "folder:d/",
    "folder:./d",
    "folder:/home/me/d",
    "folder:~/d",
    "folder:x/../d",
    "folder:../d//",
]


def sections_of(*folders: Path) -> list[str]:
    rows = load_rows(folders)
    return [section.title for section in sections(board_of(rows))]


def spec_of(data, **changes) -> TrialSpec:
    [spec] = Plan(overrides=(("epochs", 1),)).specs(
        data, expand_hparams(["ce"], {}, {}), [0.5], [0]
    )
    return dataclasses.replace(spec, **changes)


# ----------------------------------------------------------------------------
# ids


def test_one_data_set_has_one_id_however_its_path_is_spelt(digits):
    specs = [spec_of(digits, dataset=name) for name in SPELLINGS]
    assert len({spec.id for spec in specs}) == 1
    assert [spec.to_json()["dataset"] for spec in specs] == SPELLINGS, (
        "where it was found stays on record"
    )
    assert spec_of(digits, dataset="folder:d", data_hash="0" * 16).id != specs[0].id
    assert spec_of(digits, dataset="npz:d").id != specs[0].id
    assert spec_of(digits, dataset="d").id != specs[0].id


def test_a_named_data_set_keeps_the_id_that_it_had(digits):
    spec = spec_of(digits).to_json()
    assert identity(spec) is spec and trial_id(spec) == plain_id(spec)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (
            {"noise_kind": "labels:a.npy", "noise_hash": "f0"},
            {"noise_kind": "labels:/x/b.npy", "noise_hash": "f0"},
            True,
        ),
        (
            {"noise_kind": "labels:a.npy", "noise_hash": "f0"},
            {"noise_kind": "labels:a.npy", "noise_hash": "f1"},
            False,
        ),
        (
            {"noise_kind": "matrix:a.npy", "noise_hash": "f0"},
            {"noise_kind": "labels:a.npy", "noise_hash": "f0"},
            False,
        ),
        (
            {"noise_kind": "mine:a.txt", "noise_hash": "f0"},
            {"noise_kind": "mine:../a.txt", "noise_hash": "f0"},
            True,
        ),
        (
            {"noise_kind": "mine:3", "noise_hash": None},
            {"noise_kind": "mine:4", "noise_hash": None},
            False,
        ),
        ({"noise_kind": "openset:folder:d"}, {"noise_kind": "openset:folder:./d"}, True),
        ({"noise_kind": "openset:mnist"}, {"noise_kind": "openset:kmnist"}, False),
        ({"noise_kind": "openset:folder:d"}, {"noise_kind": "openset:npz:d"}, False),
        ({"protocol": "paper, epochs=2"}, {"protocol": "paper"}, True),
        ({"protocol": "shared, epochs=2"}, {"protocol": "shared"}, False),
        ({"protocol": "shared"}, {"protocol": "paper"}, False),
    ],
)
def test_content_counts_and_not_where_it_lies(first, second, same):
    spec = {
        "dataset": "digits",
        "noise_kind": "symmetric",
        "noise_hash": None,
        "protocol": "shared",
    }
    assert (trial_id(spec | first) == trial_id(spec | second)) == same


def test_an_encoder_and_a_search_do_not_depend_on_the_spelling_either(digits):
    openset = {"noise_kind": "openset:folder:d", "dataset": "folder:a"}
    first, second = (
        spec_of(digits, **openset),
        spec_of(digits, noise_kind="openset:folder:./d", dataset="folder:/b/a", stage=""),
    )
    assert job_for(first, SimSiam(1)).key == job_for(second, SimSiam(1)).key
    assert _key_of(first) == _key_of(second)


def test_the_hash_of_images_in_files_does_not_depend_on_where_they_lie(tmp_path):
    hashes = set()
    for folder in ("here", "there/deep"):
        for name in ("a/1.png", "b/ü.png"):
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
        root = tmp_path / folder
        for names in (["a/1.png", "b/ü.png"], [str(root / "a/1.png"), "b/ü.png"]):
            hashes.add(ImageFiles(str(root), np.array(names), 32).fingerprint)
    assert len(hashes) == 1
    (root / "a/1.png").write_bytes(b"another size")
    assert ImageFiles(str(root), np.array(names), 32).fingerprint not in hashes


def test_a_data_set_is_one_by_every_spelling_of_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    labels = np.arange(20) % 2
    np.savez(
        "d.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels
    )
    specs = [
        spec_of(load_dataset(f"npz:{path}")) for path in ("d.npz", "./d.npz", tmp_path / "d.npz")
    ]
    assert len({spec.id for spec in specs}) == 1
    assert len({default_folder([spec]) for spec in specs}) == 1


def test_the_default_folder_of_an_earlier_version_is_used_again(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    spec = spec_of(digits, dataset="folder:./d")
    folder = default_folder([spec])
    earlier = _folder_named([spec], [plain_id(spec.to_json())])
    assert folder != earlier
    earlier.mkdir(parents=True)
    assert default_folder([spec]) == earlier
    folder.mkdir()
    assert default_folder([spec]) == folder


# ----------------------------------------------------------------------------
# what is planned beside it

METHODS = ["ce", "elr", "divide_mix", "co_teaching", "rmd+gce", "softmix", "pes"]


@pytest.mark.parametrize("recipe", ["shared", "paper"])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (("batch_size", 64),),
        (("batch_size", 128), ("epochs", 25)),
        (("learning_rate", 0.02), ("momentum", 0.9), ("weight_decay", 5e-4)),
        (("optimizer", "adam"), ("schedule", "constant")),
    ],
)
def test_an_id_does_not_depend_on_what_is_planned_beside_it(digits, recipe, overrides):
    plan = Plan(recipe=recipe, overrides=overrides)

    def ids(names: list[str]) -> dict[str, str]:
        specs = plan.specs(digits, expand_hparams(names, {}, {}), [0.2], [0])
        return {spec.method: spec.id for spec in specs}

    together = ids(METHODS)
    assert ids(METHODS[::-1]) == together
    for name in METHODS:
        assert ids([name]).items() <= together.items()


@pytest.mark.parametrize("recipe", ["shared", "paper"])
def test_an_id_does_not_depend_on_how_an_override_is_written(digits, recipe):
    def id_of(*overrides) -> str:
        [spec] = Plan(recipe=recipe, overrides=overrides).specs(
            digits, expand_hparams(["elr"], {}, {}), [0.2], [0]
        )
        assert TrialSpec.from_json(json.loads(json.dumps(spec.to_json()))).id == spec.id
        return spec.id

    expected = id_of(("learning_rate", 1.0), ("weight_decay", 0.0))
    assert (
        id_of(("learning_rate", 1), ("weight_decay", 0))
        == id_of(("weight_decay", "0"), ("learning_rate", "1"))
        == expected
    )


def test_shared_recipes_keep_the_ids_that_they_had(digits):
    plan = Plan(overrides=(("batch_size", 128), ("epochs", 3)))
    specs = plan.specs(digits, expand_hparams(["ce", "divide_mix"], {}, {}), [0.5], [0])
    assert {spec.protocol for spec in specs} == {"shared, epochs=3"}, "128 is the recipe's own"
    assert all(spec.id == plain_id(spec.to_json()) for spec in specs)


def table_of(trials: list[dict]) -> dict[str, set[str]]:
    """Return the ids of trials ({id, protocol, recipe}) by the protocol of their table."""
    facts = []
    for trial in trials:
        spec = {**_CELL, "protocol": trial["protocol"], "recipe": RECIPE | trial["recipe"]}
        facts.append(
            cell_facts(msgspec.convert(spec, Recorded), spec) | {"id": trial["id"], "recipe": ""}
        )
    tables: dict[str, set[str]] = {}
    for cell in arrange_cells(facts):
        tables.setdefault(cell["protocol"], set()).add(cell["id"])
    return tables


_CELL = {
    **{"method": "ce", "hparams": {}, "noise_seed": 0, "split_seed": 0, "train_seed": 0},
    **{
        "dataset": "digits",
        "data_hash": "0",
        "subset": None,
        "image_size": None,
        "noise_kind": "symmetric",
    },
    **{"noise_hash": None, "noise_rate": 0.5, "noise_sampling": "exact", "validation_share": 0.1},
    **{"device": "cpu", "precision": "fp32", "threads": 1},
}


def trial(name: str, overrides: str = "", **recipe) -> dict:
    return {"id": name, "protocol": ", ".join(filter(None, ["paper", overrides])), "recipe": recipe}


def test_a_table_of_papers_recipes_holds_what_one_command_runs():
    trials = [trial("elr", batch_size=128), trial("divide_mix", batch_size=64)]
    changed = trial("divide_mix 128", "batch_size=128", batch_size=128)
    assert table_of(trials) == {"paper": {"elr", "divide_mix"}}
    assert table_of([trials[0], changed]) == {"paper, batch_size=128": {"elr", "divide_mix 128"}}
    assert table_of([*trials, changed]) == {
        "paper": {"elr", "divide_mix"},
        "paper, batch_size=128": {"elr", "divide_mix 128"},
    }


def test_methods_that_have_one_of_two_changes_as_their_own_are_in_one_table():
    both = {"batch_size": 128, "epochs": 50}
    first = trial("a", "epochs=50", **both)  # its own batch size is 128
    second = trial("b", "batch_size=128", **both)  # it trains for 50 epochs by itself
    assert table_of([first, second]) == {"paper, batch_size=128, epochs=50": {"a", "b"}}
    third = trial("c", "batch_size=128, epochs=50", **both)
    assert table_of([third, first, second]) == {"paper, batch_size=128, epochs=50": {"a", "b", "c"}}


def test_commands_with_different_changes_have_tables_of_their_own():
    short = [trial("a 2", "epochs=2", epochs=2), trial("b 2", "epochs=2", epochs=2)]
    long = [trial("a 9", "epochs=9", epochs=9), trial("b 9", "epochs=9", epochs=9)]
    assert table_of([*short, *long]) == {
        "paper, epochs=2": {"a 2", "b 2"},
        "paper, epochs=9": {"a 9", "b 9"},
    }


def test_a_tuned_row_is_in_the_table_of_its_default(tmp_path):
    """An override that equals the method's own recipe is no change."""
    write_trial(tmp_path, "divide_mix", spec={"protocol": "paper, batch_size=128"})
    # as an earlier version planned it
    write_trial(tmp_path, "elr", spec={"protocol": "paper, batch_size=128"})
    for fields in ({"stage": "search tuned noisy-val none", "train_seed": 9}, {"stage": "tuned"}):
        write_trial(
            tmp_path, "elr", config={"elr.weight": 1.0}, spec={"protocol": "paper", **fields}
        )
    rows = load_rows([tmp_path])
    assert rows["group"].nunique() == 1
    assert set(rows["method"]) == {"divide_mix", "elr", "elr (tuned)"}


# ----------------------------------------------------------------------------
# earlier records


def found_noise(name: str, **fields) -> dict:
    return {
        "spec": {"dataset": name, "noise_kind": "found", "noise_rate": None, **fields},
        "rate": None,
    }


def test_records_of_an_earlier_version_are_found_and_run_no_more(tmp_path, digits):
    spec = spec_of(digits, dataset="folder:d", noise_kind="found", noise_rate=None)
    folder = write_trial(tmp_path, "ce", spec=spec.to_json(), earlier=True)
    assert folder.name != spec.id
    assert finished_statuses(tmp_path) == {spec.id: "finished"}
    for name in SPELLINGS:
        assert pending([dataclasses.replace(spec, dataset=name)], tmp_path) == []
    assert [trial.id for trial in read_trials(tmp_path)] == [spec.id]
    assert without_weights(tmp_path, [spec.id]) == 1
    (folder / "model.safetensors").touch()
    assert without_weights(tmp_path, [spec.id]) == 0


def test_changed_defaults_do_not_hide_a_record(tmp_path, digits):
    """The record says which settings differed from the defaults of its time."""
    spec = spec_of(digits)
    folder = write_trial(tmp_path, "ce", spec=spec.to_json())
    content = json.loads((folder / "spec.json").read_bytes())
    (folder / "spec.json").write_text(json.dumps(content | {"config": {"ce.gone": 1}}))
    assert record_of(spec).config == {}
    assert pending([spec], tmp_path) == []


def test_several_records_of_one_trial_count_once(tmp_path):
    for name, test in (("folder:d", [0.4]), ("folder:./d", [0.4]), ("folder:/x/d", [0.4])):
        write_trial(tmp_path / "old", "ce", test=test, earlier=True, **found_noise(name))
    write_trial(tmp_path / "new", "ce", test=[0.4], **found_noise("folder:~/d"))
    assert len(list((tmp_path / "old" / "trials").iterdir())) == 3
    for folders in (
        [tmp_path / "old"],
        [tmp_path / "old", tmp_path / "new"],
        [tmp_path / "new", tmp_path / "old"],
    ):
        [row] = load_rows(folders).query("rule == 'last'").to_dict("records")
        assert (row["test_accuracy"], row["dataset"]) == (0.4, "folder:d")
    pairs = compare([tmp_path / "old"], [tmp_path / "new"]).table.query("rule == 'last'")
    assert pairs["pairs"].tolist() == [1]


@pytest.mark.parametrize(
    "statuses",
    [("failed", "finished"), ("finished", "failed"), ("lost", "finished"), ("finished", "lost")],
)
def test_a_result_comes_before_a_failure_of_the_same_trial(tmp_path, statuses):
    first, second = statuses
    earlier = write_trial(tmp_path, "ce", status=first, earlier=True, **found_noise("folder:d"))
    later = write_trial(tmp_path, "ce", status=second, **found_noise("folder:d"))
    write_trial(tmp_path, "elr", **found_noise("folder:d"))
    assert earlier != later
    assert set(finished_statuses(tmp_path).values()) == {"finished"}
    assert load_rows([tmp_path]).query("method == 'ce' and rule == 'last'")["status"].tolist() == [
        "finished"
    ]
    assert [
        status for _, content, status in read_begun(tmp_path) if content.spec["method"] == "ce"
    ] == ["finished"]


def test_a_folder_that_fits_neither_rule_is_refused(tmp_path):
    folder = write_trial(tmp_path, "ce", earlier=True, **found_noise("folder:d"))
    text = (folder / "spec.json").read_text().replace('"folder:d"', '"folder:e"')
    (folder / "spec.json").write_text(text)
    with pytest.raises(InputError, match="is not the specification that its folder is named after"):
        list(read_trials(tmp_path))


# ----------------------------------------------------------------------------
# names


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_heading_does_not_depend_on_the_spelling(tmp_path, name):
    write_trial(tmp_path, "ce", **found_noise(name))
    assert sections_of(tmp_path) == ["folder:d, found noise, recipe shared"]


def test_names_for_people():
    names = {
        "digits": "digits",
        "npz:a/b.npz": "npz:b.npz",
        "folder:.": "folder:.",
        "openset:folder:a/b": "openset:folder:b",
    }
    assert {name: short_name(name) for name in names} == names


def test_one_data_set_is_one_cell_with_one_heading(tmp_path):
    for seed, name in enumerate(["folder:.", "folder:/somewhere/else", "folder:../d/"]):
        write_trial(tmp_path, "ce", seed=seed, **found_noise(name))
    assert sections_of(tmp_path) == ["folder:d, found noise, recipe shared"]
    assert configurations(load_rows([tmp_path]))["seeds"].unique() == [3]


def test_two_data_sets_of_one_name_are_told_apart(tmp_path):
    write_trial(tmp_path, "ce", **found_noise("folder:a/d", data_hash="aaaaaaaaaaaaaaaa"))
    write_trial(tmp_path, "ce", **found_noise("folder:b/d", data_hash="bbbbbbbbbbbbbbbb"))
    write_trial(tmp_path, "ce", **found_noise("npz:b/d", data_hash="cccccccccccccccc"))
    assert sections_of(tmp_path) == [
        "folder:d (aaaaaaaa), found noise, recipe shared",
        "folder:d (bbbbbbbb), found noise, recipe shared",
        "npz:d, found noise, recipe shared",
    ]
    subsets = tmp_path / "subsets"
    # parts of one folder have hashes of their own
    for subset, content in ((None, "a" * 16), (100, "b" * 16)):
        write_trial(subsets, "ce", **found_noise("folder:d", data_hash=content, subset=subset))
    assert set(load_rows([subsets])["dataset"]) == {"folder:d"}


def test_files_of_labels_are_told_apart_by_content(tmp_path):
    for path, content in (
        ("labels:x/n.npy", "f" * 16),
        ("labels:n.npy", "f" * 16),
        ("labels:y/n.npy", "e" * 16),
    ):
        write_trial(
            tmp_path,
            "ce",
            rate=None,
            seed=len(path),
            spec={"noise_kind": path, "noise_hash": content},
        )
    rows = load_rows([tmp_path]).query("rule == 'last'")
    assert rows.groupby("noise_kind")["cell"].agg(["size", "nunique"]).T.to_dict("list") == {
        "labels:n.npy (eeeeeeee)": [1, 1],
        "labels:n.npy (ffffffff)": [2, 1],
    }


# ----------------------------------------------------------------------------
# younger fields


@pytest.fixture
def younger(monkeypatch):
    """Give gce a hyper-parameter, and the recipe a field, that earlier versions lack."""
    gce = registry.load_method("gce")

    @dataclasses.dataclass(frozen=True)
    class HParams(gce.HParams):
        sharpness: float = added(0.5, neutral=0.0)

    @dataclasses.dataclass(frozen=True)
    class Younger(Recipe):
        clip: float = added(1.0, neutral=0.0)

    monkeypatch.setattr(gce, "HParams", HParams)
    monkeypatch.setattr(spec_module, "Recipe", Younger)
    monkeypatch.setattr(
        spec_module, "RECIPE_FIELDS", tuple(field.name for field in dataclasses.fields(Younger))
    )
    registry.hyper_parameter_types.cache_clear()
    yield Younger
    registry.hyper_parameter_types.cache_clear()


def test_a_younger_field_leaves_earlier_ids_alone(digits, request):
    [before] = Plan().specs(digits, expand_hparams(["gce"], {}, {}), [0.5], [0])
    values = before.to_json()
    younger = request.getfixturevalue("younger")
    again = TrialSpec.from_json(values)
    assert (again.hparams["gce.sharpness"], again.recipe.clip) == (0.0, 0.0), (
        "as before there was such a thing"
    )
    assert again.to_json() == values and again.id == before.id
    [new] = Plan().specs(digits, expand_hparams(["gce"], {}, {}), [0.5], [0])
    assert new.hparams["gce.sharpness"] == 0.5 and new.id != before.id
    clipped = dataclasses.replace(again, recipe=younger(**vars(again.recipe) | {"clip": 3.0}))
    assert clipped.id != before.id
    for spec in (new, clipped):
        copy = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert (copy.id, copy.hparams, copy.to_json()) == (spec.id, spec.hparams, spec.to_json())


def test_the_neutral_value_may_be_the_default():
    @dataclasses.dataclass
    class Settings:
        old: int = 1
        later: int = added(0, neutral=0)

    assert neutral_values(Settings) == {"later": 0}
    assert without_neutral(vars(Settings()), neutral_values(Settings)) == {"old": 1}
    assert without_neutral(vars(Settings(later=2)), neutral_values(Settings)) == {
        "old": 1,
        "later": 2,
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"colour": "red"},
            "has colour, which this version does not know: run the trial with the version that "
            "wrote it",
        ),
        ({"recipe": RECIPE | {"clip": 1.0}}, r"has recipe\.clip, which this version does not know"),
        ({"hparams": {"ce.gone": 1}}, "there is no hyper-parameter of ce 'ce.gone'"),
    ],
)
def test_what_this_version_does_not_know_is_read_in_reports_and_refused_for_running(
    tmp_path, digits, change, named
):
    spec = spec_of(digits).to_json() | change
    with pytest.raises(InputError, match=named):
        TrialSpec.from_json(spec)
    folders = [
        write_trial(tmp_path, "ce", spec=spec),
        write_trial(tmp_path, "ce", spec=spec_of(digits).to_json() | {"train_seed": 5}),
    ]
    assert set(load_rows([tmp_path])["id"]) == {folder.name for folder in folders}
    write_report([tmp_path], tmp_path, plots=False)


def test_trials_that_differ_in_an_unknown_field_are_not_comparable(tmp_path):
    for colour in ({}, {"colour": "red"}, {"graphs": True}):
        write_trial(tmp_path, "ce", spec=colour)
    rows = load_rows([tmp_path])
    assert rows["cell"].nunique() == rows["group"].nunique() == 3
    setups = [section.setup for section in sections(board_of(rows))]
    assert len(set(setups)) == 3 and sum("colour=red" in setup for setup in setups) == 1


# ------------------------------------------------------------------------------------------- labels
# of configurations


def labels(sweep: Path) -> list[str]:
    return sorted(configurations(load_rows([sweep])).query("rule == 'last'")["config"])


def test_a_changed_default_leaves_two_configurations_and_two_labels(tmp_path):
    """Both records say that nothing was changed; one is of a version with another default."""
    today = registry.resolve("gce", {})
    for q in (today["gce.q"], 0.3):
        write_trial(tmp_path, "gce", defaults=today | {"gce.q": q}, test=[q])
    assert labels(tmp_path) == ["", "gce.q=0.3"]
    report = write_report([tmp_path], tmp_path / "out", reference="none", plots=False)
    configs = pd.read_csv(tmp_path / "out" / "configs.csv", keep_default_na=False)
    assert set(configs["config"]) == {"", "gce.q=0.3"}
    assert set(zip(configs["config"], configs["mean"], strict=True)) == {
        ("", 0.7),
        ("gce.q=0.3", 0.3),
    }
    [row] = (
        configurations(load_rows([tmp_path])).query("rule == 'last' and chosen").to_dict("records")
    )
    assert (row["config"], row["is_default"]) == ("", True)
    [section] = report.sections
    assert any("Configurations chosen" in table.caption for table in section.tables)


def test_the_defaults_are_todays(tmp_path):
    today = registry.resolve("gce", {})
    write_trial(tmp_path, "gce", config={"gce.q": today["gce.q"]}, defaults=today | {"gce.q": 0.3})
    [row] = load_rows([tmp_path]).query("rule == 'last'").to_dict("records")
    assert (row["config"], row["is_default"], row["track"]) == ("", True, "default")
    write_trial(tmp_path / "other", "gce", defaults=today | {"gce.q": 0.3})
    [row] = load_rows([tmp_path / "other"]).query("rule == 'last'").to_dict("records")
    assert (row["config"], row["is_default"], row["track"]) == ("gce.q=0.3", False, "given")


@pytest.mark.parametrize("method", ["from_elsewhere", "from_elsewhere+ce", "ce+nowhere"])
def test_configurations_of_a_method_that_is_not_here_are_told_apart(tmp_path, method):
    for settings in ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 3, "c": True}):
        write_trial(
            tmp_path, method, defaults={f"m.{key}": value for key, value in settings.items()}
        )
    write_trial(tmp_path, method, defaults={"m.a": 1, "m.b": 2}, config={"m.b": 4})
    assert labels(tmp_path) == ["m.b=2", "m.b=3", "m.b=3 m.c=True", "m.b=4"]


@pytest.mark.parametrize(
    "values", [(0.1234567, 0.1234568), (1, 1.0, "1"), (True, "True"), (None, "None")]
)
def test_settings_that_print_alike_are_told_apart(tmp_path, values):
    for value in values:
        write_trial(tmp_path, "from_elsewhere", config={"m.a": value})
    assert len(set(labels(tmp_path))) == len(values)


def test_a_removed_hyper_parameter_shows_what_the_record_says(tmp_path):
    today = registry.resolve("gce", {})
    write_trial(tmp_path, "gce", defaults=today | {"gce.gone": 3})
    write_trial(tmp_path, "gce", defaults=today, config={"gce.gone": 5})
    write_trial(tmp_path, "gce", defaults=today)
    assert labels(tmp_path) == ["", "gce.gone=3", "gce.gone=5"]


def test_a_younger_hyper_parameter_is_neutral_where_a_record_lacks_it(tmp_path, request):
    today = registry.resolve("gce", {})
    write_trial(tmp_path, "gce", defaults=today)
    request.getfixturevalue("younger")
    monkeypatch = request.getfixturevalue("monkeypatch")
    # which reads the file, and that has not changed
    monkeypatch.setattr("bench.report.labels._written", lambda part: None)
    write_trial(tmp_path, "gce", defaults=registry.resolve("gce", {}))
    assert labels(tmp_path) == ["", "gce.sharpness=0"]


def test_a_record_from_before_a_hyper_parameter_is_not_called_todays_default(tmp_path):
    """The author of the field did not declare its neutral value."""
    today = registry.resolve("gce", {})
    for accuracy, lacking in ((0.3, set()), (0.5, {"gce.q"}), (0.4, {"gce.q", "gce.truncated"})):
        settings = {key: value for key, value in today.items() if key not in lacking}
        write_trial(tmp_path, "gce", defaults=settings, test=[accuracy])
    table = configurations(load_rows([tmp_path])).query("rule == 'last'").set_index("config")
    expected = {"": 0.3, "gce.q=unknown": 0.5, "gce.q=unknown gce.truncated=unknown": 0.4}
    assert table["mean"].to_dict() == expected
    assert table["is_default"].to_dict() == {config: not config for config in expected}


def test_defaults_are_read_from_files_as_they_are_declared():
    from bench.report.labels import _declared, _written

    read = {name: _written(name) for name in registry.method_names()}
    assert {name: values for name, values in read.items() if values} == {
        n: _declared(n) for n, values in read.items() if values
    }
    assert sum(values is not None for values in read.values()) > 20, "without running their files"


def test_two_sides_of_a_comparison_call_a_configuration_the_same(tmp_path):
    today = registry.resolve("gce", {})
    for side, q in (("first", 0.3), ("second", 0.3), ("second", today["gce.q"])):
        write_trial(tmp_path / side, "gce", defaults=today | {"gce.q": q})
    table = compare([tmp_path / "first"], [tmp_path / "second"]).table.query("rule == 'last'")
    assert dict(zip(table["config"], table["pairs"], strict=True)) == {"": 0, "gce.q=0.3": 1}
    for side, a in (("first", 1), ("second", 2)):
        write_trial(tmp_path / "absent" / side, "from_elsewhere", defaults={"m.a": a})
    table = compare([tmp_path / "absent" / "first"], [tmp_path / "absent" / "second"]).table
    assert set(table["config"]) == {"m.a=1", "m.a=2"} and set(table["pairs"]) == {0}


def test_a_changed_paper_recipe_is_another_configuration(tmp_path):
    for rate in (0.02, 0.05):
        write_trial(
            tmp_path, "ce", spec={"protocol": "paper"}, recipe={"learning_rate": rate}, test=[rate]
        )
    assert labels(tmp_path) == ["recipe.learning_rate=0.02", "recipe.learning_rate=0.05"]
    assert load_rows([tmp_path])["group"].nunique() == 1


@pytest.mark.parametrize(
    "change", [{"dataset": 5}, {"noise_kind": None}, {"protocol": ["paper"]}, {"recipe": [1]}]
)
def test_a_specification_of_other_types_is_named(tmp_path, change):
    folder = write_trial(tmp_path, "ce", spec={"dataset": "digits"} | change)
    with pytest.raises(InputError, match=f"'{folder}' is no trial's record"):
        load_rows([tmp_path])


def test_codes_and_changes_of_other_types_do_no_harm(tmp_path):
    for seed, code in enumerate(["abc", ["a"], 5, {"harness": 3}]):
        write_trial(tmp_path, "ce", seed=seed, done={"code": code})
    assert len(load_rows([tmp_path]).query("rule == 'last'")) == 4
    write_report([tmp_path], tmp_path / "out", plots=False)


def test_settings_that_some_records_lack_are_drawn(tmp_path):
    from bench.report.plots import figures

    for settings in (
        {"m.a": 1},
        {"m.a": 2},
        {"m.a": 1, "m.b": 3},
        {"m.a": 2, "m.b": 3},
        {"m.a": 1, "m.b": "x"},
    ):
        write_trial(tmp_path, "from_elsewhere", defaults=settings)
    for value in ([1, 2], [1, 3], {"c": 1}, None):
        write_trial(tmp_path, "from_elsewhere", defaults={"m.a": 1, "m.b": value})
    write_trial(tmp_path, "ce")
    names = figures(board_of(load_rows([tmp_path])))
    assert "digits_symmetric-sweep-from_elsewhere-b-a" in names


# ----------------------------------------------------------------------------
# nothing by chance

PROGRAM = """
import sys
from pathlib import Path
from bench.datasets import load_dataset
from bench.report.writer import write_report
from bench.planning.spec import Plan, expand_hparams
from bench.planning.code_hash import code_of
sweep, out = map(Path, sys.argv[1:])
data = load_dataset("digits")
methods = ["rmd+elr", "softmix", "co_teaching"]
configurations = expand_hparams(methods, {"k": ["2", "4"]}, {"elr.weight": ["1", "2"]})
for recipe in ("shared", "paper"):
    plan = Plan(recipe=recipe, overrides=(("batch_size", 128), ("epochs", 3), ("momentum", 0.9)))
    for spec in plan.specs(data, configurations, [0.2, 0.5], range(2)):
        print(spec.id, spec.label)
print(data.content_hash, code_of("rmd+elr"))
write_report([sweep], out, plots=False)
"""


def surroundings(seed: str, locale: str) -> dict[str, str]:
    return os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "LANG": locale}


def test_nothing_depends_on_the_hash_seed_or_the_locale(tmp_path):
    sweep = tmp_path / "sweep"
    write_sweep(sweep)
    for name in ("folder:x/d", "folder:d"):
        write_trial(sweep, "from_elsewhere", defaults={"m.a": len(name)}, **found_noise(name))
    running = []
    for seed, locale in (("0", "C"), ("4242", "C.UTF-8")):
        command = [sys.executable, "-c", PROGRAM, str(sweep), str(tmp_path / seed)]
        output = {"env": surroundings(seed, locale), "stdout": subprocess.PIPE, "cwd": ROOT}
        running.append(subprocess.Popen(command, **output))
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert printed[0] == printed[1] and printed[0].count(b"\n") > 40
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()}
        for seed in ("0", "4242")
    ]
    assert written[0] == written[1] and len(written[0]) > 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [["--tune", "3", "--set", "elr.weight=2", "--set", "gce.q=0.5"], ["--recipe", "paper"]]
)
def test_a_dry_run_is_the_same_in_every_process(tmp_path, more):
    command = [
        sys.executable,
        "-m",
        "bench.run",
        "--methods",
        "elr,gce,softmix",
        "--noise",
        "0.2,0.5",
        "--epochs",
        "2",
    ]
    command += ["--batch-size", "128", "--dry-run", *more]
    printed = set()
    for seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("4242", "POSIX")):
        done = subprocess.run(
            command, env=surroundings(seed, locale), capture_output=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr.decode()
        printed.add(done.stdout.partition(b"estimate:")[0])
    [lines] = printed
    assert lines.count(b"\n") > 10


def test_the_order_of_folders_on_disk_does_not_matter(tmp_path, monkeypatch):
    for seed in range(3):
        for method in ("ce", "elr", "gce"):
            write_trial(tmp_path, method, seed=seed, test=[0.3 + seed / 10])
    listdir = os.listdir
    reports = []
    for order in (
        sorted,
        lambda names: sorted(names, reverse=True),
        lambda names: sorted(names, key=lambda name: name[::-1]),
    ):
        monkeypatch.setattr(os, "listdir", lambda path, order=order: order(listdir(path)))
        rows = load_rows([tmp_path])
        reports.append(to_latex(board_of(rows)))
    assert len(set(reports)) == 1
