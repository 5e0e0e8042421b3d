"""Unreadable images are left out, in memory and streamed; files that change are named."""

import os
from pathlib import Path

import numpy as np
import pytest
from image_sets import call, own_set

from bench.datasets import FOUND, ImageFiles, load_dataset
from bench.datasets.images import damage, decoded_cache, decoding, survey
from bench.datasets.images.damage import BrokenImage
from bench.errors import InputError


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0.000001")


@pytest.mark.parametrize("memory", ["1", "0.000001"])
def test_an_unreadable_file_is_left_out_whether_in_memory_or_streamed(
    tmp_path, monkeypatch, capsys, memory
):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", memory)
    root = own_set(tmp_path / "d")
    whole = load_dataset(f"folder:{root}")
    files_of_test = {"00.png", "01.png", "02.png", "05.png"}
    content = {name: (path := next(root.rglob(name))).read_bytes() for name in files_of_test}
    for path in root.rglob("0[0125].png"):
        path.write_bytes(content[path.name][:-40])
    with pytest.warns(UserWarning, match="4 images cannot be read and are left out"):
        dataset = load_dataset(f"folder:{root}")
    assert len(dataset.train_labels) + len(dataset.test_labels) == 16 and len(
        dataset.train_images
    ) == len(dataset.train_labels)
    assert not files_of_test & {Path(str(name)).name for name in dataset.train_names}
    assert dataset.found[FOUND].tolist() == [
        "ab".index(str(name)[0]) for name in dataset.train_names
    ]
    assert dataset.files["train"].names.tolist() == dataset.train_names.tolist()
    assert dataset.files["test"].digests.shape == (len(dataset.test_labels), 32)
    part = dataset.subset(4)
    assert part.files["train"].names.tolist() == part.train_names.tolist()
    assert dataset.content_hash != whole.content_hash
    status, text = call(capsys, "check", f"folder:{root}")
    assert (
        status == 1
        and text.count("broken: ") == 4
        and "4 images cannot be read and are left out of every trial" in text
    )


def test_what_is_left_out_is_as_if_it_had_never_been_there(tmp_path, streamed):
    """The content of a streamed set is that of the files that are used."""
    for part in ("train", "test"):
        own_set(tmp_path / part)
    whole = load_dataset(f"folder:{tmp_path}").content_hash
    (tmp_path / "train" / "a" / "99.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 image cannot be read .* train/a/99\.png"):
        assert load_dataset(f"folder:{tmp_path}").content_hash == whole


def test_files_are_looked_through_once(tmp_path, streamed, monkeypatch):
    root = own_set(tmp_path / "d")
    (root / "a" / "00.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 image cannot be read"):
        first = load_dataset(f"folder:{root}")
    with monkeypatch.context() as patch:
        patch.setattr(survey, "read_bytes", lambda path: pytest.fail("read again"))
        with pytest.warns(UserWarning, match="1 image cannot be read"):
            assert load_dataset(f"folder:{root}").content_hash == first.content_hash
    (root / "a" / "02.png").write_bytes(b"no image either")
    with pytest.warns(UserWarning, match="2 images cannot be read"):
        load_dataset(f"folder:{root}")


