"""Folders of the user's own images, the cache of decoded images, and the command for data sets."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.commands import execute
from bench.cli.data import data as data_command
from bench.datasets import FOUND, UNKNOWN, ImageFiles, load_dataset
from bench.datasets.images import decoded_cache
from bench.errors import InputError
from bench.records.schema import Epoch

ROOT = Path(__file__).resolve().parents[2]


def write_image(
    path: Path, value: int = 0, size: tuple[int, int] = (16, 16), mode: str = "RGB"
) -> Path:
    """Write a noisy image whose mean depends on ``value``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    rng = np.random.default_rng(value)
    pixels = rng.integers(
        value % 128, value % 128 + 128, (size[1], size[0], channels), dtype=np.uint8
    )
    Image.fromarray(pixels if channels > 1 else pixels[:, :, 0], mode).save(path)
    return path


def class_folders(root: Path, each: int = 10, classes: str = "abc", ending: str = "png") -> Path:
    for number in range(each * len(classes)):
        write_image(root / classes[number % len(classes)] / f"{number:04d}.{ending}", number)
    return root


def load(root: Path, **settings):
    return load_dataset(f"folder:{root}", **settings)


# layouts


def test_class_folders_are_noise_as_found_with_a_fifth_held_out(tmp_path):
    dataset = load(class_folders(tmp_path / "images"))
    assert dataset.classes == ("a", "b", "c") and not dataset.knows_truth and dataset.noisy_test
    assert dataset.train_images.shape == (24, 3, 16, 16) and len(dataset.test_labels) == 6
    assert (dataset.train_labels == UNKNOWN).all()
    assert np.bincount(dataset.found[FOUND]).tolist() == [8, 8, 8] and np.bincount(
        dataset.test_labels
    ).tolist() == [2, 2, 2]
    assert dataset.train_names is not None and len(dataset.train_names) == 24


def test_images_come_in_the_order_of_their_file_names(tmp_path):
    dataset = load(class_folders(tmp_path / "images"))
    numbers = [int(Path(name).stem) for name in dataset.train_names]
    assert numbers == sorted(numbers)
    assert [("a", "b", "c")[label] for label in dataset.found[FOUND]] == [
        Path(n).parent.name for n in dataset.train_names
    ]
    pixels = np.asarray(Image.open(tmp_path / "images" / str(dataset.train_names[5]))).transpose(
        2, 0, 1
    )
    np.testing.assert_array_equal(dataset.train_images[5], pixels)


