"""Labels of a file matched to images, by order and by path; and noise that rounds to nothing."""

import csv
import re
import unicodedata
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli import data
from bench.cli.noise import main
from bench.datasets import Dataset, load_dataset
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, rounding_note
from bench.noise.matching import labels_for

#: Eight images in the order of the set; those at 2 and 5 are for testing.
NAMES = np.array(
    ["a/0.png", "b/1.png", "a/2.png", "b/3.png", "a/é 4.png", "b/5.png", "a/x,6.png", "b/7.png"]
)
TEST = [2, 5]
TRAIN = [0, 1, 3, 4, 6, 7]


@pytest.fixture
def named() -> Dataset:
    """Six training and two test images of the classes dog and cat, with names."""
    images = np.zeros((8, 3, 8, 8), np.uint8)
    labels = np.arange(8) % 2
    sides = images[TRAIN], labels[TRAIN], images[TEST], labels[TEST]
    return Dataset("folder:pets", *sides, ("dog", "cat"), train_names=NAMES[TRAIN], all_names=NAMES)


#: One label an image, in the order of the set, and those of the training images.
LABELS = [1, 1, 0, 0, 1, 0, 0, 1]
EXPECTED = [1, 1, 0, 1, 0, 1]


def write(path: Path, rows: list) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def by_path(
    path: Path, spell=lambda name: name, label=lambda number: number, skip: tuple[int, ...] = ()
) -> str:
    """Write a file that names the images in reverse, without those at the places ``skip``."""
    rows = [
        (spell(str(NAMES[place])), label(LABELS[place])) for place in range(8) if place not in skip
    ]
    return write(path, [("path", "label"), *reversed(rows)])


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name,
        lambda name: f"./{name}",
        lambda name: f" {name} ",
        lambda name: f"pets/{name}",
        lambda name: f"/data/of/mine/pets/{name}",
        lambda name: f"a/b/../pets/{name}",
        lambda name: name.replace("/", "\\"),
        lambda name: rf"C:\Data\pets\{name}".replace("/", "\\"),
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: f"/data/a/{name}",  # a folder of a class's name
        lambda name: name if name.startswith("a") else f"/data/pets/{name}",
    ],
)
def test_paths_of_any_spelling(spell, named, tmp_path):
    assert labels_for(named, by_path(tmp_path / "l.csv", spell)).tolist() == EXPECTED
    assert labels_for(named, by_path(tmp_path / "l.csv", spell, skip=(2, 5))).tolist() == EXPECTED


@pytest.mark.parametrize(
    "label",
    [str, lambda number: ("dog", "cat")[number], lambda number: f" {('dog', 'cat')[number]} "],
)
def test_labels_by_name_and_by_number(label, named, tmp_path):
    assert labels_for(named, by_path(tmp_path / "l.csv", label=label)).tolist() == EXPECTED


def test_names_of_classes_that_are_numbers_go_before_numbers(named, tmp_path):
    named = replace(named, classes=("1", "0"))
    assert labels_for(named, by_path(tmp_path / "l.csv")).tolist() == [
        1 - label for label in EXPECTED
    ]


def test_further_columns_in_any_place(named, tmp_path):
    rows = [(k, f"{name}", LABELS[k], "x,y") for k, name in enumerate(NAMES)]
    path = write(
        tmp_path / "l.csv", [("number", " Path", "LABEL", "by"), *rows, (), ("", "", "", "")]
    )
    assert labels_for(named, path).tolist() == EXPECTED


def test_a_subset_takes_its_own_by_path_and_of_all(named, tmp_path):
    part = named.subset(3)
    expected = [LABELS[list(NAMES).index(name)] for name in part.train_names]
    assert labels_for(part, by_path(tmp_path / "l.csv")).tolist() == expected
    np.save(tmp_path / "all.npy", LABELS)
    assert labels_for(part, tmp_path / "all.npy").tolist() == expected
    np.save(tmp_path / "six.npy", EXPECTED)
    with pytest.raises(
        InputError,
        match=r"are 6 labels in .*for 3 training images.* for all of its .*leave out --subset",
    ):
        labels_for(part, tmp_path / "six.npy")