def test_an_interrupted_look_goes_on_where_it_was(tmp_path, monkeypatch):
    root = own_set(tmp_path / "d")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    images, read = ImageFiles(str(root), np.array(names), 16), []
    monkeypatch.setattr(survey, "CHUNK", 4)

    def interrupted(path):
        read.append(path)
        if len(read) > 13:
            raise KeyboardInterrupt
        return damage.read_bytes(path)

    monkeypatch.setattr(survey, "read_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        survey.survey(images, decoding=True)
    again = []
    monkeypatch.setattr(
        survey, "read_bytes", lambda path: again.append(path) or damage.read_bytes(path)
    )
    digests = survey.survey(images, decoding=True).digests
    assert 0 < len(again) <= 12 and len(digests) == 20
    for memo in (tmp_path / "cache").glob("read-*"):
        memo.unlink()
    np.testing.assert_array_equal(survey.survey(images, decoding=True).digests, digests)


def test_what_the_machine_cannot_read_for_now_is_not_remembered(tmp_path, streamed, monkeypatch):
    root, read = own_set(tmp_path / "d"), damage.read_bytes

    def forbidden(path):
        if path.name == "00.png":
            raise BrokenImage(path, "Permission denied", passing=True)
        return read(path)

    for memory in ("0.000001", "1"):
        monkeypatch.setenv("LNL_BENCH_MEMORY_GB", memory)
        with monkeypatch.context() as patch:
            patch.setattr(survey, "read_bytes", forbidden)
            patch.setattr(decoding, "read_bytes", forbidden)
            with pytest.warns(UserWarning, match="00.png .Permission denied"):
                dataset = load_dataset(f"folder:{root}")
            assert len(dataset.train_labels) + len(dataset.test_labels) == 19
        dataset = load_dataset(f"folder:{root}")
        assert len(dataset.train_labels) + len(dataset.test_labels) == 20


@pytest.mark.parametrize("change", ["rewritten", "removed"])
@pytest.mark.parametrize("memory", ["1", "0.000001"])
def test_files_that_change_while_they_are_read_are_one_sentence(
    tmp_path, monkeypatch, memory, change
):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", memory)
    root, read = own_set(tmp_path / "d"), damage.read_bytes
    victim = root / "b" / "03.png"

    def changing(path):
        if path.name == "15.png" and victim.exists():
            victim.write_bytes(b"something else") if change == "rewritten" else victim.unlink()
        return read(path)

    monkeypatch.setattr(survey, "read_bytes", changing)
    with pytest.raises(InputError, match=r"changed while they were read|cannot be read") as error:
        load_dataset(f"folder:{root}")
    assert "\n" not in str(error.value)


def test_a_set_without_a_readable_file_or_class_is_one_sentence(tmp_path, streamed):
    root = own_set(tmp_path / "d")
    for path in (root / "b").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"no image of the class b can be read \(as b/"):
        load_dataset(f"folder:{root}")
    for path in (root / "a").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="none of the 16 images below"):
        load_dataset(f"folder:{root}")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_damaged_during_a_trial_is_one_sentence(tmp_path, streamed, workers):
    import torch

    from bench.training.stream import StreamedPixels

    images = load_dataset(f"folder:{own_set(tmp_path / 'd')}").train_images
    images.path(9).write_bytes(b"no image")
    pixels = StreamedPixels(images, torch.zeros(3), torch.ones(3), torch.device("cpu"), workers)
    with pytest.raises(
        InputError,
        match=r"a file changed after the sweep had begun: .* then run the same command again",
    ) as e:
        list(pixels.stream(torch.arange(16).split(4)))
    assert images.path(9).name in str(e.value) and "\n" not in str(e.value)


def test_a_disk_that_does_not_answer_for_a_while_costs_no_trial(tmp_path, streamed, monkeypatch):
    import torch

    from bench.training import stream

    images = load_dataset(f"folder:{own_set(tmp_path / 'd')}").train_images
    pixels = stream.StreamedPixels(images, torch.zeros(3), torch.ones(3), torch.device("cpu"), 0)
    whole, read, failures = (
        pixels.raw(torch.arange(4)),
        damage.read_bytes,
        [True, True, False, False, False, False],
    )

    def hesitant(path):
        if failures.pop(0):
            raise BrokenImage(path, "Stale file handle", passing=True)
        return read(path)

    monkeypatch.setattr(decoding, "read_bytes", hesitant)
    monkeypatch.setattr(stream, "PAUSES", (0.0, 0.0))
    assert (pixels.raw(torch.arange(4)) == whole).all() and not failures
    failures += [True] * 3
    with pytest.raises(InputError, match="Stale file handle"):
        pixels.raw(torch.arange(1))


def test_names_that_are_no_utf8(tmp_path, streamed, monkeypatch):
    root = own_set(tmp_path / "d")
    os.rename(root / "a" / "00.png", os.fsencode(root / "a") + b"/caf\xe9.png")
    names = [os.fsdecode(b"a/caf\xe9.png"), "b/01.png"]
    images = ImageFiles(str(root), np.array(names), 16)
    assert len(images.fingerprint) == 64 and not survey.survey(images, decoding=True).broken
    assert decoded_cache.decoded(images).images.shape == (2, 3, 16, 16)