def test_train_and_test_folders(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", each=2)
    dataset = load(tmp_path)
    assert len(dataset.train_labels) == 30 and len(dataset.test_labels) == 6
    assert not dataset.noisy_test, "whoever sets images apart for testing trusts their labels"


def write_csv(root: Path, lines: list[str], images: int = 12) -> Path:
    for number in range(images):
        write_image(root / "pictures" / f"{number}.png", number)
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_labels_csv_with_clean_labels_and_split(tmp_path):
    lines = ["path,label,clean_label,split"]
    lines += [
        f"pictures/{n}.png,{'cat' if n % 2 else 'dog'},{'cat' if n % 3 else 'dog'},"
        f"{'test' if n < 4 else 'train'}"
        for n in range(12)
    ]
    dataset = load(write_csv(tmp_path, lines))
    assert dataset.classes == ("cat", "dog") and dataset.knows_truth and not dataset.noisy_test
    assert dataset.found[FOUND].tolist() == [0 if n % 2 else 1 for n in range(4, 12)]
    assert dataset.train_labels.tolist() == [0 if n % 3 else 1 for n in range(4, 12)]
    assert dataset.test_labels.tolist() == [0 if n % 3 else 1 for n in range(4)], "the clean ones"


def test_labels_csv_may_know_some_of_the_truth(tmp_path):
    lines = ["path,label,clean_label"] + [
        f"pictures/{n}.png,{n % 2},{n % 2 if n < 3 else ''}" for n in range(12)
    ]
    dataset = load(write_csv(tmp_path, lines))
    assert not dataset.knows_truth and dataset.noisy_test
    assert 1 <= (dataset.train_labels != UNKNOWN).sum() <= 3, "a fifth is held out"


def test_numbers_are_classes_in_their_own_order(tmp_path):
    lines = ["path,label"] + [f"pictures/{n}.png,{(2, 10)[n % 2]}" for n in range(12)]
    assert load(write_csv(tmp_path, lines)).classes == ("2", "10")


WRONG_CSV = {
    "no columns": (["pictures/0.png,cat"], "has no column path and label"),
    "no label": (["path,label", "pictures/0.png,"], "line 2 of"),
    "absent image": (
        ["path,label", "pictures/99.png,cat"],
        "names 'pictures/99.png', which is not there",
    ),
    "twice": (["path,label", "pictures/0.png,a", "pictures/0.png,b"], "name an image twice"),
    "twice, spelt otherwise": (
        ["path,label", "pictures/0.png,a", "./pictures/0.png,b"],
        "name an image twice",
    ),
    "odd split": (
        ["path,label,split", "pictures/0.png,a,fold1"],
        "has the split 'fold1': write train, val or test",
    ),
    "clean label of no class": (
        ["path,label,clean_label", "pictures/0.png,a,c", "pictures/1.png,b,b"],
        "line 2 of labels.csv has the clean label 'c', which no image has as its label: correct it",
    ),
    "one class": (
        ["path,label", "pictures/0.png,a", "pictures/1.png,a"],
        "has images of one class",
    ),
    "all for testing": (
        ["path,label,split", "pictures/0.png,a,test", "pictures/1.png,b,test"],
        "are for testing: name some for training",
    ),
    "too few": (
        ["path,label", "pictures/0.png,a", "pictures/1.png,b"],
        "too few to test on a part",
    ),
}


@pytest.mark.parametrize("case", WRONG_CSV)
def test_a_wrong_csv_is_one_sentence(tmp_path, case):
    lines, message = WRONG_CSV[case]
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load(write_csv(tmp_path, lines))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there_and_one_without_images(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match="has images of no class: put them in at least two folders"
    ):
        load(tmp_path / "empty")


# mixed and broken


def test_two_hundred_images_of_all_kinds_and_a_broken_one(tmp_path, capsys):
    """Users mix sizes, grey, transparency, palettes and 16 bits, and have a file cut short."""
    modes = ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"]
    for number in range(200):
        mode = modes[number % len(modes)] if number % 2 else "RGB"
        size = (10 + 7 * (number % 11), 10 + 5 * (number % 13))
        ending = "jpg" if mode in ("RGB", "L", "CMYK") else "png"
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.{ending}"
        if mode in ("P", "1", "I;16"):
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = np.random.default_rng(number).integers(0, 256, size[::-1])
            image = (
                Image.fromarray((grey * 256).astype(np.uint16))
                if mode == "I;16"
                else Image.fromarray(grey.astype(np.uint8))
            )
            (image if mode == "I;16" else image.convert(mode)).save(path)
        else:
            write_image(path, number, size, mode)
    broken = tmp_path / "pictures" / "a" / "100.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.warns(
        UserWarning, match=r"1 image cannot be read and is left out: a/100\.jpg \(.+\)"
    ):
        dataset = load(tmp_path / "pictures")
    assert len(dataset.train_labels) + len(dataset.test_labels) == 199
    assert dataset.train_images.shape[1:] == (3, 64, 64)
    assert not any("100.jpg" in name for name in dataset.train_names)
    with pytest.raises(SystemExit) as end:
        execute(data_command, ["check", f"folder:{tmp_path / 'pictures'}"])
    assert end.value.code == 1
    text = capsys.readouterr().out
    assert (
        "broken: a/100.jpg: " in text
        and "1 image cannot be read and is left out of every trial" in text
    )


