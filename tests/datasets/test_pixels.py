"""Pixels of files of every kind, damage, streamed sets, exact copies, and the folders of caches."""

import io
import os
import pickle
import re
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.commands import execute
from bench.cli.data import data as data_command
from bench.datasets import FOUND, ImageFiles, copies, load_dataset
from bench.datasets.images import cache_folder, damage, decoded_cache, decoding, survey
from bench.datasets.images.damage import BrokenImage
from bench.datasets.images.decoding import decode
from bench.datasets.images.depth import Extremes
from bench.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)  # from left to right
BYTES = np.arange(0, 256, 17)  # the same in 8 bits


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "cache"))


def save(path: Path, array: np.ndarray, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **settings)
    return path


def row(path: Path, **settings) -> list[int]:
    """The first line of the decoded image, whose three channels are equal."""
    image = decode(path, 16, **settings)
    assert image.dtype == np.uint8 and image.shape == (3, 16, 16) and (image == image[:1]).all()
    return image[0, 0].tolist()


# ------------------------------------------------------------------------------------------------
# more than 8 bits

DEEP = {
    "16 bits": ((RAMP * 65535).astype(np.uint16), "png"),
    "16 bits, the other byte order": ((RAMP * 65535).astype(">u2"), "tif"),
    "12 bits in 16": ((RAMP * 4095).astype(np.uint16), "png"),
    "11 bits in 16, as satellites have": ((RAMP * 2047).astype(np.uint16), "tif"),
    "8 bits in 16": ((RAMP * 255).round().astype(np.uint16), "png"),
    "16 bits in 32": ((RAMP * 65535).astype(np.int32), "tif"),
    "31 bits": ((RAMP * (2**31 - 1)).astype(np.int32), "tif"),
    "below 0, as in tomography": ((RAMP * 4095).astype(np.int32) - 1024, "tif"),
    "floats to 1": (RAMP.astype(np.float32), "tif"),
    "floats to 255": ((RAMP * 255).astype(np.float32), "tif"),
    "floats around 0": ((RAMP * 2 - 1).astype(np.float32), "tif"),
    "floats of a range of their own": ((RAMP * 5000 - 20).astype(np.float32), "tif"),
}


@pytest.mark.parametrize("case", DEEP)
def test_images_of_more_than_8_bits_keep_their_values(tmp_path, case):
    array, ending = DEEP[case]
    assert np.abs(np.array(row(save(tmp_path / f"x.{ending}", array))) - BYTES).max() <= 1


def test_16_bits_keep_the_upper_8_as_ever(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (16, 16)).astype(np.uint16)
    values[0, 0] = 65535
    np.testing.assert_array_equal(decode(save(tmp_path / "x.png", values), 16)[0], values >> 8)


def test_one_range_for_the_whole_data_set(tmp_path):
    """A dark image of 12 bits stays darker than a bright one, in training and in the test set."""
    for part in ("train", "test"):
        for number in range(8):
            value = 4095 if (part, number) == ("test", 0) else 100 * (number + 1)
            save(
                tmp_path / part / "ab"[number % 2] / f"{number}.png",
                np.full((16, 16), value, np.uint16),
            )
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.train_images[:, 0, 0, 0].tolist() == [100 * (n + 1) >> 4 for n in range(8)]
    assert dataset.test_images[:2, 0, 0, 0].tolist() == [255, 200 >> 4]


def test_a_streamed_set_has_the_same_range(tmp_path, monkeypatch):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0.000001")
    for number in range(10):
        save(
            tmp_path / "ab"[number % 2] / f"{number}.png",
            np.full((16, 16), 450 * number, np.uint16),
        )
    images = load_dataset(f"folder:{tmp_path}").train_images
    assert isinstance(images, ImageFiles) and images[1:].extremes == Extremes(integers=(0, 4050))
    for position, name in enumerate(images.names):
        assert images.decode(position)[0, 0, 0] == 450 * int(Path(str(name)).stem) >> 4


def test_a_declared_range_holds(tmp_path):
    dark = (RAMP * 1000).astype(np.uint16)
    assert row(save(tmp_path / "x.tif", dark, tiffinfo={281: 65535})) == [
        value >> 8 for value in dark[0].tolist()
    ]
    (tmp_path / "x.pgm").write_bytes(b"P5 16 16 4095\n" + dark.astype(">u2").tobytes())
    assert row(tmp_path / "x.pgm") == [
        round(value * 65535 / 4095) >> 8 for value in dark[0].tolist()
    ]


