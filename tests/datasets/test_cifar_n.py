"""CIFAR-N: files in the authors' formats, and files that are refused."""

import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.datasets import Dataset, check_dataset, from_arrays, load_dataset
from bench.datasets.published import cifar, cifar_n
from bench.errors import InputError
from bench.noise import NoiseSpec, check_noise, corrupt, default_noise

COUNT = 200
COLUMNS = {
    "human-aggregate": "aggre_label",
    "human-random1": "random_label1",
    "human-random2": "random_label2",
    "human-random3": "random_label3",
    "human-worst": "worse_label",
}


def stand_in(labels: np.ndarray, num_classes: int = 10) -> Dataset:
    """Return a data set of these training labels, with blank images."""
    blank, test = np.zeros((len(labels), 4, 4), np.uint8), np.zeros((num_classes, 4, 4), np.uint8)
    classes = tuple(f"class {number}" for number in range(num_classes))
    return from_arrays("stand-in", blank, labels, test, np.arange(num_classes), classes)


@pytest.fixture
def cifar10() -> Dataset:
    return stand_in(np.random.default_rng(0).permutation(np.arange(COUNT) % 10))


@pytest.fixture
def cifar100() -> Dataset:
    return stand_in(np.random.default_rng(0).permutation(np.arange(COUNT) % 100), 100)


def content(dataset: Dataset) -> dict:
    """Return the columns of the authors' files, each wrong at different places."""
    clean = dataset.train_labels
    if dataset.num_classes == 100:
        coarse = {
            "clean_coarse_label": (clean % 20).tolist(),
            "noisy_coarse_label": (clean % 7).tolist(),
        }
        return {
            "clean_label": clean,
            "noisy_label": np.where(np.arange(COUNT) % 3, clean, (clean + 1) % 100),
            **coarse,
        }
    noisy = {
        key: np.where(np.arange(COUNT) % (step + 2), clean, (clean + 1) % 10)
        for step, key in enumerate(COLUMNS.values())
    }
    return {"clean_label": clean, **noisy}


def write_pt(path: Path, columns: dict, core: bytes = b"core") -> Path:
    """Save as the authors did: with NumPy 1, whose module for arrays has another name."""
    torch.save(columns, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(
                name, raw.replace(b"numpy._core.multiarray", b"numpy." + core + b".multiarray")
            )
    return path


def write_npy(path: Path, columns: object, core: bytes = b"core") -> Path:
    raw = pickle.dumps(np.array(columns, dtype=object), protocol=3)
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    body = raw.replace(b"numpy._core.multiarray", b"numpy." + core + b".multiarray")
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)
    return path


@pytest.mark.parametrize("core", [b"core", b"_core"], ids=["NumPy 1", "NumPy 2"])
@pytest.mark.parametrize("write", [write_pt, write_npy])
def test_cifar10n_is_read_from_the_authors_formats(tmp_path, cifar10, write: Callable, core):
    path = write(tmp_path / f"labels.{write.__name__[6:]}", content(cifar10), core)
    dataset = cifar_n.from_files(cifar10, path)
    assert list(dataset.found) == list(COLUMNS)
    for kind, key in COLUMNS.items():
        assert dataset.found[kind].dtype == np.int64
        assert (dataset.found[kind] == content(cifar10)[key]).all()
        assert (corrupt(dataset, NoiseSpec(kind)) == content(cifar10)[key]).all()
        check_noise(kind, None, dataset)
    assert default_noise(dataset) == "human-aggregate"
    assert dataset.knows_truth
    check_noise("symmetric", 0.2, dataset)
    assert dataset.content_hash != cifar10.content_hash


@pytest.mark.parametrize("write", [write_pt, write_npy])
def test_cifar100n_is_read_from_the_authors_formats(tmp_path, cifar100, write: Callable):
    dataset = cifar_n.from_files(
        cifar100, write(tmp_path / f"labels.{write.__name__[6:]}", content(cifar100))
    )
    assert list(dataset.found) == ["human-noisy100"]
    assert (dataset.found["human-noisy100"] == content(cifar100)["noisy_label"]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, ">i8"])