def test_transparency_becomes_white_and_grey_three_equal_channels(tmp_path):
    image = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    for name in "ab":
        for number in range(4):
            path = tmp_path / name / f"{name}{number}.png"
            path.parent.mkdir(exist_ok=True)
            (image if name == "a" else Image.new("L", (16, 16), 77)).save(path)
    dataset = load(tmp_path)
    by_class = {
        name: dataset.train_images[dataset.found[FOUND] == number]
        for number, name in enumerate("ab")
    }
    assert (by_class["a"] == 255).all() and (by_class["b"] == 77).all()


def test_images_of_many_sizes_are_resized_and_cut_to_the_middle_as_torchvision_does(tmp_path):
    from torchvision.transforms import v2

    for number in range(8):
        write_image(tmp_path / "ab"[number % 2] / f"{number}.png", number, (40 + number, 30))
    dataset = load(tmp_path, image_size=24)
    assert dataset.train_images.shape[1:] == (3, 24, 24)
    with Image.open(tmp_path / str(dataset.train_names[0])) as image:
        expected = v2.functional.pil_to_tensor(
            v2.CenterCrop(24)(v2.Resize(24, antialias=True)(image))
        )
    np.testing.assert_array_equal(dataset.train_images[0], expected.numpy())


def test_a_camera_s_rotation_is_undone(tmp_path):
    from bench.datasets.images.decoding import decode

    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[0] = 255  # a white line at the top
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert (decode(tmp_path / "x.png", 16)[:, -1] == 255).all()


# cache


def files_of(root: Path, side: int = 16) -> ImageFiles:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    return ImageFiles(str(root), np.array(names), side)


def test_the_cache_is_made_once_and_named_after_the_content(tmp_path, monkeypatch):
    files = files_of(class_folders(tmp_path / "one"))
    first = decoded_cache.decoded(files)
    monkeypatch.setattr(
        decoded_cache, "decode", lambda *args, **settings: pytest.fail("decoded again")
    )
    np.testing.assert_array_equal(decoded_cache.decoded(files).images, first.images)
    (tmp_path / "one").rename(tmp_path / "two")  # equal content elsewhere
    np.testing.assert_array_equal(
        decoded_cache.decoded(files_of(tmp_path / "two")).images, first.images
    )
    assert isinstance(first.images.base, np.memmap) and not first.images.flags.writeable
    assert type(first.images) is np.ndarray, (
        "a memory map from Ray's store would say that it can be written to"
    )


def test_a_changed_file_and_another_size_are_decoded(tmp_path):
    root = class_folders(tmp_path / "images")
    first = decoded_cache.decoded(files_of(root)).images.copy()
    write_image(root / "a" / "0000.png", 99)
    assert (decoded_cache.decoded(files_of(root)).images != first).any()
    assert decoded_cache.decoded(files_of(root, 8)).images.shape == (30, 3, 8, 8)


def caches(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").glob("images-*"))


@pytest.mark.parametrize("damage", ["flipped byte", "cut short", "no manifest", "torn manifest"])
def test_a_damaged_cache_is_noticed_and_made_anew(tmp_path, damage):
    files = files_of(class_folders(tmp_path / "images"))
    whole = decoded_cache.decoded(files).images.copy()
    [place] = caches(tmp_path)
    content = bytearray((place / "images.u8").read_bytes())
    if damage == "flipped byte":
        content[100] ^= 1
        (place / "images.u8").write_bytes(content)
    elif damage == "cut short":
        (place / "images.u8").write_bytes(content[:-1])
    elif damage == "no manifest":
        (place / "manifest.json").unlink()
    else:
        (place / "manifest.json").write_bytes(b'{"sha')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = decoded_cache.decoded(files).images
    np.testing.assert_array_equal(again, whole)
    assert damage == "no manifest" or any(
        "are damaged" in str(w.message) and "made anew" in str(w.message) for w in caught
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 16])
def test_a_damaged_memo_never_mixes_caches_up(tmp_path, content):
    one, two = (
        files_of(class_folders(tmp_path / name, each=5 + n))
        for n, name in enumerate(("one", "two"))
    )
    whole = [decoded_cache.decoded(files).images.copy() for files in (one, two)]
    for path in (tmp_path / "cache").glob("seen-*"):
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for files, images in zip((one, two), whole, strict=True):
            np.testing.assert_array_equal(decoded_cache.decoded(files).images, images)


