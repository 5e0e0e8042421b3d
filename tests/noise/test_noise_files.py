"""Noisy labels and matrices in files, and the command ``python -m bench.noise``."""

import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cli.noise import main
from bench.cli.run import main as run_main
from bench.errors import InputError
from bench.noise import (
    NoiseSpec,
    check_noise,
    contents,
    corrupt,
    fingerprint,
    label_hash,
    reading_once,
)
from bench.noise.files import FORMATS, OrderedLabels, read_file, write_labels
from bench.noise.matrices import read_matrix
from bench.planning.spec import Plan, TrialSpec, expand_hparams
from bench.report.plots import render
from bench.report.plots.noise import matrix_figure
from bench.training.trial import run_trial

ROOT = Path(__file__).resolve().parents[2]
LABELS = np.array([3, 0, 2, 2, 1])


def npy(header: str) -> bytes:
    """Return a .npy file with this header."""
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode()


def read_labels(path: Path, key: str | None = None) -> np.ndarray:
    """Return labels that a file has in order."""
    content = read_file(path, key)
    assert isinstance(content, OrderedLabels)
    return content.labels


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    """Return exit status, output and errors of the command, run in this process."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def refused(capsys, *arguments: object) -> str:
    """Return the one-line error of a command that is refused."""
    status, _, errors = call(capsys, *arguments)
    assert status == 2
    assert errors.startswith("Error: ") and errors.count("\n") == 1 and "Traceback" not in errors
    return errors


# ----------------------------------------------------------------------------
# labels


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_comes_back(file_format, tmp_path):
    path = tmp_path / "sub" / f"labels{FORMATS[file_format]}"
    write_labels(path, LABELS, file_format)
    labels = read_labels(path)
    assert labels.tolist() == LABELS.tolist() and labels.dtype == np.int64
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_formats_are_those_of_other_programs(tmp_path):
    for name, ending in FORMATS.items():
        write_labels(tmp_path / f"labels{ending}", LABELS, name)
    assert json.loads((tmp_path / "labels.json").read_text()) == LABELS.tolist()
    assert (np.load(tmp_path / "labels.npy") == LABELS).all()
    assert torch.load(tmp_path / "labels.pt", weights_only=True).tolist() == LABELS.tolist()
    assert (tmp_path / "labels.csv").read_text() == "index,label\n0,3\n1,0\n2,2\n3,2\n4,1\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.json", "[3, 0, 2, 2, 1]\n"),
        ("l.csv", "3\n0\n2\n2\n1\n"),
        ("l.txt", "3\r\n0\r\n2\r\n2\r\n1\r\n\r\n"),
        ("l.csv", "index,label\n4,1\n0,3\n2,2\n1,0\n3,2\n"),
        ("l.csv", "\ufeffIndex, Label\r\n4, 1\r\n0, 3\r\n2, 2\r\n1, 0\r\n3, 2\r\n"),
    ],
)
def test_labels_that_others_wrote(name, content, tmp_path):
    (tmp_path / name).write_text(content, newline="")
    assert read_labels(tmp_path / name).tolist() == LABELS.tolist()


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i4", "<i8", ">i8", "u2"])
def test_arrays_of_every_width(dtype, tmp_path):
    np.save(tmp_path / "l.npy", LABELS.astype(dtype))
    torch.save({"labels": LABELS.astype(dtype)}, tmp_path / "l.pt")
    assert read_labels(tmp_path / "l.npy").tolist() == LABELS.tolist()
    assert read_labels(tmp_path / "l.pt").tolist() == LABELS.tolist()


def test_a_pt_as_cifar10n_has_it_is_a_dict_of_arrays(tmp_path):
    path = tmp_path / "CIFAR-10_human.pt"
    torch.save({"clean_label": 0 * LABELS, "worse_label": LABELS}, path)
    assert read_labels(path, "worse_label").tolist() == LABELS.tolist()
    with pytest.raises(
        InputError,
        match=r"CIFAR-10_human.pt' holds clean_label, worse_label: choose one with .* --key NAME",
    ):
        read_labels(path)
    with pytest.raises(
        InputError, match=r"there is no entry of .* 'worst_label': did you mean worse_label"
    ):
        read_labels(path, "worst_label")


def test_a_pt_of_numpy_1_and_of_old_torch_is_read(tmp_path):
    """NumPy 1 calls its function by another name, and torch before 1.6 wrote no archive."""
    torch.save({"labels": LABELS}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pt").read_bytes()
    assert b"numpy._core.multiarray" in content
    assert read_labels(tmp_path / "old.pt").tolist() == LABELS.tolist()
    (tmp_path / "older.pt").write_bytes(
        content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    )
    assert read_labels(tmp_path / "older.pt").tolist() == LABELS.tolist()


class Malicious:
    """Object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".npy"])