def test_the_noise_is_that_of_the_file(named, tmp_path):
    kind = f"labels:{by_path(tmp_path / 'we[ir]d %s.csv')}"
    check_noise(kind, None)
    check_noise(kind, None, named)
    assert corrupt(named, NoiseSpec(kind)).tolist() == EXPECTED


def test_an_image_that_is_left_out_takes_no_label(named, tmp_path):
    """A broken image is in the list of all images, and in no training set."""
    rest = replace(
        named,
        train_images=named.train_images[1:],
        train_labels=named.train_labels[1:],
        train_names=named.train_names[1:],
    )
    np.save(tmp_path / "all.npy", LABELS)
    assert labels_for(rest, tmp_path / "all.npy").tolist() == EXPECTED[1:]
    assert labels_for(rest, by_path(tmp_path / "l.csv")).tolist() == EXPECTED[1:]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("a/0.png", 1)],
            r"has no label for 5 of 6 training images of folder:pets, such as 'b/1.png': "
            r"give each a line",
        ),
        (
            [("x/0.png", 1), ("y/0.png", 1)],
            r"no label for 6 of 6 .*and 2 lines of it name no image .* line 2 \('x/0.png'\)",
        ),
        (
            [("a/0.png", 1), ("b/1.png", 0), ("./a/0.png", 1)],
            r"lines 2 and 4 of .* name the same image 'a/0.png'",
        ),
        ([("a/0.png", 1), (r"a\0.png", 0)], r"lines 2 and 3 of .* name the same image"),
        ([("a/0.png", 1), ("/d/a/0.png", 0)], r"lines 2 and 3 of .* name the same image"),
        (
            [("a/0.png", 1, 2)],
            r"line 2 of .* has 3 fields for 2 columns: put a field that holds a comma into quotes",
        ),
        ([("a/0.png",)], r"line 2 of .* has 1 fields for 2 columns"),
        ([], r"names no image: give a line path,label for each"),
    ],
)
def test_paths_that_do_not_fit(rows, message, named, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        labels_for(named, write(tmp_path / "l.csv", [("path", "label"), *rows]))
    assert "--subset" not in str(error.value) and "\n" not in str(error.value)


def test_lines_about_no_image_are_counted(named, tmp_path):
    path = by_path(tmp_path / "l.csv")
    with open(path, "a") as file:
        file.write("c/8.png,1\nc/9.png,nonsense\n")
    with pytest.warns(
        UserWarning,
        match=r"2 lines of it name no image of folder:pets, such as line 10 \('c/8.png'\)",
    ):
        assert labels_for(named, path).tolist() == EXPECTED


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("", r"line 3 of .* has no label \(''\): fill it in"),
        ("nan", r"line 3 of .* has no label \('nan'\)"),
        ("NA", "has no label"),
        ("NULL", "has no label"),
        ("#N/A", "has no label"),
        (
            "1.0",
            r"line 3 of .* has the label '1.0', but .* write their names, or "
            r"whole numbers from 0 to 1",
        ),
        ("2", r"line 3 of .* has the label '2', but .* whole numbers from 0 to 1"),
        ("-1", "has the label '-1'"),
        (
            "cta",
            r"line 3 of .* has a wrong label: there is no class of folder:pets 'cta': "
            r"did you mean cat\?",
        ),
        ("²", "line 3 of .* has a wrong label: there is no class"),
        ("١", "line 3 of .* has a wrong label: there is no class"),
    ],
)
@pytest.mark.parametrize("others", [str, lambda number: ("dog", "cat")[number]])
def test_a_label_that_is_none_is_refused_with_its_line(label, message, others, named, tmp_path):
    rows = [[str(name), others(LABELS[place])] for place, name in enumerate(NAMES)]
    rows[1][1] = label
    with pytest.raises(InputError, match=message) as error:
        labels_for(named, write(tmp_path / "l.csv", [("path", "label"), *rows]))
    assert "line 3" in str(error.value)