def test_a_broken_image_does_not_cost_the_memory_map(tmp_path):
    root = class_folders(tmp_path / "images")
    whole = decoded_cache.decoded(files_of(root)).images.copy()
    (root / "b" / "0001.png").write_bytes(b"no image")
    names = files_of(root).names.tolist()
    found = decoded_cache.decoded(files_of(root))
    assert isinstance(found.images.base, np.memmap) and len(found.images) == 29
    missing = names.index("b/0001.png")
    assert found.positions.tolist() == [position for position in range(30) if position != missing]
    np.testing.assert_array_equal(found.images, np.delete(whole, missing, axis=0))
    np.testing.assert_array_equal(
        decoded_cache.decoded(files_of(root)).images, found.images, "from the cache"
    )
    assert list(found.broken) == ["b/0001.png"]


def test_no_image_that_can_be_read_is_one_sentence(tmp_path):
    for name in "ab":
        for number in range(4):
            path = tmp_path / "images" / name / f"{name}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 6 images below .* can be read"):
        load(tmp_path / "images")


def test_a_class_whose_images_are_all_broken_is_named(tmp_path):
    root = class_folders(tmp_path / "images")
    for path in (root / "b").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="no image of the class b can be read"):
        load(root)


def test_a_class_without_training_images_is_named(tmp_path):
    class_folders(tmp_path / "train", classes="ab")
    class_folders(tmp_path / "test", each=2)
    with pytest.raises(
        InputError, match="no image is left for training of the class c: give it training images"
    ):
        load(tmp_path)


def test_a_thin_line_does_not_take_gigabytes(tmp_path):
    import tracemalloc

    from bench.datasets.images.decoding import decode

    Image.new("RGB", (60_000, 1), "red").save(tmp_path / "line.png")
    tracemalloc.start()
    assert decode(tmp_path / "line.png", 64).shape == (3, 64, 64)
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_settings_of_the_environment_are_checked(tmp_path, monkeypatch, capsys):
    root = class_folders(tmp_path / "images")
    for number in ("abc", "nan", "-1", "4GB"):
        monkeypatch.setenv("LNL_BENCH_MEMORY_GB", number)
        with pytest.raises(
            InputError, match=f"LNL_BENCH_MEMORY_GB is '{number}': give a number of gigabytes"
        ):
            load(root)
    monkeypatch.delenv("LNL_BENCH_MEMORY_GB")
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / ("x" * 300)))
    with pytest.raises(
        InputError, match=r"cannot keep files in .*\(File name too long\): name another folder"
    ):
        load(root)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "file"))
    status, _, errors = call(capsys, "prepare", "digits")
    assert status == 2 and "LNL_BENCH_CACHE" in errors and errors.count("\n") == 1


def test_a_finished_cache_on_a_disk_that_cannot_be_written_is_used(tmp_path, monkeypatch):
    files = files_of(class_folders(tmp_path / "images"))
    whole = decoded_cache.decoded(files).images.copy()

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decoded_cache, "locked", refuse)
    monkeypatch.setattr(decoded_cache, "write_atomically", refuse)
    for path in (tmp_path / "cache").glob("seen-*"):
        path.unlink()
    np.testing.assert_array_equal(decoded_cache.decoded(files).images, whole)


