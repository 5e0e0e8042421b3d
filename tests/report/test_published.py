"""Published numbers: the form of the files, and what is set beside what."""

import numpy as np
import pandas as pd
import pytest
from fabricate import load_rows, write_trial

from bench.datasets import sources
from bench.errors import InputError
from bench.networks.backbones import BACKBONES
from bench.noise import KINDS
from bench.report.leaderboard import leaderboard
from bench.report.published import (
    COLUMNS,
    FOLDER,
    PROTOCOLS,
    against_published,
    our_names,
    published_section,
    read_published,
)

#: Noise with a rate that this package does not draw, or that nobody has checked.
OTHERS = {"asymmetric-superclass", "asymmetric (definition not checked)"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.name)
def test_files_have_their_form(path):
    table = pd.read_csv(path)
    assert list(table.columns) == COLUMNS and len(table)
    assert table.drop(columns="rate").notna().all(axis=None)
    assert table["accuracy"].between(0, 100).all() and table["rate"].dropna().between(0, 1).all()
    assert set(table["protocol"]) <= set(PROTOCOLS)
    named = {our_names(*pair) for pair in zip(table["dataset"], table["noise"], strict=True)}
    assert {dataset for dataset, _ in named} <= set(sources())
    drawn = table["rate"].notna()
    assert set(table.loc[drawn, "noise"]) <= set(KINDS) | OTHERS
    assert not set(table.loc[~drawn, "noise"]) & {kind for kind in KINDS if kind != "clean"}
    assert not table.duplicated([*COLUMNS[:6], "source"]).any(), "one number for one thing"
    assert set(table["backbone"]) & set(BACKBONES)


def published(**changes) -> pd.DataFrame:
    row = {
        "dataset": "cifar10",
        "noise": "symmetric",
        "rate": 0.5,
        "method": "ce",
        "backbone": "resnet18",
        "protocol": "best test epoch (oracle)",
        "accuracy": 80.0,
        "source": "A (2020)",
    }
    return pd.DataFrame([row | changes])


@pytest.fixture
def board(tmp_path):
    for seed in (0, 1):
        write_trial(
            tmp_path,
            "ce",
            test=[0.85, 0.7],
            noisy_val=[0.2, 0.3],
            seed=seed,
            spec={"dataset": "cifar10"},
            recipe={"backbone": "preact_resnet18"},
        )
    return leaderboard(load_rows([tmp_path]))


@pytest.mark.parametrize(
    ("protocol", "rule", "ours"),
    [
        ("best test epoch (oracle)", "oracle", 85),
        ("last epochs", "last", 70),
        ("validation-selected", "noisy-val", 70),
    ],
)
def test_ours_is_taken_under_their_protocol(board, protocol, rule, ours):
    [row] = against_published(published(protocol=protocol), board).to_dict("records")
    assert (row["rule"], row["ours"], row["difference"]) == (
        rule,
        pytest.approx(ours),
        pytest.approx(ours - 80),
    )
    assert row["seeds"] == 2 and pd.isna(row["not_comparable"])
    assert (
        "backbone resnet18, ours preact_resnet18" in row["differences"]
        and "epochs are not stated" in row["differences"]
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "cifar100"}, "no records on cifar100"),
        (
            {"noise": "symmetric-inclusive"},
            "no records with symmetric-inclusive noise on cifar10: ours have symmetric",
        ),
        ({"rate": 0.8}, "no records at 80 % symmetric noise on cifar10: ours have 50 %"),
        ({"method": "elr"}, "no records of elr in this cell"),
        ({"noise": "human-worst", "rate": np.nan}, "no records on cifar10n"),
    ],
)
def test_what_cannot_be_compared_says_why(board, changes, reason):
    table = against_published(published(**changes), board)
    [row] = table.to_dict("records")
    assert row["not_comparable"] == reason and np.isnan(row["ours"])
    section = published_section(table)
    assert any(reason in note for note in section.notes) and not section.tables


def test_both_variants_of_a_method_are_set_beside_its_number(tmp_path):
    """Authors mostly read the noise rate: ours does so in one row, which says it."""
    for config, privileges in (({}, []), ({"elr.weight": "oracle"}, ["noise_kind"])):
        write_trial(
            tmp_path,
            "elr",
            config=config,
            spec={"dataset": "cifar10"},
            done={"privileges": privileges},
        )
    table = against_published(published(method="elr"), leaderboard(load_rows([tmp_path])))
    assert sorted("ours reads noise_kind" in text for text in table["differences"]) == [False, True]


def test_human_labels_match_whatever_their_rate(tmp_path):
    noise = {"nominal_rate": None, "realised_rate": 0.402}
    spec = {"dataset": "cifar10n", "noise_kind": "human-worst"}
    write_trial(tmp_path, "ce", test=[0.8], rate=None, spec=spec, done={"noise": noise})
    [row] = against_published(
        published(noise="human-worst", rate=np.nan), leaderboard(load_rows([tmp_path]))
    ).to_dict("records")
    assert row["ours"] == pytest.approx(80)


def test_a_file_that_nobody_can_place_is_named(tmp_path):
    published(protocol="best of three").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="best of three"):
        read_published(tmp_path)
    published().drop(columns="source").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="columns"):
        read_published(tmp_path)
    assert read_published(tmp_path / "nowhere").empty


def test_where_nothing_is_published_nothing_is_said(board, tmp_path):
    table = against_published(read_published(tmp_path / "nowhere"), board)
    assert table.empty and published_section(table) is None