def test_a_class_may_be_called_like_a_missing_value(named, tmp_path):
    named = replace(named, classes=("none", "NA"))
    label = ("none", "NA").__getitem__
    assert labels_for(named, by_path(tmp_path / "l.csv", label=label)).tolist() == EXPECTED


def test_labels_that_count_from_1_are_refused_with_the_first(named, tmp_path):
    (tmp_path / "l.csv").write_text("1\n1\n2\n2\n1\n1\n")
    with pytest.raises(
        InputError, match=r"go from 1 to 2, .* count them from 0 \(the first .* is 2, in line 3\)"
    ):
        labels_for(named, tmp_path / "l.csv")
    np.save(tmp_path / "l.npy", np.array([0, 1, -1, 0, 0, 0]))
    with pytest.raises(InputError, match=r"go from -1 to 1, .* is -1, at index 2\)"):
        labels_for(named, tmp_path / "l.npy")
    (tmp_path / "l.csv").write_text("index,label\n5,0\n4,0\n3,7\n2,0\n1,0\n0,0\n")
    with pytest.raises(InputError, match="is 7, in line 4"):
        labels_for(named, tmp_path / "l.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\n\n0\n", r"line 2 of .* has no label \(''\): give each image one"),
        ("1\nnan\n", r"line 2 of .* has no label \('nan'\)"),
        ("1\nNULL\n", "line 2 of .* has no label"),
        ("index,label\n0,1\n1,\n", r"line 3 of .* has no label \('1,'\)"),
        ("1\n1.0\n", "line 2, is '1.0': .* as whole numbers"),
        ("1\n²\n", "line 2, is '²'"),
        ("1\n+1\n", "line 2, is '\\+1'"),
        ("path;label\na/0.png;1\n", "not separated by commas"),
        ("path,label,label\na/0.png,1,1\n", "has the column label twice"),
    ],
)
def test_files_that_are_no_list_are_refused(content, message, named, tmp_path):
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        labels_for(named, tmp_path / "l.csv")


def test_lists_of_another_length_say_how_many_images_there_are(named, tmp_path, digits):
    np.save(tmp_path / "l.npy", LABELS[:7])
    with pytest.raises(InputError) as error:
        labels_for(named, tmp_path / "l.npy")
    assert str(error.value) == (
        f"there are 7 labels in '{tmp_path / 'l.npy'}' for 6 training images of folder:pets: give "
        "one for each, or 8, for all images with the test images; python -m bench.data images "
        "folder:pets lists them in order"
    )
    with pytest.raises(
        InputError, match="for 1437 training images of digits: give one for each; python"
    ) as error:
        labels_for(digits, tmp_path / "l.npy")
    assert "--subset" not in str(error.value)
    with pytest.raises(
        InputError, match="but those of digits have none: give a label a line in order"
    ):
        labels_for(digits, by_path(tmp_path / "l.csv"))


def test_arrays_of_ones_own_take_labels_of_training_and_then_of_test_images(tmp_path):
    images = np.zeros((6, 8, 8), np.uint8)
    np.savez(
        tmp_path / "d.npz",
        train_images=images,
        train_labels=np.arange(6) % 2,
        test_images=images[:2],
        test_labels=[0, 1],
    )
    arrays = load_dataset(f"npz:{tmp_path / 'd.npz'}")
    np.save(tmp_path / "l.npy", [1, 1, 1, 0, 0, 0, 1, 0])
    assert labels_for(arrays, tmp_path / "l.npy").tolist() == [1, 1, 1, 0, 0, 0]
    # which of them, nobody knows
    with pytest.raises(InputError, match=r"there are 8 labels .* for 4 training images"):
        labels_for(arrays.subset(4), tmp_path / "l.npy")


# ----------------------------------------------------------------------------------------------
# the commands