def test_an_interrupted_cache_goes_on_where_it_was(tmp_path, monkeypatch):
    files = files_of(class_folders(tmp_path / "images", each=20))
    whole = decoded_cache.decoded(files).images.copy()
    for path in caches(tmp_path)[0].iterdir():
        path.unlink()
    monkeypatch.setattr(decoded_cache, "CHUNK", 10)
    decode, seen = decoded_cache.decode, []

    def interrupted(path, side, **settings):
        seen.append(path)
        if len(seen) > 35:
            raise KeyboardInterrupt
        return decode(path, side, **settings)

    monkeypatch.setattr(decoded_cache, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decoded_cache.decoded(files)
    [place] = caches(tmp_path)
    assert not (place / "manifest.json").exists()
    done = json.loads((place / "progress.json").read_bytes())["done"]
    assert 10 <= done <= 30
    again = []
    monkeypatch.setattr(
        decoded_cache,
        "decode",
        lambda path, *rest, **settings: again.append(path) or decode(path, *rest, **settings),
    )
    np.testing.assert_array_equal(decoded_cache.decoded(files).images, whole)
    assert len(again) == 60 - done
    assert {path.name for path in place.iterdir()} == {"images.u8", "manifest.json", "lock"}


def _decode_in_process(root: str, folder: str, queue) -> None:
    os.environ["LNL_BENCH_CACHE"] = folder
    made = []
    decode = decoded_cache.decode
    decoded_cache.decode = lambda path, *rest, **settings: (
        made.append(path) or decode(path, *rest, **settings)
    )
    images = decoded_cache.decoded(files_of(Path(root))).images
    queue.put((len(made), int(images.astype(np.int64).sum())))


def test_two_processes_make_one_cache(tmp_path):
    root = class_folders(tmp_path / "images", each=40)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=_decode_in_process, args=(str(root), str(tmp_path / "cache"), queue))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(count for count, _ in results) == [0, 120], "one decodes, the other waits"
    assert len({total for _, total in results}) == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "images")
    (tmp_path / "file").touch()
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(InputError, match="LNL_BENCH_CACHE"):
        load(root)


def test_what_does_not_fit_into_memory_is_streamed_and_trains_the_same_for_any_number_of_workers(
    tmp_path, monkeypatch
):
    from bench.planning.spec import Plan, expand_hparams
    from bench.training.trial import run_trial

    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0.000001")
    dataset = load(class_folders(tmp_path / "images", each=16), image_size=24)
    assert isinstance(dataset.train_images, ImageFiles) and not caches(tmp_path)
    plan = Plan(
        noise_kind=FOUND,
        image_size=24,
        overrides=(("epochs", 2), ("batch_size", 16), ("backbone", "tiny_cnn")),
    )
    [spec] = plan.specs(dataset, expand_hparams(["softmix"], {}, {}), [None], [0])
    curves = []
    for threads in (1, 3):
        outcome = run_trial(
            replace(spec, threads=threads),
            dataset,
            report=lambda epochs, _: curves.extend(map(Epoch.to_json, epochs)),
        )
        assert outcome.status == "finished", outcome
    assert [e["val_predictions"] for e in curves[:2]] == [e["val_predictions"] for e in curves[2:]]
    assert curves[1]["train_loss"] == pytest.approx(curves[3]["train_loss"], rel=1e-4)


def test_streamed_images_are_windows_of_the_decoded_ones(tmp_path):
    import torch

    from bench.networks import augment
    from bench.training.stream import StreamedPixels

    files = files_of(class_folders(tmp_path / "images"), side=14)
    assert files.padded == 16
    mean, std = torch.zeros(3), torch.ones(3)
    pixels = StreamedPixels(files, mean, std, torch.device("cpu"), workers=0)
    raw = pixels.raw(torch.tensor([3, 1]))
    np.testing.assert_array_equal(raw.numpy(), [files.decode(3), files.decode(1)])
    np.testing.assert_allclose(
        pixels.view(raw).numpy(), raw[..., 1:15, 1:15].numpy() / 255, atol=1e-7
    )
    view = pixels.view(raw, augment.random_flip, torch.Generator().manual_seed(0))
    windows = [
        raw[0, :, top : top + 14, left : left + 14] / 255 for top in range(3) for left in range(3)
    ]
    assert any(torch.allclose(view[0], w) or torch.allclose(view[0], w.flip(2)) for w in windows)