def tiff(bits: int, kind: int, data: bytes, photometric: int = 1) -> bytes:
    """An uncompressed TIFF file of 16x16 pixels; ``kind`` of values: 1 unsigned, 2 signed, 3 float."""
    tags = {
        256: 16,
        257: 16,
        258: bits,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: 16,
        279: len(data),
        339: kind,
    }
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    return (
        b"II*\0"
        + struct.pack("<L", 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def test_tiff_of_kinds_that_pillow_only_reads(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(32, 1, (RAMP * (2**32 - 1)).astype("<u4").tobytes()))
    assert row(path) == BYTES.tolist(), "not below 0 in the upper half"
    path.write_bytes(tiff(16, 2, (RAMP * 65535 - 32768).astype("<i2").tobytes()))
    assert row(path) == BYTES.tolist()
    path.write_bytes(tiff(16, 1, (RAMP * 65535).astype("<u2").tobytes(), photometric=0))
    assert row(path) == BYTES[::-1].tolist(), "white is zero"
    values = (RAMP * 1000).astype(int)
    packed = b"".join(
        sum(int(v) << (12 * (15 - x)) for x, v in enumerate(line)).to_bytes(24, "big")
        for line in values
    )
    path.write_bytes(tiff(12, 1, packed))
    assert row(path) == (values[0] >> 4).tolist(), "of 12 bits, as it says"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff(8, 2, bytes(256)), "its values are signed and of 8 bits: save unsigned ones"),
        (tiff(64, 3, bytes(2048)), "of a kind that is not read, such as floats of 64 bits"),
        (tiff(16, 3, bytes(512)), "of a kind that is not read, such as floats of 64 bits"),
        (b"MM\0*", "it is a damaged TIFF"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "in Git LFS: run git lfs pull",
        ),
    ],
)
def test_files_that_are_no_image_of_ours_say_why(tmp_path, content, reason):
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(BrokenImage, match=re.escape(reason)):
        decode(tmp_path / "x.tif", 16)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.4028235e38])
def test_floats_that_are_no_numbers_are_refused_by_name(tmp_path, value):
    array = (RAMP * 3000).astype(np.float32)
    array[3, 3] = value
    with pytest.raises(
        BrokenImage,
        match=r"x\.tif.* values that are no numbers, infinite or beyond 1e30: replace them",
    ):
        decode(save(tmp_path / "x.tif", array), 16)
    image = decode(save(tmp_path / "y.tif", array, tiffinfo={42113: str(value)}), 16)
    assert image[0, 3, 3] == 0 and np.abs(image[0, 0].astype(int) - BYTES).max() <= 1, (
        "marked as missing: black"
    )


def test_transparency_of_deep_images_becomes_white(tmp_path):
    ramp = (RAMP * 65535).astype(np.uint16)
    assert row(save(tmp_path / "grey.png", ramp, transparency=int(ramp[0, 3]))) == [
        *BYTES[:3],
        255,
        *BYTES[4:],
    ]