def test_labels_of_any_integer_type_are_read(tmp_path, cifar10, dtype):
    columns = {key: values.astype(dtype) for key, values in content(cifar10).items()}
    for path in (write_pt(tmp_path / "a.pt", columns), write_npy(tmp_path / "a.npy", columns)):
        found = cifar_n.from_files(cifar10, path).found
        assert (found["human-worst"] == content(cifar10)["worse_label"]).all()


# ordered files


def write_ordered(folder: Path, dataset: Dataset) -> Path:
    """Save in TensorFlow's order, as lists of NumPy's numbers, with another key for CIFAR-100."""
    order = np.random.default_rng(1).permutation(COUNT)
    columns = {
        key.replace("noisy_label", "noise_label"): list(np.asarray(v)[order])
        for key, v in content(dataset).items()
    }
    np.save(folder / f"image_order_c{dataset.num_classes}.npy", order)
    return write_npy(folder / f"CIFAR-{dataset.num_classes}_human_ordered.npy", columns)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_ordered_files_are_brought_into_cifars_own_order(tmp_path, request, name):
    dataset = request.getfixturevalue(name)
    path = write_ordered(tmp_path, dataset)
    kind, key = (
        ("human-worst", "worse_label") if name == "cifar10" else ("human-noisy100", "noisy_label")
    )
    assert (cifar_n.from_files(dataset, path).found[kind] == content(dataset)[key]).all()
    # In the authors' repository the order is one folder up from the labels.
    (tmp_path / "data").mkdir()
    moved = path.rename(tmp_path / "data" / path.name)
    assert (cifar_n.from_files(dataset, moved).found[kind] == content(dataset)[key]).all()


def test_an_ordered_file_needs_its_order(tmp_path, cifar10):
    path = write_ordered(tmp_path, cifar10)
    order = tmp_path / "image_order_c10.npy"
    np.save(order, np.zeros(COUNT, int))
    with pytest.raises(
        InputError,
        match=r"image_order_c10\.npy' is no order of 200 images: fetch it again from https",
    ):
        cifar_n.from_files(cifar10, path)
    order.write_bytes(b"<html>")
    with pytest.raises(
        InputError, match=r"image_order_c10\.npy' is damaged, or holds more than arrays"
    ):
        cifar_n.from_files(cifar10, path)
    order.unlink()
    with pytest.raises(
        InputError, match=r"ordered\.npy' needs image_order_c10\.npy beside it or one folder up"
    ):
        cifar_n.from_files(cifar10, path)


# refused files


def test_labels_of_other_images_are_refused(tmp_path, cifar10):
    columns = content(cifar10)
    columns["clean_label"] = columns["clean_label"].copy()
    columns["clean_label"][[3, 5, 100]] = (columns["clean_label"][[3, 5, 100]] + 1) % 10
    with pytest.raises(
        InputError,
        match=r"clean_label of .*a\.pt' differs from the labels of stand-in at 3 of 200 positions",
    ):
        cifar_n.from_files(cifar10, write_pt(tmp_path / "a.pt", columns))


def test_the_labels_of_the_other_cifar_are_refused(tmp_path, cifar10, cifar100):
    with pytest.raises(
        InputError, match=r"clean_label of .* has labels from 0 to 99 for 10 classes"
    ):
        cifar_n.from_files(cifar10, write_pt(tmp_path / "a.pt", content(cifar100)))


