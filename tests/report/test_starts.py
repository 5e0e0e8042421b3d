"""Reports of trials that start from pretrained networks, from fabricated records."""

import io

import pandas as pd
import pytest
from fabricate import load_rows, write_trial
from rich.console import Console

from bench.cli.tables import print_sections
from bench.report.board import read_board
from bench.report.compare import compare
from bench.report.latex import to_latex
from bench.report.leaderboard import leaderboard
from bench.report.markdown import to_markdown
from bench.report.page_data import page_data
from bench.report.plots import figures
from bench.report.published import COLUMNS, against_published
from bench.report.sections import sections
from bench.report.writer import write_comparison, write_report

NETWORK = {
    "network": "timm:tf_efficientnet_lite0.in1k",
    "weights": "1234abcd" + 56 * "0",
    "data": "ImageNet-1k",
    "size": 160,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "frozen": True,
    "views": 0,
}
FACTS = {"licence": "apache-2.0", "embedding_seconds": 38.04, "features_checksum": "aa"}
HEAD = {"backbone": "mlp"}
FROZEN = (
    "frozen timm:tf_efficientnet_lite0.in1k (pretrained:ImageNet-1k, 160 pixels, weights 1234abcd)"
)
ESCAPED = FROZEN.replace("_", r"\_")  # in Markdown
TITLE = "recipe shared, frozen timm:tf_efficientnet_lite0.in1k (pretrained:ImageNet-1k)"

#: Changes of a frozen network that make its rows incomparable.
OTHERS = [
    {"frozen": False},
    {"weights": "5678abcd" + 56 * "0"},
    {"weights": "1234abcd" + 56 * "1"},
    {"network": "timm:resnet50.tv_in1k"},
    {"data": "unknown"},
    {"size": 224},
    {"views": 4},
    {"mean": [0.4, 0.5, 0.5]},
    {"interpolation": "bilinear"},
]


def write(sweep, method="ce", test=(0.5,), changes=None, spec=None, facts=None, **fields):
    """Write a trial that starts from the pretrained network, with these changes."""
    network = {"pretrained": NETWORK | (changes or {})}
    done = {"pretrained": FACTS | (facts or {}), "pretrain_seconds": 38.04}
    done |= fields.pop("done", {})
    recipe = {**HEAD, **fields.pop("recipe", {})}
    spec = {**network, **(spec or {})}
    return write_trial(sweep, method, test=test, spec=spec, done=done, recipe=recipe, **fields)


def write_scratch(sweep, method="ce", test=(0.5,), **fields):
    """Write a trial of the same recipe that starts from random weights."""
    return write_trial(sweep, method, test=test, recipe=HEAD, **fields)


@pytest.fixture
def frozen(tmp_path):
    for seed in (0, 1):
        write(tmp_path / "frozen", "ce", [0.6], seed=seed)
        write(tmp_path / "frozen", "elr", [0.7], seed=seed)
    return tmp_path / "frozen"


@pytest.mark.parametrize("protocol", ["shared", "paper", "paper, epochs=1"])
def test_different_starts_share_no_cell(tmp_path, protocol):
    fields = {"protocol": protocol}
    write_scratch(tmp_path, "ce", [0.9], spec=fields)
    write_scratch(tmp_path, "elr", [0.8], spec=fields)
    for changes in ({}, *OTHERS):
        write(tmp_path, "ce", [0.5], changes, fields)
        write(tmp_path, "elr", [0.6], changes, fields)
    board = leaderboard(load_rows([tmp_path]))
    board = board[board["rule"] == "noisy-val"]
    starts = len(OTHERS) + 2
    assert board["cell"].nunique() == board["group"].nunique() == starts
    by_cell = board.groupby("cell")["method"].agg(list)
    scratch = board.loc[board["pretrained"] == "", "cell"].iloc[0]
    assert by_cell.pop(scratch) == ["ce", "elr"] and all(by_cell == [["elr", "ce"]] * (starts - 1))
    differences = board.set_index("method").loc["elr", "diff_vs_reference"].to_list()
    assert sorted(differences) == pytest.approx([-0.1, *[0.1] * (starts - 1)])


def test_trials_of_one_network_share_a_cell(frozen):
    board = leaderboard(load_rows([frozen]))
    assert board["cell"].nunique() == 1 and set(board["seeds"]) == {2}


def test_a_search_picks_for_each_start_apart(tmp_path):
    seeds = dict.fromkeys(("noise_seed", "split_seed", "train_seed"), 1_000_000)
    stage = {**seeds, "stage": "search tuned noisy-val none"}
    best = {"scratch": 1.0, "frozen": 9.0}
    for start, writer in (("scratch", write_scratch), ("frozen", write)):
        for weight in (1.0, 9.0):
            settings = {"config": {"elr.weight": weight}, "defaults": {"elr.weight": 3.0}}
            value = 0.8 if weight == best[start] else 0.2
            writer(tmp_path, "elr", [0.99], noisy_val=[value], spec=stage, **settings)
            writer(tmp_path, "elr", [weight / 10], spec={"stage": "tuned"}, **settings)
    board = leaderboard(load_rows([tmp_path]))
    tuned = board[board["rule"] == "noisy-val"].set_index("pretrained")
    assert tuned["mean"].to_dict() == {"": 0.1, FROZEN: 0.9}
    assert tuned["configurations"].to_list() == [2, 2]