def png(
    layout: int, bits: int, pixels: bytes, *chunks: tuple[bytes, bytes], size: int = 16
) -> bytes:
    """A PNG file of kinds that Pillow reads but does not write."""
    import zlib

    parts = [(b"IHDR", struct.pack(">LLBBBBB", size, size, bits, layout, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
        for kind, data in parts
    )


def test_png_of_kinds_that_pillow_only_reads(tmp_path):
    path = tmp_path / "x.png"
    ramp = (RAMP * 65535).astype(">u2")
    grey_alpha = np.stack([ramp, np.full_like(ramp, 65535)], -1)
    grey_alpha[:, 2, 1] = 0
    path.write_bytes(png(4, 16, b"".join(b"\0" + line.tobytes() for line in grey_alpha)))
    assert row(path) == [*BYTES[:2], 255, *BYTES[3:]]
    colours = np.repeat(ramp[..., None], 3, -1)
    transparent = (b"tRNS", colours[0, 5].tobytes())
    path.write_bytes(png(2, 16, b"".join(b"\0" + line.tobytes() for line in colours), transparent))
    assert row(path) == [*BYTES[:5], 255, *BYTES[6:]]
    four_levels = b"\0" + bytes([0b00011011] * 4)
    path.write_bytes(png(0, 2, four_levels * 16, (b"tRNS", b"\0\1")))
    assert row(path) == [0, 255, 170, 255] * 4


# ---------------------------------------------------------------------------------------------------
# 8 bits, all modes

MODES = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "I;16B",
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_shows_what_it_shows(mode, channels, monkeypatch):
    """A grey ramp in every mode that Pillow has."""
    grey = Image.fromarray(BYTES[None].repeat(16, 0).astype(np.uint8))
    if mode in ("I;16", "I;16B"):
        image = Image.fromarray(
            (BYTES[None].repeat(16, 0) * 257).astype(np.uint16 if mode == "I;16" else ">u2")
        )
    elif mode in ("La", "RGBa"):
        image = grey.convert(mode[:-1] + "A").convert(mode)
    elif mode == "PA":
        image = grey.convert("P").convert("PA")
    elif mode in ("LAB", "HSV"):
        image = grey.convert("RGB").convert(mode)
    elif mode == "F":
        image = Image.fromarray((BYTES[None].repeat(16, 0) / 255).astype(np.float32))
    else:
        image = grey.convert(mode)
    assert image.mode == mode
    monkeypatch.setattr(decoding, "_first_frame", lambda path, content: image)
    result = np.asarray(decoding.read(Path("x"), b"", channels)).reshape(16, 16, channels)
    if mode == "1":  # dithered
        assert set(result.ravel().tolist()) == {0, 255}
    else:
        assert np.abs(result.astype(int) - BYTES[None, :, None]).max() <= 3


def test_palettes_with_transparency_of_every_kind(tmp_path):
    image = Image.fromarray(np.arange(16, dtype=np.uint8)[None].repeat(16, 0)).convert("P")
    image.putpalette([channel for value in BYTES for channel in (value,) * 3])
    path = tmp_path / "x.png"
    image.save(path)
    assert row(path) == BYTES.tolist()
    image.save(path, transparency=3)
    assert row(path) == [*BYTES[:3], 255, *BYTES[4:]]
    image.save(path, transparency=bytes([255, 0, 128, *[255] * 13]))
    assert row(path)[:2] == [0, 255] and row(path)[2] in (144, 145)
    image.save(tmp_path / "x.gif", transparency=3)
    assert row(tmp_path / "x.gif") == [*BYTES[:3], 255, *BYTES[4:]]


@pytest.mark.parametrize("ending", ["gif", "tif", "png", "webp"])
def test_of_several_frames_the_first_is_taken(tmp_path, ending):
    frames = [Image.new("RGB", (16, 16), (value,) * 3) for value in (0, 255, 128)]
    lossless = {"lossless": True} if ending == "webp" else {}
    frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:], **lossless)
    assert row(tmp_path / f"x.{ending}") == [0] * 16


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_every_rotation_is_undone_in_images_that_are_not_square(tmp_path, ending, orientation):
    """As EXIF defines it: where the first row and the first column of the stored image belong."""
    stored = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    turned = {
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored[::-1].transpose(1, 0, 2),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored[:, ::-1].transpose(1, 0, 2),
    }
    tags = Image.Exif()
    tags[0x112] = orientation
    settings = {"lossless": True} if ending == "webp" else {}
    path = save(tmp_path / f"x.{ending}", stored, exif=tags, **settings)
    result = np.asarray(decoding.read(path, damage.read_bytes(path)))
    np.testing.assert_array_equal(result, turned.get(orientation, stored))


# -------------------------------------------------------------------------------------------------------------
# damage