CHANGES = {
    "a column is missing": (
        lambda c: c.pop("random_label2"),
        "lacks random_label2: fetch it again from https",
    ),
    "no truth to compare with": (lambda c: c.pop("clean_label"), "lacks clean_label"),
    "too short": (
        lambda c: c.update(worse_label=c["worse_label"][:-1]),
        "worse_label of .* has 199 labels for 200 images",
    ),
    "negative": (
        lambda c: c.update(aggre_label=c["aggre_label"] - 1),
        "aggre_label of .* has labels from -1 to 8 for 10 classes",
    ),
    "fractions": (
        lambda c: c.update(aggre_label=c["aggre_label"] / 2),
        "is damaged, or holds more than arrays of labels",
    ),
    "text": (
        lambda c: c.update(aggre_label=["cat"] * COUNT),
        "is damaged, or holds more than arrays of labels",
    ),
    "objects": (
        lambda c: c.update(aggre_label=np.array([None] * COUNT)),
        "is damaged, or holds more than arrays of labels",
    ),
}


@pytest.mark.parametrize("write", [write_pt, write_npy])
@pytest.mark.parametrize("change", CHANGES)
def test_wrong_columns_are_refused(tmp_path, cifar10, write: Callable, change):
    columns = content(cifar10)
    CHANGES[change][0](columns)
    with pytest.raises(InputError, match=CHANGES[change][1]):
        cifar_n.from_files(cifar10, write(tmp_path / f"a.{write.__name__[6:]}", columns))


def traps(ran: Path) -> dict[str, object]:
    """Return objects that create the file ``ran`` when they are unpickled."""

    class Trap:
        def __init__(self, *call: object) -> None:
            self.call = call

        def __reduce__(self):
            return self.call[0], tuple(self.call[1:])

    return {
        "a method": Trap(Path.touch, ran),
        "a shell": Trap(os.system, f"touch {ran}"),
        "eval": Trap(eval, f"open({str(ran)!r}, 'w')"),
        "a function of NumPy": Trap(np.save, ran, np.arange(2)),
        "a method of its arrays": Trap(np.ndarray.tofile, np.arange(2), str(ran)),
    }


@pytest.mark.parametrize("place", ["alone", "a column", "within a column"])
@pytest.mark.parametrize("trap", traps(Path()))
def test_no_code_in_a_file_is_run(tmp_path, cifar10, trap, place):
    ran = tmp_path / "ran"
    bad = traps(ran)[trap]
    columns = {
        "alone": bad,
        "a column": {**content(cifar10), "extra": bad},
        "within a column": {**content(cifar10), "extra": np.array([bad, 1], dtype=object)},
    }[place]
    paths = [write_pt(tmp_path / "a.pt", columns), write_npy(tmp_path / "a.npy", columns)]
    np.save(tmp_path / "b.npy", columns, allow_pickle=True)  # a newer protocol
    for path in (*paths, tmp_path / "b.npy"):
        with pytest.raises(
            InputError,
            match="holds more than arrays of labels and was not run: fetch it from https",
        ):
            cifar_n.from_files(cifar10, path)
    assert not ran.exists()


def test_the_traps_would_run(tmp_path):
    for name, trap in traps(tmp_path / "ran").items():
        pickle.loads(pickle.dumps(trap))
        assert list(tmp_path.glob("ran*")), name
        [path.unlink() for path in tmp_path.glob("ran*")]


def test_a_forged_dtype_is_refused(tmp_path, cifar10):
    """Integers with flags of pointers to objects would crash NumPy if it built them."""

    class Forged:
        def __reduce__(self):
            return np.dtype, ("i8", False, True), (3, "|", None, None, None, -1, -1, 63)

    class Array:
        def __reduce__(self):
            rebuild = np.empty(0).__reduce__()[0]
            return rebuild, (np.ndarray, (0,), b"b"), (1, (COUNT,), Forged(), False, [1] * COUNT)

    columns = {**content(cifar10), "aggre_label": Array()}
    for path in (write_pt(tmp_path / "a.pt", columns), write_npy(tmp_path / "a.npy", columns)):
        with pytest.raises(InputError, match="is damaged, or holds more than arrays of labels"):
            cifar_n.from_files(cifar10, path)