def test_compare_pairs_equal_starts_alone(frozen, tmp_path):
    for changes in OTHERS:
        write(tmp_path / "other", "ce", [0.6], changes)
    write_scratch(tmp_path / "other", "ce", [0.6])
    assert compare([frozen], [tmp_path / "other"]).table["pairs"].sum() == 0
    [paired, *alone] = compare([frozen], [tmp_path / "other"]).sections()
    assert "they differ in network." in paired.setup
    assert [section.tables[0].rows[0][2].text for section in alone] == [FROZEN, "–"]

    write(tmp_path / "other", "ce", [0.7])
    _, [path, _] = write_comparison([frozen], [tmp_path / "other"], tmp_path / "out")
    table = pd.read_csv(path, keep_default_na=False)
    pairs = table[(table["pairs"] > 0) & (table["rule"] == "noisy-val")]
    assert pairs["pretrained"].to_list() == [FROZEN]
    assert pairs["difference"].astype(float).to_list() == pytest.approx([0.1])
    text = (tmp_path / "out" / "compare.md").read_text()
    assert f"| digits | 50 % symmetric | {ESCAPED} | ce |" in text


def test_setup_titles_and_notes_name_the_start(frozen):
    board = read_board([frozen])
    [section] = sections(board)
    assert section.setup.startswith(f"mlp on {FROZEN}, 1 epoch, cpu")
    assert "interpolation" not in section.setup, "the label stands for the whole network"
    assert section.title == f"digits, symmetric noise, {TITLE}"
    privileges = [note for note in section.notes if note.startswith("pretrained:ImageNet-1k: ")]
    assert len(privileges) == 1
    assert {row[-1].text for row in section.tables[0].rows} == {"–"}, "no privilege of one method"
    assert not any("oracle)" in note for note in section.notes)

    console = Console(file=io.StringIO(), width=300, highlight=False)
    print_sections(console, [section])
    assert f"mlp on {FROZEN}" in console.file.getvalue()
    assert f"mlp on {ESCAPED}" in to_markdown([section], [])
    assert f"recipe shared, {ESCAPED}. Epoch" in to_latex(board)
    [group] = page_data(board, [section], None, [])["groups"]
    assert (group["title"], group["setup"]) == (section.title, section.setup)
    assert group["facets"]["pretrained"] == FROZEN
    captions = [caption for _, caption in figures(board).values()]
    assert captions and all(f"recipe shared, {FROZEN}" in caption for caption in captions)


@pytest.mark.parametrize(
    ("changes", "recipe", "label"),
    [
        (
            {"frozen": False, "size": 224},
            {"backbone": NETWORK["network"]},
            "fine-tuned timm:tf_efficientnet_lite0.in1k (pretrained:ImageNet-1k, 224 pixels, "
            "weights 1234abcd), 1 epoch",
        ),
        (
            {"views": 4},
            {"backbone": "linear"},
            "linear on frozen timm:tf_efficientnet_lite0.in1k (pretrained:ImageNet-1k, 160 pixels, "
            "4 views, weights 1234abcd), 1 epoch",
        ),
        (
            {"network": "timm:\x1b[1mn\nm", "data": "a\nb"},
            {},
            "mlp on frozen timm:",
        ),
    ],
)
def test_setup_of_other_starts(tmp_path, changes, recipe, label):
    write(tmp_path, changes=changes, recipe=recipe)
    [section] = sections(read_board([tmp_path]))
    assert section.setup.startswith(label)
    assert (section.title + section.setup).isprintable()


def test_embedding_is_noted_once_and_is_part_of_the_cost(frozen, tmp_path):
    [section] = sections(read_board([frozen]))
    [note] = [note for note in section.notes if note.startswith("Embedding")]
    assert note.startswith("Embedding all images took 38 s, once for all trials.")
    row = leaderboard(load_rows([frozen])).iloc[0]
    assert row["cost_seconds"] == pytest.approx(2 + 38.04) and row["train_seconds"] == 2

    # Another machine has embedded the images, and has other rounding.
    write(frozen, "gce", facts={"features_checksum": "bb", "embedding_seconds": 51.5})
    notes = sections(read_board([frozen]))[0].notes
    assert any(note.startswith("Embedding all images took 38 or 51.5 s,") for note in notes)

    write(tmp_path / "tuned", changes={"frozen": False}, done={"pretrained": {"licence": ""}})
    notes = sections(read_board([tmp_path / "tuned"]))[0].notes
    assert not any(note.startswith("Embedding") for note in notes)


def test_published_numbers_differ_by_the_start(frozen):
    row = ["digits", "symmetric", 0.5, "ce", "mlp", "last epochs", 80.0, "A (2020)"]
    theirs = pd.DataFrame([row], columns=COLUMNS)
    [differences] = against_published(theirs, leaderboard(load_rows([frozen])))["differences"]
    assert differences.startswith(f"backbone mlp, ours mlp on {FROZEN};")


def test_an_encoder_is_no_pretrained_network(tmp_path):
    write_trial(tmp_path, "ce")
    write_trial(tmp_path, "rmd+ce", done={"pretraining": {"loss": -0.9}})
    [section] = sections(read_board([tmp_path]))
    assert any(note.startswith("Pretraining: rmd") for note in section.notes)
    assert not any("pretrained:" in text for text in (section.setup, *section.notes))


def test_csv_files_have_the_column_where_a_row_has_a_value(frozen, tmp_path):
    write_report([frozen], tmp_path / "out", plots=False)
    for name in ("leaderboard", "statistics", "rules", "agreement"):
        table = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        assert set(table["pretrained"]) <= {FROZEN}, name

    write_scratch(frozen, "ce")
    write_report([frozen], tmp_path / "out", plots=False)
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv", keep_default_na=False)
    assert set(table["pretrained"]) == {FROZEN, ""}

    write_scratch(tmp_path / "scratch", "ce")
    write_report([tmp_path / "scratch"], tmp_path / "out", plots=False)
    assert "pretrained" not in pd.read_csv(tmp_path / "out" / "leaderboard.csv").columns