def exif(orientation: int, *entries: bytes, data: bytes = b"") -> bytes:
    count = struct.pack("<H", 1 + len(entries))
    first = struct.pack("<HHLHH", 0x112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + count + first + b"".join(entries) + bytes(4) + data


ODD_METADATA = {
    "a negative denominator of 0": exif(
        6, struct.pack("<HHLL", 0x11A, 10, 1, 38), data=struct.pack("<ll", -1, 0)
    ),
    "denominators of 0": exif(
        6, struct.pack("<HHLL", 0x11A, 5, 1, 38), data=struct.pack("<LL", 1, 0)
    ),
    "an entry beyond the end": exif(6, struct.pack("<HHLL", 0x132, 2, 1 << 30, 1 << 30)),
    "an entry of no type": exif(6, struct.pack("<HHLL", 0x132, 99, 1, 1)),
    "a folder that is itself": exif(6, struct.pack("<HHLL", 0x8769, 4, 1, 8)),
    "text that is no ASCII": exif(6, struct.pack("<HHL4s", 0x132, 2, 4, b"\xff\xfe\xfd\0")),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("case", ODD_METADATA)
def test_odd_metadata_keeps_nothing_from_being_read(tmp_path, capfd, case, ending):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8] = 255  # the left half, which turns to the top
    path = save(tmp_path / f"x.{ending}", pixels, exif=ODD_METADATA[case], quality=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(path, 16)
    assert image[:, :7].min() > 200 and image[:, 9:].max() < 50
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "metadata",
    [b"Exif\0\0II*\0", b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff"],
)
def test_metadata_cut_short(tmp_path, metadata):
    path = save(tmp_path / "x.jpg", (RAMP * 255).astype(np.uint8), exif=metadata)
    assert decode(path, 16).shape == (3, 16, 16)


ERRORS = [
    *(
        struct.error("x"),
        ZeroDivisionError("x"),
        KeyError("x"),
        TypeError("x"),
        OverflowError("x"),
        AttributeError("x"),
    ),
    *(
        RecursionError("x"),
        IndexError(),
        EOFError(),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
        AssertionError(),
    ),
    *(
        Image.DecompressionBombWarning("x"),
        Image.DecompressionBombError("x"),
        NotImplementedError("x"),
        SyntaxError("x"),
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_pillow_raises_names_the_file(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    path = save(tmp_path / "x.png", np.zeros((16, 16), np.uint8))
    with monkeypatch.context() as patch:
        patch.setattr("PIL.PngImagePlugin.PngImageFile.getexif", fail)
        assert decode(path, 16).shape == (3, 16, 16), "metadata are not needed"
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(
        BrokenImage, match=r"x\.png' is no image that can be read \(.+\): mend or remove it"
    ):
        decode(path, 16)


def test_a_machine_without_memory_is_no_broken_image(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(
        InputError, match=r"there is no memory left to read .*x\.png': free some"
    ) as error:
        decode(save(tmp_path / "x.png", np.zeros((16, 16), np.uint8)), 16)
    assert not isinstance(error.value, BrokenImage)


def test_a_giant_image_is_refused_and_a_large_one_read_without_a_warning(tmp_path, monkeypatch):
    path = save(tmp_path / "x.png", np.zeros((30, 30), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(path, 16).shape == (3, 16, 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    with pytest.raises(BrokenImage, match="decompression bomb"):
        decode(path, 16)


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "dead.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text.png").write_text("<html>404</html>")
    expected = {
        "pipe.png": "it is no file",
        "folder.jpg": "it is no file",
        "empty.png": "the file is empty",
        "dead.png": "No such file",
        "absent.png": "No such file",
        "text.png": "cannot identify image file",
    }
    with pytest.raises(BrokenImage, match="it is no file"):
        decode(Path("/dev/zero"), 16)
    for name, reason in expected.items():
        with pytest.raises(BrokenImage) as error:
            decode(tmp_path / name, 16)
        assert reason in error.value.reason
        again = pickle.loads(pickle.dumps(error.value))
        assert (str(again), again.reason, again.passing) == (
            str(error.value),
            error.value.reason,
            reason == "No such file",
        )
    path = save(tmp_path / "large.png", np.zeros((16, 16), np.uint8))
    monkeypatch.setattr(damage, "LARGEST_FILE", 20)
    with pytest.raises(BrokenImage, match="is larger than"):
        decode(path, 16)


# ---------------------------------------------------------------------------------------------------------------
# fuzz


def samples() -> list[tuple[str, bytes]]:
    """Whole files of five formats, with and without metadata."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 4096, (24, 20)).astype(np.uint16))
    floats = Image.fromarray(rng.random((24, 20)).astype(np.float32))
    odd = ODD_METADATA["denominators of 0"]
    kinds = [
        *(
            (colour, "JPEG", {"exif": odd}),
            (colour, "PNG", {"exif": odd}),
            (colour, "WEBP", {"exif": odd}),
        ),
        *(
            (colour, "TIFF", {"compression": "tiff_lzw"}),
            (colour, "TIFF", {}),
            (deep, "TIFF", {}),
            (floats, "TIFF", {}),
        ),
        *((deep, "PNG", {"transparency": 5}), (colour.convert("P"), "GIF", {"transparency": 1})),
        *(
            (colour.convert("P"), "PNG", {"transparency": b"\0\x80"}),
            (colour.convert("CMYK"), "JPEG", {}),
        ),
    ]
    contents = []
    for image, kind, settings in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **settings)
        contents.append((kind, buffer.getvalue()))
    return contents


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The file with bytes turned, cut off, put in, or doubled; headers more often than pixels."""
    raw = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        end = min(len(raw), 300) if rng.random() < 0.7 else len(raw)
        at, kind = int(rng.integers(0, max(1, end))), rng.integers(0, 5)
        if kind == 0 and raw:
            raw[at % len(raw)] = int(rng.integers(0, 256))
        elif kind == 1:
            del raw[max(1, len(raw) - at) :]
        elif kind == 2:
            raw[at:at] = exif(int(rng.integers(0, 300)), rng.bytes(12))
        elif kind == 3:
            raw[at : at + 4] = (
                b"\xff\xff\xff\xff",
                b"\x7f\xff\xff\xff",
                b"\0\0\0\0",
                b"\x80\0\0\0",
            )[rng.integers(0, 4)]
        else:
            raw[at:at] = raw[at : at + int(rng.integers(1, 64))]
    return bytes(raw)


def fuzz(folder: Path, number: int, seed: int) -> int:
    """Decode damaged files; return how many could be read."""
    rng, whole, read = np.random.default_rng(seed), samples(), 0
    for position in range(number):
        kind, content = whole[position % len(whole)]
        path = folder / f"{position % 7}.{kind.lower()}"
        path.write_bytes(damaged(content, rng))
        try:
            image = decode(path, 16)
        except BrokenImage as error:
            assert "\n" not in str(error) and error.reason
        else:
            assert image.shape == (3, 16, 16) and image.dtype == np.uint8
            read += 1
    return read


def test_two_hundred_damaged_files_are_read_or_named(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 20 < fuzz(tmp_path, 200, seed=0) < 180
    assert capfd.readouterr() == ("", ""), "nothing on the terminal that names no file"


@pytest.mark.slow
def test_five_thousand_damaged_files_are_read_or_named(tmp_path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 500 < fuzz(tmp_path, 5000, seed=1) < 4500
    assert capfd.readouterr() == ("", "")


# -------------------------------------------------------------------------------------------------------
# streamed sets


def own_set(root: Path, each: int = 10, classes: str = "ab") -> Path:
    """Noise, a folder a class."""
    for number in range(each * len(classes)):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        save(root / classes[number % len(classes)] / f"{number:02}.png", pixels)
    return root


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", "0.000001")


def call(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        execute(data_command, list(arguments))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out + captured.err


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


# -------------------------------------------------------------------------------------------------------
# exact copies


@pytest.mark.parametrize("memory", ["1", "0.000001"])
def test_copies_across_training_and_test_are_counted_and_named(
    tmp_path, monkeypatch, capsys, memory
):
    monkeypatch.setenv("LNL_BENCH_MEMORY_GB", memory)
    own_set(tmp_path / "train")
    own_set(tmp_path / "test", each=12)
    (tmp_path / "test" / "b" / "00.png").write_bytes(
        (tmp_path / "test" / "a" / "00.png").read_bytes()
    )
    (tmp_path / "test" / "a" / "00.png").unlink()
    sentence = (
        "20 of 24 test images are exact copies of training images (as test/b/00.png = "
        "train/a/00.png), 1 of them with another label"
    )
    assert load_dataset(f"folder:{tmp_path}").copies == (sentence,)
    status, text = call(capsys, "check", f"folder:{tmp_path}")
    assert status == 0 and f"copies: {sentence}\n" in text


def test_copies_within_training_with_the_same_and_with_another_label(tmp_path):
    own_set(tmp_path / "train")
    # other images: of numbers from 20 on
    own_set(tmp_path / "test", each=1, classes="cdefghijklmnopqrstuvwxyz")
    for path in (tmp_path / "test").rglob("*.png"):
        target = tmp_path / "test" / "ab"[int(path.stem) % 2] / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target) if int(path.stem) >= 20 else path.unlink()
    for path in (tmp_path / "test").iterdir():
        if path.name not in ("a", "b"):
            path.rmdir()
    train = tmp_path / "train"
    (train / "a" / "50.png").write_bytes((train / "a" / "00.png").read_bytes())
    Image.open(train / "a" / "02.png").save(train / "b" / "51.bmp")  # equal pixels in another file
    assert load_dataset(f"folder:{tmp_path}").copies == (
        "4 of 22 training images are exact copies of each other (as train/a/00.png = "
        "train/a/50.png), 2 of them with another label",
    )


def part(images: list, labels: list[int]) -> copies.Part:
    return copies.Part(np.array(images, np.uint8).reshape(len(images), 1, 2, 2), np.array(labels))


def test_copies_of_arrays_are_counted_as_by_hand():
    blank, one, two = [0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 5]
    train = part([blank, one, blank, two, [9, 9, 9, 8]], [0, 1, 1, 1, 0])
    assert copies.describe(train, {"test": part([two, [7, 0, 0, 0], blank], [0, 0, 1])}) == (
        "2 of 3 test images are exact copies of training images (as test image 0 = training image "
        "3), 1 of them with another label; 1 of them are blank",
        "2 of 5 training images are exact copies of each other (as training image 0 = training "
        "image 2), 2 of them with another label; 2 of them are blank",
    )
    assert copies.describe(part([one, two], [0, 1]), {"test": part([[0, 2, 3, 4]], [0])}) == ()


def test_copies_are_found_as_by_comparing_all_pairs():
    rng = np.random.default_rng(3)
    images = rng.integers(0, 2, (200, 1, 4, 4), dtype=np.uint8) * rng.integers(
        0, 2, (200, 1, 1, 1), dtype=np.uint8
    )
    images[150:] = np.repeat(images[100:110], 5, 0)
    train, test = images[:120], images[120:]
    number = sum(any((image == other).all() for other in train) for image in test)
    [first, *_] = copies.describe(
        copies.Part(train, np.zeros(120, int)), {"test": copies.Part(test, np.zeros(80, int))}
    )
    assert first.startswith(f"{number} of 80 test images are exact copies")


def test_a_run_warns_of_copies_in_own_data_only(tmp_path, digits):
    from dataclasses import replace

    from bench.datasets import warn_of_copies

    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(
        tmp_path / "x.npz",
        train_images=images,
        train_labels=labels,
        test_images=images[:4],
        test_labels=labels[:4],
    )
    with pytest.warns(
        UserWarning,
        match=r"^4 of 4 test images are exact copies of training images .* \(they are kept\)$",
    ):
        warn_of_copies(load_dataset(f"npz:{tmp_path / 'x.npz'}"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_copies(
            replace(digits, test_images=digits.train_images, test_labels=digits.train_labels)
        )


# -------------------------------------------------------------------------------------------------
# folders of caches


def places(monkeypatch, tmp_path: Path, **variables: str | None) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir(exist_ok=True)
    for name in ("LNL_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)


def test_where_caches_are(tmp_path, monkeypatch):
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    places(monkeypatch, tmp_path)
    assert cache_folder.cache_folder() == own and not (tmp_path / "home").exists(), (
        "no home folder is made"
    )
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    (tmp_path / "home").mkdir()
    assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "lnl-bench"
    places(monkeypatch, tmp_path, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert cache_folder.cache_folder() == tmp_path / "xdg" / "lnl-bench"
    for relative in ("caches", "./caches", ""):
        places(monkeypatch, tmp_path, XDG_CACHE_HOME=relative)
        assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "lnl-bench", (
            "the specification has it ignored"
        )
    places(monkeypatch, tmp_path, XDG_CACHE_HOME="~/xdg")
    assert cache_folder.cache_folder() == tmp_path / "home" / "xdg" / "lnl-bench"
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE="~/mine")
    assert cache_folder.cache_folder() == tmp_path / "home" / "mine"
    monkeypatch.chdir(tmp_path)
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE="here")
    assert cache_folder.cache_folder() == tmp_path / "here", (
        "also for processes that start elsewhere"
    )
    (tmp_path / "file").touch()
    places(monkeypatch, tmp_path, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert cache_folder.cache_folder() == own
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE=str(tmp_path / "file"))
    with pytest.raises(
        InputError,
        match=r"cannot keep files in .*file' \(.+\): name another folder in LNL_BENCH_CACHE",
    ):
        cache_folder.cache_folder()


@pytest.mark.parametrize("trap", ["open to all", "a link", "a file", "somebody else's"])
def test_a_temporary_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch, trap):
    places(monkeypatch, tmp_path)
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    if trap == "open to all":
        own.mkdir()
        own.chmod(0o777)
    elif trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        own.symlink_to(tmp_path / "elsewhere")
    elif trap == "a file":
        own.touch()
    else:
        own.mkdir(mode=0o700)
        uid = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
        own.rename(own.with_name(f"lnl-bench-{uid + 1}"))
    with pytest.raises(
        InputError, match="name a folder in the environment variable LNL_BENCH_CACHE"
    ) as error:
        cache_folder.cache_folder()
    assert "\n" not in str(error.value)


def test_a_user_whom_the_system_does_not_know(tmp_path, monkeypatch):
    places(monkeypatch, tmp_path, HOME=None)

    def unknown(*_):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    assert cache_folder.cache_folder() == own
    for variable in ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(variable, "x")  # so that it is put back
        monkeypatch.delenv(variable)
    cache_folder.keep_library_caches()
    assert os.environ["MPLCONFIGDIR"] == str(own / "matplotlib")
    images = own_set(tmp_path / "d")
    assert len(load_dataset(f"folder:{images}").train_images) == 16 and list(
        own.glob("images-*/images.u8")
    )
    monkeypatch.setenv("LNL_BENCH_CACHE", "~/mine")
    with pytest.raises(
        InputError,
        match="LNL_BENCH_CACHE is '~/mine', but there is no home folder: give a path without ~",
    ):
        cache_folder.cache_folder()


@pytest.mark.parametrize("explicit", [True, False])
def test_a_read_only_cache_is_read_and_what_it_lacks_goes_elsewhere(
    tmp_path, monkeypatch, explicit
):
    root, other = own_set(tmp_path / "d"), own_set(tmp_path / "other", each=6)
    variables = (
        {"LNL_BENCH_CACHE": str(tmp_path / "kept")}
        if explicit
        else {"XDG_CACHE_HOME": str(tmp_path / "kept")}
    )
    places(monkeypatch, tmp_path, **variables)
    whole = np.array(load_dataset(f"folder:{root}").train_images)
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not str(path).startswith(str(tmp_path / "kept")) and access(path, mode),
    )
    with monkeypatch.context() as patch:
        patch.setattr(decoded_cache, "decode", lambda *_, **__: pytest.fail("decoded again"))
        patch.setattr(decoded_cache, "_lock", lambda *_: pytest.fail("opened for writing"))
        np.testing.assert_array_equal(load_dataset(f"folder:{root}").train_images, whole)
        cache_folder.keep_library_caches()
    if explicit:
        with pytest.raises(
            InputError,
            match=r"cannot keep files in .*kept' \(it is read-only\): name another folder",
        ):
            load_dataset(f"folder:{other}")
    else:
        assert len(load_dataset(f"folder:{other}").test_images) == 2
        assert list((tmp_path / "tmp").glob("lnl-bench-*/images-*/images.u8"))


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        InputError,
        match=r"cannot keep decoded images in .*cache' \(No space left on device\): .*LNL_BENCH_CACHE",
    ):
        load_dataset(f"folder:{own_set(tmp_path / 'd')}")


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can become a user whom the system does not know"
)
@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become a user whom the system does not know"
)
def test_a_container_without_a_home_folder(tmp_path):
    code = (
        "import os, sys, bench.datasets.images.cache_folder as c\n"
        "for name in ('HOME', 'XDG_CACHE_HOME', 'LNL_BENCH_CACHE'): os.environ.pop(name, None)\n"
        "os.setuid(54321)\n"
        "c.keep_library_caches(); print(c.cache_folder())\n"
    )
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    (tmp_path / "tmp").mkdir(mode=0o777)
    (tmp_path / "tmp").chmod(0o777)
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.stdout == f"{tmp_path / 'tmp' / 'lnl-bench-54321'}\n", done.stderr


def test_a_path_in_a_home_folder_that_is_not_there(tmp_path):
    with pytest.raises(
        InputError, match="there is no home folder for '~nobody-here/d': write the path without ~"
    ):
        load_dataset("folder:~nobody-here/d")


def test_many_threads_may_decode_at_once(tmp_path):
    """The filter of warnings is one for all threads."""
    path = save(
        tmp_path / "x.jpg",
        (RAMP * 255).astype(np.uint8),
        exif=ODD_METADATA["an entry beyond the end"],
    )
    results: list[object] = []

    def work() -> None:
        for _ in range(20):
            results.append(decode(path, 16).shape)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [(3, 16, 16)] * 160