@pytest.mark.parametrize("write", [write_pt, write_npy])
def test_whatever_is_damaged_is_refused_or_read(tmp_path, cifar10, write: Callable):
    path = write(tmp_path / f"a.{write.__name__[6:]}", content(cifar10))
    whole, rng = path.read_bytes(), random.Random(0)
    for size in (0, 1, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="is damaged"):
            cifar_n.from_files(cifar10, path)
    for _ in range(300):
        raw = bytearray(whole)
        raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(raw)
        try:
            cifar_n.from_files(cifar10, path)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("raw", [b"", b"<html>404</html>", pickle.dumps({"clean_label": [1]})])
def test_files_of_another_kind_are_refused(tmp_path, cifar10, raw):
    for name in ("a.pt", "a.npy"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=rf"{name}' is damaged, or holds more"):
            cifar_n.from_files(cifar10, tmp_path / name)
    np.save(tmp_path / "plain.npy", np.arange(COUNT))
    with pytest.raises(InputError, match=r"plain\.npy' is damaged, or holds more"):
        cifar_n.from_files(cifar10, tmp_path / "plain.npy")


# by name


@pytest.fixture
def loaded(monkeypatch, cifar10):
    """List of the loads of CIFAR's images, which are the stand-in's."""
    calls = []

    def load(data_dir, side):
        calls.append(data_dir)
        return cifar10

    monkeypatch.setitem(cifar.SOURCES, "cifar10", replace(cifar.SOURCES["cifar10"], load=load))
    return calls


@pytest.mark.parametrize("folder", [".", "data", "CIFAR-N"])
@pytest.mark.parametrize(
    "name", ["CIFAR-10_human.pt", "CIFAR-10_human.npy", "CIFAR-10_human_ordered.npy"]
)
def test_label_files_are_found(tmp_path, cifar10, loaded, folder, name):
    (tmp_path / folder).mkdir(exist_ok=True)
    if "ordered" in name:
        write_ordered(tmp_path / folder, cifar10)
    else:
        (write_pt if name.endswith(".pt") else write_npy)(
            tmp_path / folder / name, content(cifar10)
        )
    dataset = load_dataset("cifar10n", tmp_path)
    assert dataset.name == "cifar10n"
    assert (dataset.found["human-worst"] == content(cifar10)["worse_label"]).all()
    assert loaded == [tmp_path]
    part = load_dataset("cifar10n", tmp_path, subset=50)
    assert {len(labels) for labels in part.found.values()} == {50}


def test_without_labels_nothing_is_downloaded(tmp_path, loaded):
    with pytest.raises(
        InputError,
        match=r"holds no CIFAR-10_human\.pt, nor do its folders data and CIFAR-N: fetch it from "
        r"http",
    ):
        load_dataset("cifar10n", tmp_path)
    assert not loaded


def test_sources_say_all_there_is_to_know():
    for name, source in cifar_n.SOURCES.items():
        check_dataset(name)
        assert all(
            (
                source.summary,
                source.size,
                source.classes,
                source.licence,
                source.citation,
                source.url,
                source.access,
            )
        )
        assert source.downloads


@pytest.mark.data
def test_real_labels_have_the_published_rates(tmp_path):
    given = Path(os.environ.get("LNL_BENCH_CIFAR10_JPEG", ""))
    if not given.is_file():
        pytest.skip(
            "no labels of CIFAR-10N: set LNL_BENCH_CIFAR10_JPEG to an .npz file of train_labels "
            "and cifar10n_*"
        )
    with np.load(given) as archive:
        labels = archive["train_labels"].astype(np.int64)
        names = ["aggre", "random1", "random2", "random3", "worst"]
        named = {key: f"cifar10n_{name}" for key, name in zip(COLUMNS.values(), names, strict=True)}
        columns = {key: archive[name].astype(np.int64) for key, name in named.items()}
    path = write_pt(tmp_path / "CIFAR-10_human.pt", {"clean_label": labels, **columns})
    dataset = cifar_n.from_files(stand_in(labels), path)
    rates = {
        kind: round(float(100 * (noisy != labels).mean()), 2)
        for kind, noisy in dataset.found.items()
    }
    assert list(rates.values()) == [9.01, 17.23, 18.12, 17.64, 40.21]