def call(capsys, entry, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_a_folder_of_ones_own(capsys, tmp_path, monkeypatch):
    """The list of images, and labels in its order, both match the images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))
    for number in range(20):
        path = Path("my set", "ab"[number % 2], f"{number:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 9 * number, np.uint8)).save(path)
    name = "folder:my set"
    status, text, _ = call(capsys, data.main, "images", name)
    rows = list(csv.DictReader(text.splitlines()))
    assert status == 0 and [row["path"] for row in rows] == [
        f"{'ab'[n % 2]}/{n:02}.png" for n in range(20)
    ]
    assert [row["label"] for row in rows] == 10 * ["a", "b"] and sorted(
        row["split"] for row in rows
    ) == 4 * ["test"] + 16 * ["train"]
    training = load_dataset(name)
    expected = np.array([int(name[2:4]) % 3 == 0 for name in training.train_names], dtype=int)
    Path("labels.txt").write_text("".join(f"{int(n % 3 == 0)}\n" for n in range(20)))
    write(
        Path("named.csv"),
        [("path", "label"), *((row["path"], "ba"[n % 3 > 0]) for n, row in enumerate(rows))],
    )
    Path("as listed.csv").write_text(text)
    for file, labels in (
        ("labels.txt", expected),
        ("named.csv", expected),
        ("as listed.csv", training.found["found"]),
    ):
        status, text, errors = call(
            capsys, main, "import", file, "--dataset", name, "--out", "kept.npy"
        )
        assert status == 0 and not errors and np.load("kept.npy").tolist() == labels.tolist()
        assert "--dataset 'folder:my set' --noise-kind labels:kept.npy" in text
    assert (
        "--noise-kind 'labels:as listed.csv'"
        in call(capsys, main, "import", "as listed.csv", "--dataset", name)[1]
    )


def test_the_list_of_a_set_without_names_is_read_back(capsys, tmp_path, digits):
    status, text, _ = call(capsys, data.main, "images", "digits")
    (tmp_path / "l.csv").write_text(text)
    assert status == 0 and (labels_for(digits, tmp_path / "l.csv") == digits.train_labels).all()


# ----------------------------------------------------------------------------------------------
# rounded to nothing


@pytest.fixture
def few() -> Dataset:
    """Three training images of each of 20 classes."""
    labels = np.arange(60) % 20
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    classes = tuple(map(str, range(20)))
    return Dataset(
        "few", images, labels, images, labels, classes, {0: 1, 1: 2}, found={"human-worst": labels}
    )


@pytest.mark.parametrize(
    ("kind", "rate", "meant", "realised", "why"),
    [
        ("asymmetric-block", 0.15, "15 %", "0 %", "counts are rounded class by class"),
        # one of three
        ("asymmetric-block", 0.2, "20 %", "33.3 %", "counts are rounded class by class"),
        ("asymmetric", 0.1, "1 %", "0 %", "counts are rounded class by class"),
        ("symmetric", 0.0001, "0.01 %", "0 %", "the count is rounded"),
        ("symmetric-inclusive", 0.008, "0.76 %", "0 %", "the count is rounded"),
        ("pairflip", 0.01, "1 %", "1.67 %", "the count is rounded"),  # 0.6 images are one
        ("instance", 0.001, "0.1 %", "0 %", "the count is rounded"),
        ("instance-raw", 0.001, "0.1 %", "0 %", "the count is rounded"),
        ("pmd-1", 0.001, "0.1 %", "0 %", "the count is rounded"),
        ("openset:mnist", 0.001, "0.1 %", "0 %", "the count is rounded"),
    ],
)
def test_noise_that_is_rounded_away_is_said(kind, rate, meant, realised, why, few):
    note = rounding_note(few, NoiseSpec(kind, rate))
    assert note is not None and note.startswith(
        f"{kind} noise at the rate {rate:g} means that {meant} of the "
    )
    assert f"60 training images of few in 20 classes it is {realised}, since {why}: " in note
    assert note.endswith("take a higher rate, more images, or --noise-sampling independent")


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        *(
            ("pairflip", 0.15),
            ("symmetric", 0.5),
            ("symmetric-inclusive", 0.5),
            ("asymmetric", 0.4),
            ("instance", 0.2),
        ),
        *(
            ("asymmetric-block", 0.4),
            ("pmd-2", 0.3),
            ("openset:mnist", 0.3),
            ("clean", None),
            ("symmetric", 0.0),
        ),
    ],
)
def test_noise_that_is_what_it_says_is_not_remarked_on(kind, rate, few):
    assert rounding_note(few, NoiseSpec(kind, rate)) is None


def test_coin_flips_that_all_fall_on_one_side_are_said(few):
    note = rounding_note(few, NoiseSpec("pairflip", 0.001, 0, "independent"))
    assert (
        note is not None
        and "it is 0 %, since each label has its own coin flip: take a higher rate, more images"
        in note
    )
    assert "--noise-sampling" not in note


def test_matrices_and_labels_that_change_nothing_are_said(few, tmp_path):
    np.save(tmp_path / "T.npy", 0.9 * np.eye(20) + 0.1 * np.roll(np.eye(20), 1, 1))
    note = rounding_note(few, NoiseSpec(f"matrix:{tmp_path / 'T.npy'}"))
    assert (
        note is not None
        and "noise means that 10 % of the labels are wrong" in note
        and "it is 0 %" in note
    )
    np.save(tmp_path / "l.npy", few.train_labels)
    for kind in (f"labels:{tmp_path / 'l.npy'}", "human-worst"):
        note = rounding_note(few, NoiseSpec(kind))
        images = "60 training images of few in 20 classes"
        assert (
            note
            == f"{kind} noise makes no label wrong: all labels of the {images} are the true ones"
        )
    np.save(tmp_path / "l.npy", (few.train_labels + 1) % 20)
    assert rounding_note(few, NoiseSpec(f"labels:{tmp_path / 'l.npy'}")) is None


def test_nothing_is_said_where_nobody_knows_the_truth(few):
    assert (
        rounding_note(replace(few, train_labels=0 * few.train_labels - 1), NoiseSpec("human-worst"))
        is None
    )


def test_the_commands_say_it(capsys, tmp_path, few, monkeypatch):
    from bench.cli.run import main as run

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    file = tmp_path / "few.npz"
    labels = few.train_labels
    np.savez(
        file,
        train_images=few.train_images,
        train_labels=labels,
        test_images=few.test_images,
        test_labels=labels,
    )
    noise = ("--dataset", f"npz:{file}")
    shown = call(
        capsys,
        main,
        "show",
        *noise,
        "--kind",
        "asymmetric-block",
        "--rate",
        "0.15",
        "--out",
        tmp_path / "T.png",
    )
    exported = call(
        capsys,
        main,
        "export",
        *noise,
        "--kind",
        "pairflip",
        "--rate",
        "0.001",
        "--out",
        tmp_path / "l.npy",
    )
    options = (
        "--methods",
        "ce",
        "--noise-kind",
        "asymmetric-block",
        "--noise",
        "0.15,0.4",
        "--seeds",
        "2",
        "--dry-run",
    )
    planned = call(capsys, run, *noise, *options)
    for status, _, errors in (shown, exported, planned):
        assert status == 0
        assert len(re.findall("Warning: .* means that .* it is 0 %, ", errors)) == 1
    assert (
        "or --sampling independent" in shown[2] and "or --noise-sampling independent" in planned[2]
    )


@pytest.mark.parametrize("images", [TRAIN, range(8)], ids=["training images", "all images"])
def test_labels_listed_class_folder_by_class_folder_are_noticed(named, tmp_path, images):
    """torchvision's ImageFolder sorts by class folder; this package by the files' names."""
    path = tmp_path / "labels.txt"
    true = [place % 2 for place in images]
    for labels, noticed in (
        (sorted(true), True),
        (true, False),
        ([1 - label for label in true], False),
    ):
        path.write_text("\n".join(map(str, labels)))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            labels_for(named, path)
        said = ["class folder by class folder" in str(warning.message) for warning in caught]
        assert said == [True] * noticed