# command


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        execute(data_command, list(arguments))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_list_and_show(capsys):
    status, text, _ = call(capsys, "list")
    assert status == 0
    for name in ("digits", "cifar100", "kmnist", "npz:FILE", "folder:DIR"):
        assert any(line.split()[0] == name for line in text.splitlines())
    status, text, _ = call(capsys, "show", "fashion_mnist")
    assert status == 0 and "MIT" in text and "1708.07747" in text and "60,000 + 10,000" in text
    status, text, errors = call(capsys, "show", "fashion")
    assert status == 2 and "did you mean fashion_mnist" in errors and errors.count("\n") == 1


def test_prepare_then_check_then_a_change_is_noticed(tmp_path, monkeypatch, capsys):
    root = class_folders(tmp_path / "images")
    name = f"folder:{root}"
    status, text, _ = call(capsys, "prepare", name)
    assert (
        status == 0
        and "24 training and 6 test images, 16x16, colour, 3 classes" in text
        and "is ready" in text
    )
    status, text, _ = call(capsys, "check", name)
    assert status == 0 and "is as it was when it was prepared" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["class", "found", "test"] in rows and ["b", "8", "2"] in rows
    write_image(root / "a" / "0000.png", 99)
    monkeypatch.chdir(tmp_path)  # the folder by another path
    status, text, _ = call(capsys, "check", "folder:images/../images")
    assert status == 1 and "changed: its content is not what it was" in text


def test_check_knows_the_published_content(tmp_path, capsys):
    assert call(capsys, "check", "digits")[0] == 0
    assert (
        "1,437 training and 360 test images, 16x16, grey"
        in call(capsys, "check", "digits", "--image-size", "16")[1]
    )
    assert call(capsys, "check", "digits", "--image-size", "4")[2].startswith(
        "Error: --image-size is 4: give at least 8"
    )


def test_images_in_memory_are_resized_as_torchvision_does(digits):
    import torch
    from torchvision.transforms.v2 import functional as F

    larger = load_dataset("digits", image_size=14)
    expected = F.resize(torch.from_numpy(digits.train_images[:20]), [14, 14], antialias=True)
    np.testing.assert_array_equal(larger.train_images[:20], expected.numpy())
    assert (
        larger.test_images.shape == (360, 1, 14, 14) and larger.content_hash != digits.content_hash
    )


def test_files_that_are_not_the_published_ones_are_refused(monkeypatch):
    from bench.datasets.catalogue import PUBLISHED

    monkeypatch.setitem(PUBLISHED, "digits", replace(PUBLISHED["digits"], content="0" * 16))
    with pytest.raises(InputError, match="the files of digits are not the published ones"):
        load_dataset("digits")


def test_a_broken_data_set_of_another_package_hides_no_other(tmp_path):
    info = tmp_path / "site" / "bad_data-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-data\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.datasets]\nbad = nowhere_to_be_found:SOURCE\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=env, capture_output=True, text=True
        )

    assert run("bench.data", "show", "digits").returncode == 0
    listed = run("bench.run", "--list", "datasets")
    assert (
        listed.returncode == 0
        and "[broken: nowhere_to_be_found:SOURCE cannot be imported" in listed.stdout
    )
    asked = run("bench.data", "show", "bad")
    assert (
        asked.returncode == 2 and "mend its file" in asked.stderr and asked.stderr.count("\n") == 1
    )


def test_data_sets_of_other_packages_are_found(tmp_path):
    package = tmp_path / "site"
    info = package / "more_data-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: more-data\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.datasets]\nsquares = more_data:SQUARES\n")
    (package / "more_data.py").write_text(
        "import numpy as np\nfrom bench.datasets import Source, from_arrays\n\n\ndef "
        "load(data_dir, side):\n    images = np.zeros((40, 8, 8), np.uint8)\n    images[::2, 2:6, "
        "2:6] = 255\n    labels = np.arange(40) % 2\n    return from_arrays('squares', images, "
        "labels, images, labels, ('full', 'empty'))\n\n\nSQUARES = Source('squares and none', "
        "load, size='40 + 40 images')\n"
    )
    arguments = [
        "--methods",
        "ce",
        "--dataset",
        "squares",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--reference",
        "none",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bench.run", *arguments, "--dry-run"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 trial, 0 of them on record" in done.stdout, (
        done.stdout + done.stderr
    )
