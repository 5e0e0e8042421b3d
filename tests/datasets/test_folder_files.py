"""Account of every file in a user's folder: used, or passed over for a reason."""

import io
import os
import random
import socket
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from folders import files_below, random_folder
from PIL import Image

from bench.cli.commands import execute
from bench.cli.data import data as data_command
from bench.common.text import printable
from bench.datasets import FOUND, UNKNOWN, in_memory, open_dataset
from bench.datasets.file_account import Account
from bench.datasets.folder import file_walk, loader
from bench.datasets.folder import names as class_names
from bench.datasets.folder.contents import LIST, NO_CLASS, NO_USE, NOT_LISTED
from bench.datasets.folder.image_formats import NO_IMAGE, UNOPENABLE, UNSUPPORTED, objection
from bench.errors import InputError


def write(path: Path, value: int = 0, kind: str = "png", mode: str = "RGB") -> Path:
    """Write an image of 16 x 16 equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(kind, mode, value))
    return path


def image_bytes(kind: str, mode: str = "RGB", value: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (value % 256,) * 3).convert(mode).save(stream, kind)
    return stream.getvalue()


def two_classes(root: Path, images: int = 20, names: tuple[str, str] = ("a", "b")) -> Path:
    for number in range(images):
        write(root / names[number % 2] / f"{number:02}.png", number)
    return root


def passed_over(root: Path) -> dict[str, list[str]]:
    """Return reasons and names; check that they and the used images add up to all files."""
    dataset = open_dataset(f"folder:{root}")
    account = dataset.account
    assert account.used == len(dataset.train_labels) + len(dataset.test_labels)
    assert account.files == files_below(root)
    return {reason: list(names) for reason, names in account.passed_over.items()}


def refused(root: Path) -> str:
    with pytest.raises(InputError) as error:
        open_dataset(f"folder:{root}")
    assert str(error.value).isprintable()
    return str(error.value)


def check(capsys, root: Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        execute(data_command, ["check", f"folder:{root}"])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out + captured.err


# account


def test_an_account_adds_up_and_a_file_is_passed_over_once():
    account = Account(10, {"hidden": (".x",)}).without(
        {"a": "unreadable", "b": "unreadable", ".x": "unreadable"}
    )
    assert account.used == 7 and account.passed_over == {
        "hidden": (".x",),
        "unreadable": ("a", "b"),
    }
    assert account.without({"a": "unreadable"}) == account
    assert account.summary == "10 files: 7 used, 3 passed over (hidden: 1; unreadable: 2)"
    assert account.examples(1) == ["hidden: .x", "unreadable: a and 1 more"]


def test_names_are_printed_without_line_ends_and_bytes_that_are_no_text():
    assert printable("caf\udce9\n\x1b[0m\u2028é😀") == "caf\\xe9\\n\\x1b[0m\\u2028é😀"
    assert Account(1, {"no image": ("a\nb\udcff",)}).examples() == ["no image: a\\nb\\xff"]


def test_check_prints_the_account_with_images_that_cannot_be_decoded(tmp_path, capsys):
    root = two_classes(tmp_path / "d")
    write(root / "a" / ".hidden.png")
    (root / "a" / "00.png").write_text("<html>404</html>")
    (root / "readme.txt").write_text("hello")
    status, text = check(capsys, root)
    assert status == 1
    assert "22 files: 19 used, 3 passed over (hidden: 1; no image: 1; unreadable: 1)" in text
    assert "  hidden: a/.hidden.png" in text and "  unreadable: a/00.png" in text


def test_a_run_says_first_what_it_uses(tmp_path, capsys, monkeypatch):
    import bench.cli.estimate
    from bench.cli.run import run

    monkeypatch.setattr(bench.cli.estimate, "print_plan", lambda *arguments: None)
    root = two_classes(tmp_path / "d")
    (root / "a" / "dead.png").symlink_to("nowhere")
    with pytest.raises(SystemExit) as end:
        execute(run, ["--methods", "ce", "--dataset", f"folder:{root}", "--dry-run"])
    said = capsys.readouterr().err
    assert (
        not end.value.code
        and f"folder:{root}: 21 files: 20 used, 1 passed over (dead links: 1)\n" in said
    )


# hidden, formats and links

ASIDE = [
    ".ipynb_checkpoints/x.png",
    "@eaDir/00.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/._00.png",
    ".thumbnails/x.png",
    "._00.png",
]
ASIDE += [
    "Thumbs.db",
    "DESKTOP.INI",
    "x.png~",
    "x.png.crdownload",
    "$RECYCLE.BIN/x.png",
    "deep/er/.git/x.png",
    "deep/@Recycle/x.png",
    "Thumbs/x.png",
    "~$x.docx",
    "#x.png#",
]


@pytest.mark.parametrize("below", ["", "a", "a/nested"])
def test_hidden_files_and_what_programs_leave_are_passed_over_at_every_depth(tmp_path, below):
    root = two_classes(tmp_path / "d")
    for name in ASIDE:
        write(root / below / name)
    passed = passed_over(root)
    assert set(passed) == {file_walk.HIDDEN, file_walk.ASIDE}
    assert sorted(passed[file_walk.HIDDEN] + passed[file_walk.ASIDE]) == sorted(
        str(Path(below, name)) for name in ASIDE
    )


@pytest.mark.parametrize("out", ["", "a", "results/clean-folder-01234567"])
@pytest.mark.parametrize("mark", ["sweep.json", "leaderboard.md", "clean.html"])
def test_output_written_into_the_folder_changes_no_content(tmp_path, out, mark):
    root = two_classes(tmp_path / "d")
    content = open_dataset(f"folder:{root}").content_hash
    names = [str(Path(out, name)) for name in ("clean-thumbnails/0.jpg", "plots/transition.png")]
    for name in names:
        write(root / name)
    (root / out / mark).touch()
    assert passed_over(root) == {file_walk.OUTPUT: names, NO_IMAGE: [str(Path(out, mark))]}
    assert open_dataset(f"folder:{root}").content_hash == content


def test_classes_named_as_output_are_classes(tmp_path):
    root = two_classes(tmp_path / "d", names=("plots", "trials"))
    (root / "plots" / "sweep.json").touch()
    assert passed_over(root) == {NO_IMAGE: ["plots/sweep.json"]}


def test_trials_beside_a_report_are_a_class(tmp_path):
    """A report writes no trials, but a sweep does."""
    root = two_classes(tmp_path / "d", names=("cats", "trials"))
    (root / "leaderboard.md").touch()
    assert set(passed_over(root)) == {NO_IMAGE}
    (root / "sweep.json").touch()
    with pytest.raises(InputError, match="output of this package: 10"):
        open_dataset(f"folder:{root}")


_KINDS = {
    **{
        "x.jfif": ("jpeg", "RGB"),
        "without an ending": ("png", "RGB"),
        "x.dat": ("webp", "RGB"),
        "x.txt": ("bmp", "RGB"),
    },
    **{
        "x.jp2": ("jpeg2000", "RGB"),
        "x.avif": ("avif", "RGB"),
        "x.PGM": ("ppm", "L"),
        "x.pbm": ("ppm", "1"),
    },
    **{
        "x.tga": ("tga", "RGB"),
        "x.pcx": ("pcx", "RGB"),
        "x.sgi": ("sgi", "RGB"),
        "x.ico": ("ico", "RGB"),
    },
    **{
        "x.tiff5": ("tiff", "RGB"),
        "x.qoi": ("qoi", "RGB"),
        "x.dds": ("dds", "RGB"),
        "x.xbm": ("xbm", "1"),
    },
}
Image.init()
# of this Pillow
IMAGES = {
    name: image_bytes(*kind) for name, kind in _KINDS.items() if kind[0].upper() in Image.SAVE
}
OTHERS = {
    "notes.txt": b"P1 is the first point",
    "bmw": b"BMW 2002, red, 1973, rusty but it runs well",
    "empty": b"",
    "code.h": b"#define x_width 16\n#define x_height 16\nstatic char x_bits[] = {0};",
    "bytes.bin": bytes(range(256)),
    "zeros": bytes(1000),
    "video.mpg": b"\0\0\x01\xb3" + bytes(100),
    "video.mp4": b"\0\0\0\x20ftypisom" + bytes(100),
    "font.ttf": b"\0\x01\0\0" + bytes(100),
    "text.tga": b"a text that is called an image",
    "text.ico": b"a text that is called an image",
}
FOREIGN = {
    "x.heic": b"\0\0\0\x18ftypheic" + bytes(100),
    "x.jxl": b"\xff\x0a" + bytes(100),
    "x.nef": image_bytes("tiff"),
    "x.svg": b'<?xml version="1.0"?>\n<svg xmlns="x"/>',
    "x.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "x.pdf": b"%PDF-1.4\n",
}


def test_images_are_known_by_their_content(tmp_path):
    expected = {
        **dict.fromkeys(IMAGES),
        **dict.fromkeys(OTHERS, NO_IMAGE),
        **dict.fromkeys(FOREIGN, UNSUPPORTED),
    }
    for name, content in {**IMAGES, **OTHERS, **FOREIGN}.items():
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {name: objection(str(tmp_path / name)) for name in expected} == expected


def test_images_without_a_usual_ending_are_used(tmp_path):
    root = two_classes(tmp_path / "d")
    for name, content in {**IMAGES, **OTHERS, **FOREIGN}.items():
        (root / "a" / name).write_bytes(content)
    passed = passed_over(root)
    assert {reason: len(names) for reason, names in passed.items()} == {
        NO_IMAGE: len(OTHERS),
        UNSUPPORTED: len(FOREIGN),
    }
    whole = in_memory(open_dataset(f"folder:{root}"))
    assert whole.account.used == 20 + len(IMAGES), "all of them can be decoded"


def test_links_are_followed_once_and_faulty_ones_are_named(tmp_path):
    root = two_classes(tmp_path / "d")
    two_classes(tmp_path / "pool", 4, ("more", "again"))
    for place, target in {
        "a/dead.png": "nowhere.png",
        "a/self.png": "self.png",
        "a/up": "..",
        "loop": ".",
        "a/sibling": "../b",
        "a/image.png": "../b/01.png",
        "a/pool": str(tmp_path / "pool"),
        "b/pool": str(tmp_path / "pool" / "more"),
        "a/root": "/",
        "a/.pool": str(tmp_path / "pool"),
        "a/null": "/dev/null",
        "b/outside.png": str(write(tmp_path / "elsewhere" / "x.png", 77)),
    }.items():
        (root / place).symlink_to(target)
    dataset = open_dataset(f"folder:{root}")
    names = {*dataset.train_images.names.tolist(), *dataset.test_images.names.tolist()}
    assert len(names) == 25 and {"a/pool/more/00.png", "b/outside.png"} <= names
    account = dataset.account
    assert account.passed_over == {
        file_walk.DEAD_LINK: ("a/dead.png",),
        file_walk.CIRCULAR: ("a/root", "a/self.png", "a/up", "loop"),
        file_walk.REPEATED_FOLDER: ("a/sibling", "b/pool"),
        file_walk.REPEATED_FILE: ("a/image.png",),
        file_walk.HIDDEN: ("a/.pool",),
        file_walk.SPECIAL: ("a/null",),
    }
    assert account.used == 25 and account.files == 35


def test_a_link_to_a_hidden_folder_and_two_links_that_meet(tmp_path):
    root = tmp_path / "d"
    two_classes(root / ".store", 20)
    (root / "a").symlink_to(".store/a")
    (root / "b").symlink_to(root / ".store" / "b")
    (root / ".store" / "a" / "back").symlink_to("../b")
    dataset = open_dataset(f"folder:{root}")
    assert dataset.account.used == 20 and dataset.classes == ("a", "b")
    assert {reason: len(names) for reason, names in dataset.account.passed_over.items()} == {
        file_walk.HIDDEN: 21,
        file_walk.REPEATED_FOLDER: 1,
    }


def test_pipes_and_sockets_are_not_waited_for(tmp_path, monkeypatch):
    root = two_classes(tmp_path / "d")
    os.mkfifo(root / "a" / "pipe.png")
    monkeypatch.chdir(root / "b")  # addresses of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        assert passed_over(root) == {file_walk.SPECIAL: ["a/pipe.png", "b/socket.png"]}


def test_files_and_folders_that_cannot_be_opened(tmp_path, monkeypatch):
    root = two_classes(tmp_path / "d")
    write(root / "a" / "locked" / "x.png")
    access, scandir = os.access, os.scandir  # of root's tests permissions are none

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("00.png") and access(path, mode)
    )
    monkeypatch.setattr(os, "scandir", refuse)
    account = open_dataset(f"folder:{root}").account
    assert account.passed_over == {UNOPENABLE: ("a/00.png", "a/locked")} and account.used == 19


def test_very_deep_folders(tmp_path):
    root = two_classes(tmp_path / "d")
    place = str(root / "a")
    for _ in range(1100):  # deeper than Python's stack
        place += "/x"
        os.mkdir(place)
    Path(place, "deep.png").write_bytes(image_bytes("png"))
    used = open_dataset(f"folder:{root}").account.used
    subprocess.run(["rm", "-r", root / "a" / "x"], check=True)  # pytest's own cleaning is recursive
    assert used == 21


# splits


def split_folders(root: Path, *parts: str, classes: tuple[str, str] = ("cat", "dog")) -> Path:
    for part in parts:
        for number in range(10):
            write(root / part / classes[number % 2] / f"{part}{number}.png", number)
    return root


@pytest.mark.parametrize(
    ("parts", "train", "test"),
    [
        (("train", "val"), 10, 10),
        (("train", "valid"), 10, 10),
        (("Train", "Test"), 10, 10),
        (("training", "testing"), 10, 10),
        (("TRAIN", "Validation", "Eval"), 10, 10),
        (("train", "dev"), 10, 10),
        (("train",), 8, 2),
        (("train", "val", "test"), 10, 10),
    ],
)
def test_splits_are_known_by_their_usual_names(tmp_path, parts, train, test):
    dataset = open_dataset(f"folder:{split_folders(tmp_path, *parts)}")
    assert dataset.classes == ("cat", "dog")
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (train, test)
    said = " ".join(dataset.remarks)
    if len(parts) == 3:
        assert set(dataset.account.passed_over) == {NO_USE} and "no use beside test images" in said
        assert all(name.startswith(parts[2]) for name in dataset.test_images.names.tolist())
    elif parts == ("train",):
        assert "a fifth of the training images is held out" in said
    elif parts[1] not in ("Test", "testing"):
        assert f"there is no test folder: {parts[1]} is what methods are tested on" in said


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            ["train/0.png", "val/0.png"],
            "named as a split that holds images but no class folders (train, val)",
        ),
        (["train/0.png", "test/0.png"], "holds images but no class folders (test, train)"),
        (
            ["train/a/0.png", "train/b/0.png", "test/0.png"],
            "holds images but no class folders (test)",
        ),
        (
            ["train/a/0.png", "cat/0.png"],
            "folders named as splits (train) beside others with images (cat)",
        ),
        (["car/0.png", "train/0.png", "bus/0.png"], "(train) beside others with images (bus, car)"),
        (
            ["Train/a/0.png", "train/b/0.png"],
            "several folders of one split (Train, train): merge them",
        ),
        (
            ["train/a/0.png", "val/a/0.png", "valid/b/0.png"],
            "several folders of one split (val, valid)",
        ),
        (["test/a/0.png", "test/b/0.png"], "has test, but no images in a folder train"),
        (
            ["cat/train/0.png", "cat/test/0.png", "dog/train/0.png"],
            "lie within its classes (in cat)",
        ),
        (
            ["train/Cat/0.png", "train/b/0.png", "test/cat/0.png"],
            "the test class 'cat' is 'Cat' in training",
        ),
        (
            ["train/a/0.png", "train/b/0.png", "test/c/0.png"],
            "no image is left for training of the class c",
        ),
        (["train/a/0.png", "train/b/0.png", "test/c/0.png"], "give it training images"),
        (["a/notes.txt.doc", "b/0.png"], "has images of one class: put them"),
        (["0.png"], "has images of no class: put them"),
        (
            ["images/a/0.png", "images/b/0.png"],
            "one class folder, images, with folders in it (a, b): move these up",
        ),
        (["my set/train/a/0.png", "my set/val/b/0.png"], "/d/my set"),
        (
            ["Train/Images/a/0.png", "Test/Images/b/0.png"],
            "one class folder, Images, with folders in it (a, b)",
        ),
        (
            ["train_images/a/0.png", "test_images/a/0.png"],
            "much like splits (test_images, train_images): name them",
        ),
        (
            ["train2017/a/0.png", "val2017/a/0.png", "unlabeled2017/0.png"],
            "much like splits (train2017, val2017)",
        ),
        (["Training Set/a/0.png", "Test Set/a/0.png"], "much like splits (Test Set, Training Set)"),
        (
            ["cat_train/0.png", "cat_test/0.png", "dog_train/0.png"],
            "much like splits (cat_test, cat_train)",
        ),
        (["trainA/0.png", "trainB/0.png", "testA/0.png"], "much like splits (testA, trainA)"),
    ],
)
def test_layouts_that_are_not_clear_are_one_sentence(tmp_path, images, message):
    for number, name in enumerate(images):
        if name.endswith("png"):
            write(tmp_path / "d" / name, number)
        else:
            (tmp_path / "d" / name).parent.mkdir(parents=True)
            (tmp_path / "d" / name).write_text("no image")
    assert message in refused(tmp_path / "d")


@pytest.mark.parametrize(
    "names",
    [
        ("train_station", "test_tube"),
        ("bullet train", "bus"),
        ("trainer", "tester"),
        ("contest", "latest train"),
    ],
)
def test_classes_whose_names_hold_the_word_for_a_split_stay_classes(tmp_path, names):
    assert open_dataset(f"folder:{two_classes(tmp_path / 'd', 10, names)}").classes == tuple(
        sorted(names)
    )


def test_images_in_folders_within_class_folders_are_said(tmp_path):
    root = two_classes(tmp_path / "d", 10)
    write(root / "a" / "2020" / "may" / "x.png", 100)
    write(root / "b" / "2020" / "y.png", 101)
    assert open_dataset(f"folder:{root}").account.notes == (
        "images in folders within class folders, which belong to the class: 2 (as "
        "a/2020/may/x.png)",
    )


def test_images_outside_classes_and_classes_without_images_are_said(tmp_path):
    root = split_folders(tmp_path, "train", "test")
    write(root / "x.png")
    write(root / "train" / "y.png")
    (root / "train" / "bird").mkdir()
    dataset = open_dataset(f"folder:{root}")
    assert dataset.account.passed_over == {NO_CLASS: ("train/y.png", "x.png")}
    assert dataset.account.notes == ("folders without an image that is used: train/bird",)


def test_two_normal_forms_are_one_class_and_names_alike_are_said(tmp_path):
    root = tmp_path / "d"
    composed, apart = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    for number in range(16):
        write(root / (composed, apart, "Cat", "cat")[number % 4] / f"{number:02}.png", number)
    dataset = open_dataset(f"folder:{root}")
    assert dataset.classes == ("Cat", "cat", composed) and len(dataset.account.notes) == 2
    assert "'Cat', 'cat' are spelt alike" in " ".join(dataset.account.notes)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["10", "9", "1"], ("1", "9", "10")),
        (["²", "1", "3"], ("1", "3", "²")),
        (["１０", "9", "2"], ("2", "9", "１０")),
        (["01", "1", "001", "2"], ("001", "01", "1", "2")),
        (["9" * 5000, "1", "8" * 5000], ("1", "8" * 5000, "9" * 5000)),
        (["0", "00", "1"], ("0", "00", "1")),
        (["१", "2", "٣"], ("१", "2", "٣")),
        (["10.0", "2.0", "-1.5"], ("-1.5", "2.0", "10.0")),
        (["10", "2", "1e1"], ("10", "1e1", "2")),
        (["10", "2", "nan"], ("10", "2", "nan")),
    ],
)
def test_numbers_come_by_value_whatever_their_digits(names, classes):
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))
        assert class_names.ordered_classes(shuffled) == classes


@pytest.mark.parametrize(
    "pair",
    [
        ("1", "1.0"),
        ("1", "１"),
        ("01", "1"),
        ("a", "A"),
        ("a b", "a\xa0b"),
        ("a", "a\u200b"),
        ("a", "a\\ufeff"),
    ],
)
def test_names_that_look_the_same_are_said(pair):
    [sentence] = class_names.notes_on_similar(sorted([*pair, "other", "1.5", "2"]))
    assert all(repr(name) in sentence for name in pair)


# held-out images


def test_every_class_of_two_images_or_more_is_tested(tmp_path, capsys):
    root = tmp_path / "d"
    for number in range(106):
        name = "a" if number < 100 else "b" if number < 103 else "c" if number < 105 else "single"
        write(root / name / f"{number:03}.png", number)
    dataset = open_dataset(f"folder:{root}")
    assert np.bincount(dataset.test_labels, minlength=4).tolist()[1:] == [1, 1, 0]
    assert np.bincount(dataset.found[FOUND]).tolist()[1:] == [2, 1, 1]
    assert dataset.untested == (
        "1 of 4 classes has no test image (single): accuracy and worst-class accuracy stand on the "
        "other 3"
    )
    assert dataset.untested in check(capsys, root)[1]


def test_ordinary_folders_keep_their_split(tmp_path):
    """Hashes of earlier records depend on this split: a stratified fifth."""
    from bench.datasets import stratified_choice

    for labels in (np.arange(30) % 3, np.arange(103) % 4, np.repeat([0, 1], [90, 13])):
        expected = np.zeros(len(labels), bool)
        expected[stratified_choice(labels, round(0.2 * len(labels)), np.random.default_rng(0))] = (
            True
        )
        np.testing.assert_array_equal(
            loader._held_out(Path("d"), labels, labels.max() + 1), expected
        )
    dataset = open_dataset(f"folder:{two_classes(tmp_path / 'd')}")
    assert dataset.untested is None and in_memory(dataset).content_hash == "caee5b4a9fceb6d8"


# labels.csv


def listed(root: Path, text: str | bytes, images: int = 12) -> Path:
    for number in range(images):
        write(root / "p" / f"{number:02}.png", number)
    (root / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def lines(
    label=lambda n: "ab"[n % 2],
    path=lambda n: f"p/{n:02}.png",
    separator: str = ",",
    images: int = 12,
) -> str:
    return f"path{separator}label\n" + "".join(
        f"{path(n)}{separator}{label(n)}\n" for n in range(images)
    )


WRONG = {
    "a comma in a label": (
        "path,label\np/00.png,dog, small\n",
        "line 2 of",
        "has 3 fields for 2 columns: quote a label",
    ),
    "a comma on a later line": (
        lines() + "p/00.png,a,\n",
        "line 14 of",
        "has 3 fields for 2 columns",
    ),
    "a field left out": (
        "path,label,split\np/00.png,a\n",
        "line 2 of",
        "has 2 fields for 3 columns",
    ),
    "a column twice": ("path,label,Label\np/00.png,a,b\n", "names the column label twice"),
    "after a label of two lines": (
        'path,label\np/00.png,"a\nb"\n\np/01.png,nan\n',
        "line 5 of",
        "the label 'nan'",
    ),
    "a quote that is not closed": (
        'path,label\np/00.png,"a\np/01.png,b\n',
        "after line 1 (unexpected end of data)",
    ),
    "null bytes": (
        "path,label\np/00.png,a".encode("utf-16-le"),
        "it holds null bytes): save it as UTF-8",
    ),
    "Latin-1": (
        "path,label\np/00.png,café\n".encode("latin-1"),
        "line 2 of",
        "no text in UTF-8: save the file as UTF-8",
    ),
    "nothing": ("", "has no column path and label"),
    "another name of a column": (
        "filename,label\n",
        "has no column path (it begins with 'filename,label')",
    ),
    "no names of columns": (
        "p/00.png,a\n",
        "(it begins with 'p/00.png,a'): name the columns in its first line",
    ),
    "a clean label as a fraction": (
        "path,label,clean_label\np/00.png,1,1.0\np/01.png,0,\n",
        "line 2 of",
        "spell it '1'",
    ),
    "a clean label of no class": (
        "path,label,clean_label\np/00.png,1,\np/01.png,0,?\n",
        "line 3 of",
        "leave it empty if",
    ),
    "other case": (
        "path,label\np/00.PNG,a\np/01.PNG,a\n",
        "line 2 of",
        "not there (nor are those of 1 other line)",
    ),
    "a folder as image": ("path,label\np,a\n", "names 'p', which is not there"),
    "a field too long": (
        f"path,label\np/00.png,{'x' * 200_000}\n",
        "field larger than field limit",
    ),
    **{
        f"missing as {name}": (
            f"path,label\np/00.png,a\np/01.png,{name}\n",
            "line 3 of",
            f"has the label {name!r}",
        )
        for name in ("nan", "NaN", "NA", "N/A", "NULL", "null", "None", "#N/A", "<NA>")
    },
    **{
        f"twice as {other}": (
            f"path,label\np/00.png,a\np/01.png,b\n{other},b\n",
            "lines 2 and 4 of",
            "name an image twice",
        )
        for other in (
            "./p/00.png",
            "p//00.png",
            "p/../p/00.png",
            "link/00.png",
            "alias.png",
            "p\\00.png",
            '" p/00.png"',
        )
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_lines_that_are_not_clear_are_refused_with_their_number(tmp_path, case):
    text, *messages = WRONG[case]
    root = listed(tmp_path / "d", text)
    (root / "link").symlink_to("p")
    (root / "alias.png").symlink_to("p/00.png")
    said = refused(root)
    assert all(message in said for message in messages), said


def test_one_image_by_its_absolute_and_its_relative_path(tmp_path):
    root = listed(tmp_path / "d", f"path,label\np/00.png,a\n{tmp_path}/d/p/00.png,b\n")
    assert "lines 2 and 3 of" in refused(root)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators_of_spreadsheets(tmp_path, encoding, separator):
    text = lines(lambda n: '"x, y"' if n % 2 else '"é;\t"', separator=separator)
    dataset = open_dataset(f"folder:{listed(tmp_path, text.encode(encoding))}")
    assert dataset.classes == ("x, y", "é;") and len(dataset.train_labels) == 10


def test_spellings_of_paths_lead_to_the_same_data_set(tmp_path):
    root = listed(tmp_path / "d", lines())
    expected = open_dataset(f"folder:{root}")
    spellings = [
        lambda n: f"p\\{n:02}.png",
        lambda n: f"./p/{n:02}.png",
        lambda n: f"{root}/p/{n:02}.png",
    ]
    spellings += [lambda n: f"{root}/../d/p/{n:02}.png", lambda n: f'" p/{n:02}.png"']
    for path in spellings:
        (root / "labels.csv").write_text(lines(path=path))
        dataset = open_dataset(f"folder:{root}")
        assert dataset.train_names.tolist() == expected.train_names.tolist()
        assert dataset.content_hash == expected.content_hash


def test_paths_in_another_unicode_form_and_a_way_up_behind_a_link(tmp_path):
    root = listed(tmp_path / "d", "", 2)
    for number in range(10):
        write(root / unicodedata.normalize("NFD", f"é{number}.png"), number)
    write(tmp_path / "far" / "x.png", 100)
    (tmp_path / "far" / "below").mkdir()
    (root / "link").symlink_to(tmp_path / "far" / "below")
    write(root / "x.png", 200)
    text = lines(path=lambda n: f"é{n}.png" if n < 10 else ("link/../x.png", "x.png")[n - 10])
    (root / "labels.csv").write_text(text)
    dataset = in_memory(open_dataset(f"folder:{root}"))
    values = [*dataset.train_images[:, 0, 0, 0].tolist(), *dataset.test_images[:, 0, 0, 0].tolist()]
    assert sorted(values) == [*range(10), 100, 200], (
        "the operating system's way, not that of the letters"
    )


def test_both_differences_between_list_and_folder_are_counted(tmp_path):
    root = listed(tmp_path / "d", lines(images=9))
    write(root / "p" / ".hidden.png", 50)
    (root / "notes.txt").write_text("hello")
    outside = write(tmp_path / "outside.png", 60)
    with (root / "labels.csv").open("a") as file:
        file.write(f"{outside},a\np/.hidden.png,b\n")
    dataset = open_dataset(f"folder:{root}")
    account = dataset.account
    assert account.passed_over == {
        NOT_LISTED: ("p/09.png", "p/10.png", "p/11.png"),
        NO_IMAGE: ("notes.txt",),
        LIST: ("labels.csv",),
    }
    assert account.used == len(dataset.train_labels) + len(dataset.test_labels) == 11
    assert (
        account.files == files_below(root) + 1
        and "outside the folder, counted too: 1" in account.notes[0]
    )


def test_splits_and_missing_values_of_the_list(tmp_path):
    parts = ["Training", "VALID", "testing", ""]
    rows = [
        f"p/{n:02}.png,{'ab'[n // 4 % 2]},{('nan', 'a')[n < 4]},{parts[n % 4]},7" for n in range(12)
    ]
    root = listed(tmp_path, "path,label,Clean Label,split,score\n" + "\n".join(rows) + "\n")
    dataset = open_dataset(f"folder:{root}")
    assert (len(dataset.train_labels), len(dataset.test_labels)) == (6, 3)
    assert dataset.account.passed_over[NO_USE] == ("p/01.png", "p/05.png", "p/09.png")
    assert (dataset.train_labels != UNKNOWN).sum() == 2, "nan is no class"
    said = " ".join(dataset.account.notes)
    assert (
        "where clean_label is nan, NA, NULL or the like, read as empty: 8" in said
        and "not used: score" in said
    )
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("testing", "train"))
    dataset = open_dataset(f"folder:{root}")
    assert len(
        dataset.test_labels
    ) == 3 and "its validation images are what methods are tested on" in " ".join(dataset.remarks)


def test_a_list_without_splits_says_that_the_folders_of_splits_mean_nothing(tmp_path):
    split_folders(tmp_path, "train", "test")
    paths = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    (tmp_path / "LABELS.CSV").write_text(
        "path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in paths)
    )
    dataset = open_dataset(f"folder:{tmp_path}")
    assert "the folders' names (test, train) have no meaning" in dataset.account.notes[0]
    assert dataset.account.passed_over == {LIST: ("LABELS.CSV",)}


@pytest.mark.parametrize("kind", ["folder", "dead link", "pipe"])
def test_a_list_that_is_no_file(tmp_path, kind):
    root = two_classes(tmp_path)
    path = root / "labels.csv"
    {
        "folder": path.mkdir,
        "dead link": lambda: path.symlink_to("nowhere"),
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    assert "labels.csv' is no file that can be read" in refused(root)


# orders


def test_names_that_are_no_text_are_read_sorted_and_hashed(tmp_path, capsys):
    root = two_classes(tmp_path / "d")
    os.rename(root / "a" / "00.png", os.fsencode(root / "a") + b"/caf\xe9.png")
    write(root / "a" / "\ue000.png", 70)  # after the byte in every order of bytes
    os.rename(root / "b", os.fsencode(root) + b"/\xff\n")
    dataset = open_dataset(f"folder:{root}")
    assert dataset.classes == ("\\xff\\n", "a")
    assert dataset.account.used == 21 and len(in_memory(dataset).content_hash) == 16
    assert dataset.content_hash, "by names"


def test_the_list_of_images_with_odd_names_is_read_back(tmp_path, capsys):
    root = two_classes(tmp_path / "d")
    for number, name in enumerate((b"caf\xe9.png", b"line\nbreak.png", b"back\\slash.png")):
        os.rename(root / "a" / f"0{2 * number}.png", os.fsencode(root / "a") + b"/" + name)
    names = open_dataset(f"folder:{root}").all_names.tolist()
    with pytest.raises(SystemExit):
        execute(data_command, ["images", f"folder:{root}"])
    (root / "labels.csv").write_text(capsys.readouterr().out)
    assert open_dataset(f"folder:{root}").all_names.tolist() == names


def test_order_and_content_do_not_depend_on_file_system_locale_or_hash_seed(tmp_path):
    names = [
        "b/1.png",
        "a/é.png",
        "a/z.png",
        "10/B.png",
        "9/1.png",
        "a/\ue000.png",
        "b/\U0001f600.png",
        "9/caf\udce9.png",
    ]
    results = set()
    program = (
        "import sys, os; from bench.datasets import open_dataset; d = "
        "open_dataset('folder:d')\nnames = [os.fsencode(n) for i in (d.train_images, "
        "d.test_images) for n in i.names.tolist()]\nprint(d.content_hash, names, len(d.classes), "
        "d.account.summary)"
    )
    for number, locale in enumerate(["C.UTF-8", "C", "POSIX"]):
        place = tmp_path / str(number)
        shuffled = random.Random(number).sample(names, len(names))
        for name in shuffled:
            write(place / "d" / name, names.index(name))
        env = {
            **os.environ,
            "PYTHONHASHSEED": str(number),
            "LC_ALL": locale,
            "PYTHONPATH": os.getcwd(),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=place, env=env, capture_output=True, check=True
        )
        results.add(done.stdout)
    assert len(results) == 1, results


# generated


def outcome(tmp_path: Path, seed: int) -> str:
    """Return ``whole`` or the sentence that refuses a random folder; check its account."""
    top = random_folder(tmp_path / str(seed), seed)
    files = files_below(top)
    try:
        opened = open_dataset(f"folder:{top}")
    except InputError as error:
        assert str(error).isprintable()
        return str(error)
    assert opened.account.files == files
    assert opened.account.used == len(opened.train_labels) + len(opened.test_labels)
    try:
        whole = in_memory(opened, warn=False)
    except InputError as error:  # none of a class's images can be read
        return str(error)
    assert whole.account.files == files
    assert whole.account.used == len(whole.train_labels) + len(whole.test_labels)
    assert all(line.isprintable() for line in [*whole.remarks, *whole.account.examples()])
    return "whole"


def test_random_folders_become_data_sets_or_one_sentence(tmp_path):
    outcomes = [outcome(tmp_path, seed) for seed in range(30)]
    assert outcomes.count("whole") >= 10 and len(set(outcomes)) >= 4, outcomes


@pytest.mark.slow
def test_three_hundred_random_folders_become_data_sets_or_one_sentence(tmp_path):
    outcomes = [outcome(tmp_path, seed) for seed in range(30, 330)]
    assert outcomes.count("whole") >= 100


def test_random_folders_through_the_command(tmp_path, capsys):
    for seed in range(1000, 1006):
        top = random_folder(tmp_path / str(seed), seed)
        status, text = check(capsys, top)
        assert status in (0, 1, 2) and (status == 2 or f"{files_below(top):,} files: " in text)
        assert status != 2 or (text.startswith("Error: ") and text.count("\n") == 1)


def test_a_part_of_a_folder_says_how_many_of_its_files_are_used(tmp_path):
    remarks = open_dataset(f"folder:{two_classes(tmp_path)}").subset(4).remarks
    assert (
        remarks[0].endswith("20 files: 20 used")
        and "--subset takes 4 of 16 training images" in remarks
    )