@pytest.mark.parametrize("how", ["torch", "old torch", "pickle", "object array", "in a dict"])
def test_a_malicious_pickle_runs_nothing(how, ending, tmp_path):
    path, victim = tmp_path / f"labels{ending}", tmp_path / "made"
    if how == "object array":
        if ending == ".npy":
            np.save(path, np.array([Malicious(victim)], dtype=object), allow_pickle=True)
        else:
            torch.save({"labels": np.array([Malicious(victim)], dtype=object)}, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(Malicious(victim)))
    else:
        content = (
            {"labels": LABELS, "other": Malicious(victim)}
            if how == "in a dict"
            else Malicious(victim)
        )
        torch.save(content, path, _use_new_zipfile_serialization=how != "old torch")
    with pytest.raises(InputError, match=r"as .npy|numpy.save"):
        read_labels(path, "labels" if ending != ".npy" and how == "in a dict" else None)
    assert not victim.exists()
    if ending != ".npy" and how == "torch":
        torch.load(path, weights_only=False)
        assert victim.exists(), "the pickle does what it should not"


class Forged:
    """Object that pickles as a call of a function of NumPy, and then as a state."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple:
        return self.parts


def test_a_forged_array_is_no_array(tmp_path):
    """A forged dtype may declare numbers as objects, which NumPy would follow as addresses."""
    rebuild = np.zeros(0).__reduce__()[0]
    objects = Forged(np.dtype, ("O", False, True))
    forged = Forged(
        np.dtype, ("i8", False, True), (3, "<", None, ("a",), {"a": (objects, 0)}, 8, 1, 0)
    )
    for shape, kind, data in [
        ((4,), forged, b"A" * 32),
        ((4,), objects, b"A" * 32),
        ((9,), forged, b"A" * 8),
        ((4,), 3, 3),
    ]:
        array = Forged(rebuild, (np.ndarray, (0,), b"b"), (1, shape, kind, False, data))
        torch.save({"labels": array}, tmp_path / "l.pt")
        if shape == (4,) and kind is forged:  # of which nothing but its plain numbers is taken
            assert read_labels(tmp_path / "l.pt").dtype.fields is None
            continue
        with pytest.raises(
            InputError, match="is damaged, or holds more than tensors and arrays of integers"
        ):
            read_labels(tmp_path / "l.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.json", b"[1, 2", "is no JSON"),
        ("l.json", b"[1, 2.5]", "is no list of integers: give DivideMix's format, as [3, 0, 7]"),
        ("l.json", b"[1, true]", "is no list of integers"),
        ("l.json", b"[[1], [2]]", "is no list of integers"),
        ("l.json", b'{"a": 1}', "is no list of integers"),
        ("l.json", b"[1e400, 99999999999999999999]", "is no list of integers"),
        (
            "l.json",
            b"[]",
            "holds int64 of shape (0,): give a file with one integer for each training image",
        ),
        ("l.json", b"\xff\xfe", "is no text"),
        ("l.csv", b"", "holds no labels: give a label a line"),
        ("l.csv", b"index,label\n", "holds no labels"),
        (
            "l.csv",
            b"label\n1\n",
            "line 1, is 'label': give a label a line, or index,label under that header",
        ),
        ("l.csv", b"1\n2.0\n", "line 2, is '2.0'"),
        (
            "l.csv",
            b"0,1\n1,1\n",
            "line 1, is '0,1': give a label a line, or index,label under that header",
        ),
        ("l.csv", b"index,label\n0,1\n\n0,2\n", "lines 2 and 4 of"),
        ("l.csv", b"index,label\n1,1\n2,2\n", "are not 0 to 1, each once"),
        ("l.csv", b"99999999999999999999\n", "give a label a line"),
        ("l.npy", b"", "is no array of numbers"),
        ("l.npy", b"\x93NUMPY", "is no array of numbers"),
        ("l.npy", npy("{'descr': '<i8', ("), "is no array of numbers"),
        (
            "l.npy",
            npy(f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({10**30},)}}"),
            "is no array of numbers",
        ),
        ("l.npz", b"", "has no known ending: labels are read from .json (DivideMix's), .npy"),
        ("l", b"", "has no known ending"),
        ("L.CSV", b"1\nx\n", "line 2, is 'x'"),
        ("L.NPY", b"", "is no array of numbers"),
        ("l.pt", b"", "is damaged, or holds more than tensors and arrays of integers"),
        ("l.pt", b"PK\x03\x04 and no more", "is damaged"),
        ("l.pt", b"garbage", "is damaged"),
        ("l.pt", b"\x80\x02}.", "is damaged"),
    ],
)
def test_damaged_labels_are_refused_with_the_fix(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_labels(tmp_path / name)
    assert message in str(error.value) and str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            torch.rand(5),
            "holds a tensor of torch.float32: give one with one integer for each image",
        ),
        (torch.eye(3, dtype=torch.int64).to_sparse(), "holds a tensor of torch.int64"),
        (torch.rand(5, requires_grad=True).bfloat16(), "holds a tensor of torch.bfloat16"),
        (torch.ones(3, dtype=torch.int64, device="meta"), "holds a tensor of torch.int64"),
        (torch.tensor([True, False]), "holds bool of shape (2,)"),
        (torch.ones(5, 2, dtype=torch.int64), "holds int64 of shape (5, 2)"),
        ({"labels": "many"}, "holds a str instead of labels"),
        ({}, "holds a NoneType instead of labels"),
        ({"labels": np.zeros(3)}, "holds more than tensors and arrays of integers"),
    ],
)
def test_a_pt_of_something_else_is_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "l.pt")
    with pytest.raises(InputError) as error:
        read_labels(tmp_path / "l.pt")
    assert message in str(error.value)


@pytest.mark.parametrize("cut", [10, 100, 400, -30])
def test_a_pt_cut_short_is_refused(cut, tmp_path):
    torch.save(torch.arange(100), tmp_path / "l.pt")
    (tmp_path / "l.pt").write_bytes((tmp_path / "l.pt").read_bytes()[:cut])
    with pytest.raises(InputError, match="is damaged"):
        read_labels(tmp_path / "l.pt")


def test_a_key_is_for_files_that_have_some(tmp_path):
    write_labels(tmp_path / "l.npy", LABELS, "npy")
    write_labels(tmp_path / "l.pt", LABELS, "pt")
    for name in ("l.npy", "l.pt"):
        with pytest.raises(
            InputError, match="holds one list of labels and no 'worse_label': leave out --key"
        ):
            read_labels(tmp_path / name, "worse_label")


def test_what_cannot_be_read_or_written_is_refused(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"folder.npy' cannot be read"):
        read_labels(tmp_path / "folder.npy")
    with pytest.raises(InputError, match=r"^there is no file .*nowhere.npy'"):
        read_labels(tmp_path / "nowhere.npy")
    with pytest.raises(InputError, match=r"is to be in the format dividemix: name it 'l.json'"):
        write_labels(tmp_path / "l.npy", LABELS, "dividemix")
    with pytest.raises(InputError, match="there is no format of labels 'yaml'"):
        write_labels(tmp_path / "l.yaml", LABELS, "yaml")
    with pytest.raises(InputError, match=r"cannot write .* choose another --out"):
        write_labels(tmp_path / "file" / "l.npy", LABELS, "npy")


# ----------------------------------------------------------------------------
# matrices


@pytest.mark.parametrize(
    "content", ["0.9,0.1\n0.25,0.75\n", "0.9 0.1\n0.25  0.75", "0.9, 0.1\r\n\r\n0.25, 0.75\r\n"]
)
def test_a_matrix_in_text(content, tmp_path):
    (tmp_path / "T.csv").write_text(content, newline="")
    assert read_matrix(tmp_path / "T.csv").tolist() == [[0.9, 0.1], [0.25, 0.75]]


def test_a_matrix_of_rounded_numbers_is_scaled(tmp_path):
    (tmp_path / "T.txt").write_text("0.333 0.333 0.333\n0 1 0\n0 0 1\n")
    assert read_matrix(tmp_path / "T.txt").sum(1).tolist() == pytest.approx([1, 1, 1], abs=1e-12)


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "T.npy",
            npy(np.eye(3)[:2]),
            "holds an array of shape (2, 3): give a row and a column for each class",
        ),
        ("T.npy", npy(np.eye(3)[0]), "holds an array of shape (3,)"),
        (
            "T.npy",
            npy([[1.5, -0.5], [0, 1]]),
            "is no matrix of probabilities: give numbers from 0 to 1, without gaps",
        ),
        ("T.npy", npy([[np.nan, 1], [0, 1]]), "is no matrix of probabilities"),
        ("T.npy", npy([["a", "b"], ["c", "d"]]), "is no matrix of probabilities"),
        (
            "T.npy",
            npy([[0.5, 0.4], [0, 1]]),
            "sums to 0.9: give in each row, of a true class, the probabilities of all labels",
        ),
        ("T.npy", npy([[0.9, 0.6], [0.1, 0.4]]), "sums to 1.5 (its columns do: transpose it)"),
        ("T.npy", b"", "is no array of numbers"),
        ("T.csv", b"a,b\n0.5,0.5\n", "is no table of numbers"),
        ("T.csv", b"1,0\n0\n", "is no table of numbers"),
        ("T.csv", b"", "holds an array of shape (0,)"),
        (
            "T.json",
            b"[[1, 0], [0, 1]]",
            "has no known ending: a matrix is read from .npy, .csv or .txt",
        ),
    ],
)
def test_impossible_matrices_are_refused_with_the_fix(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        check_noise(f"matrix:{tmp_path / name}", None)
    assert message in str(error.value).replace("array(", "") and str(tmp_path / name) in str(
        error.value
    )


# ----------------------------------------------------------------------------
# kinds of a file


def test_a_matrix_has_to_fit_the_classes(tmp_path, tiny_dataset):
    np.save(tmp_path / "T.npy", np.eye(3))
    with pytest.raises(
        InputError, match=r"is for 3 classes, but tiny has 4: give a row and a column for each"
    ):
        check_noise(f"matrix:{tmp_path / 'T.npy'}", None, tiny_dataset)


@pytest.mark.parametrize("file_format", FORMATS)
def test_labels_of_a_file_are_the_noise(file_format, tmp_path, tiny_dataset):
    noisy = corrupt(tiny_dataset, NoiseSpec("symmetric", 0.5))
    path = tmp_path / f"l{FORMATS[file_format]}"
    write_labels(path, noisy, file_format)
    check_noise(f"labels:{path}", None, tiny_dataset)
    assert (
        corrupt(tiny_dataset, NoiseSpec(f"labels:{path}", None, 7, "independent")) == noisy
    ).all()


def test_labels_of_a_file_have_to_fit_the_data(tmp_path, digits):
    kind = f"labels:{tmp_path / 'l.npy'}"
    write_labels(tmp_path / "l.npy", digits.train_labels, "npy")
    with pytest.raises(
        InputError,
        match=r"are 1437 labels in .* for 500 training images of digits: .* leave out --subset",
    ):
        check_noise(kind, None, digits.subset(500))
    write_labels(tmp_path / "l.npy", digits.train_labels + 1, "npy")
    with pytest.raises(
        InputError, match=r"go from 1 to 10, but digits has 10 classes: count them from 0"
    ):
        check_noise(kind, None, digits)
    with pytest.raises(InputError, match="count them from 0"):
        corrupt(digits, NoiseSpec(kind))


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "b.csv").write_text("1\n")
    (tmp_path / "c.csv").write_text("2\n")
    kinds = [
        f"{kind}:{tmp_path / name}" for kind in ("labels", "matrix") for name in ("a.csv", "b.csv")
    ]
    # sha256 of "1\n", by any other program
    assert {fingerprint(kind) for kind in kinds} == {"4355a46b19d348dc"}
    assert fingerprint(f"labels:{tmp_path / 'c.csv'}") != "4355a46b19d348dc"
    assert fingerprint("symmetric") is None and fingerprint("openset:npz:a.npz") is None
    with pytest.raises(InputError, match="there is no file"):
        fingerprint("labels:nowhere.npy")


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """Return the files of noise that were read from disk."""
    paths: list[Path] = []
    original = contents._bytes
    monkeypatch.setattr(contents, "_bytes", lambda path: paths.append(path) or original(path))
    return paths


def test_a_file_is_read_once_for_a_plan_and_not_for_copies_of_its_trials(digits, tmp_path, reads):
    path = tmp_path / "l.npy"
    write_labels(path, digits.train_labels, "npy")
    plan = Plan(noise_kind=f"labels:{path}")
    configurations = expand_hparams(["elr", "gce", "mixup"], {}, {})
    specs = [
        spec for _ in range(3) for spec in plan.specs(digits, configurations, [None], range(3))
    ]
    assert len(specs) == 27 and reads == [path] * 2, "to check it, and for its hash"
    reads.clear()
    assert [replace(spec, stage="tuned").noise_hash for spec in specs] == [
        fingerprint(f"labels:{path}")
    ] * 27
    assert TrialSpec.from_json(specs[0].to_json()) == specs[0]
    assert reads == [path], "by this test itself"


def test_a_command_reads_the_file_once(digits, tmp_path, reads, capsys):
    path = tmp_path / "l.npy"
    write_labels(path, digits.train_labels, "npy")
    with pytest.raises(SystemExit) as end:
        run_main(["--methods", "elr,gce", "--noise-kind", f"labels:{path}", "--dry-run"])
    assert not end.value.code and reads == [path]
    assert contents._READ.get() is None, "what comes after planning reads the file anew"


def test_a_changed_file_is_seen_by_the_next_command_and_by_the_trial(digits, tmp_path):
    path = tmp_path / "l.npy"
    kind = f"labels:{path}"
    write_labels(path, digits.train_labels, "npy")
    with reading_once():
        before = fingerprint(kind)
        [spec] = Plan(noise_kind=kind).specs(digits, expand_hparams(["ce"], {}, {}), [None], [0])
        path.write_bytes(b"not read within one planning")
        assert fingerprint(kind) == before
    write_labels(path, (digits.train_labels + 1) % 10, "npy")
    assert fingerprint(kind) != before
    with pytest.raises(
        InputError, match="is not the one the trial was planned with: put that one back"
    ):
        run_trial(spec, digits)
    path.unlink()
    assert replace(spec, stage="tuned").noise_hash == before, (
        "records of a file that is gone can be read"
    )


# ----------------------------------------------------------------------------
# the command


def test_show_prints_and_plots(capsys, tmp_path, digits):
    out = tmp_path / "plots" / "asymmetric.png"
    status, text, errors = call(
        capsys, "show", "--kind", "asymmetric", "--rate", "0.4", "--seed", 3, "--out", out
    )
    assert status == 0 and errors == ""
    noisy = corrupt(digits, NoiseSpec("asymmetric", 0.4, 3))
    assert "nominal rate   40.00 %" in text
    assert f"realised rate  {100 * (noisy != digits.train_labels).mean():.2f} %" in text
    assert f"label hash     {label_hash(noisy)}" in text
    [line] = [line for line in text.splitlines() if line.split()[:1] == ["7"]]
    assert line.split() == ["7", "143", "39.9", "1", "39.9"], "57 of 143"
    assert (
        out.read_bytes().startswith(b"\x89PNG") and b"<svg" in out.with_suffix(".svg").read_bytes()
    )


def test_show_of_noise_without_a_rate(capsys, tmp_path):
    (tmp_path / "T.csv").write_text(
        "\n".join(",".join("1" if i == j else "0" for j in range(10)) for i in range(10))
    )
    status, text, _ = call(
        capsys, "show", "--kind", f"matrix:{tmp_path / 'T.csv'}", "--out", tmp_path / "T.png"
    )
    assert status == 0 and "nominal rate   none" in text and "realised rate  0.00 %" in text
    status, text, _ = call(
        capsys, "show", "--kind", "openset:mnist", "--rate", 0.3, "--out", tmp_path / "T.png"
    )
    assert status == 0 and "open-set noise leaves the labels as they are" in text


def test_show_where_nobody_knows_the_truth(capsys, tmp_path):
    images = np.zeros((6, 8, 8), np.uint8)
    noisy = np.arange(6) % 2
    np.savez(
        tmp_path / "d.npz",
        train_images=images,
        test_images=images,
        test_labels=noisy,
        noisy_labels=noisy,
    )
    arguments = [
        "--dataset",
        f"npz:{tmp_path / 'd.npz'}",
        "--kind",
        "found",
        "--out",
        tmp_path / "T.png",
    ]
    status, text, _ = call(capsys, "show", *arguments)
    assert status == 0 and "realised rate  unknown" in text and not (tmp_path / "T.png").exists()


@pytest.mark.parametrize("classes", [2, 20, 100])
def test_the_figure_of_any_number_of_classes(classes):
    names = tuple(f"a class of a long name {number}" for number in range(classes))
    svg = render(matrix_figure(np.eye(classes), names, "all clean"), "svg")
    assert svg == render(matrix_figure(np.eye(classes), names, "all clean"), "svg")


@pytest.mark.parametrize("file_format", FORMATS)
def test_export_and_import(file_format, capsys, tmp_path, digits):
    exported, imported = tmp_path / f"noisy{FORMATS[file_format]}", tmp_path / "labels.npy"
    noise = ["--kind", "pairflip", "--rate", "0.3", "--seed", "5"]
    status, text, _ = call(capsys, "export", *noise, "--format", file_format, "--out", exported)
    digest = label_hash(corrupt(digits, NoiseSpec("pairflip", 0.3, 5)))
    assert status == 0 and f"1,437 labels are in {exported}; label hash {digest}" in text
    status, text, _ = call(capsys, "import", exported, "--dataset", "digits", "--out", imported)
    assert status == 0 and f"label hash     {digest}" in text and "realised rate  29.99 %" in text
    assert f"--dataset digits --noise-kind labels:{imported}" in text
    assert label_hash(np.load(imported)) == digest


def test_import_of_one_of_several(capsys, tmp_path, digits):
    path = tmp_path / "human.pt"
    torch.save(
        {"clean": digits.train_labels, "worse": corrupt(digits, NoiseSpec("symmetric", 0.5))}, path
    )
    assert "holds clean, worse: choose one with" in refused(capsys, "import", path)
    status, text, _ = call(capsys, "import", path, "--key", "worse", "--out", tmp_path / "w.npy")
    assert (
        status == 0 and "realised rate  49.97 %" in text and f"labels:{tmp_path / 'w.npy'}" in text
    )
    status, text, _ = call(capsys, "import", path, "--key", "worse")
    assert status == 0 and "give --out labels.npy" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to do: give one of show, export, import, or --help"),
        (["shwo"], "there is no command 'shwo': did you mean show?"),
        (["show"], "symmetric noise needs a rate: give one with --rate"),
        (["show", "--rate", "1"], "the noise rate is 1: give a rate"),
        (["show", "--rate", "0.2", "--rate", "0.4"], "--rate is given twice"),
        (["show", "--rate", "half"], "is not a valid float"),
        (["show", "--kind", "symetric", "--rate", "0.2"], "did you mean symmetric"),
        (
            ["show", "--kind", "clean", "--rate", "0.2"],
            "clean labels take no noise rate, but --rate has 0.2: use --rate 0",
        ),
        (
            ["show", "--rate", "0.2", "--dataset", "digit"],
            "there is no data set 'digit': did you mean digits",
        ),
        (["show", "--rate", "0.2", "--out", "plot.pdf"], "is a PNG: name it 'plot.png'"),
        (["show", "--rate", "0.2", "--subset", "1"], "--subset is 1"),
        (["show", "--rate", "0.2", "--image-size", "4"], "give at least 8 pixels"),
        (["show", "--rate", "0.2", "--seed", "-1"], "-1 is not in the range"),
        (["export", "--rate", "0.2"], "Missing option '--out'"),
        (
            ["export", "--rate", "0.2", "--format", "yaml", "--out", "l.yaml"],
            "'yaml' is not one of",
        ),
        (
            ["export", "--rate", "0.2", "--format", "pt", "--out", "l.npy"],
            "is to be in the format pt: name it 'l.pt'",
        ),
        (
            ["export", "--kind", "openset:mnist", "--rate", "0.2", "--out", "l.npy"],
            "changes images and no labels",
        ),
        (["import", "nowhere.json"], "there is no file 'nowhere.json'"),
        (["import"], "Missing argument 'FILE'"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_import_refuses_labels_of_other_data(capsys, tmp_path, digits):
    write_labels(tmp_path / "l.npy", digits.train_labels[1:], "npy")
    message = refused(capsys, "import", tmp_path / "l.npy", "--out", tmp_path / "kept.npy")
    assert "there are 1436 labels in" in message and not (tmp_path / "kept.npy").exists()
    (tmp_path / "file").touch()
    write_labels(tmp_path / "l.npy", digits.train_labels, "npy")
    assert "choose another --out" in refused(
        capsys, "import", tmp_path / "l.npy", "--out", tmp_path / "file" / "k.npy"
    )
    assert "choose another --out" in refused(
        capsys, "show", "--rate", 0.2, "--out", tmp_path / "file" / "k.png"
    )


def test_the_module_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "bench.noise", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and all(
        name in done.stdout for name in ("show", "export", "import")
    )
