"""Decoding of image files of every kind, damaged ones included."""

import io
import os
import pickle
import re
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_sets import save
from PIL import Image

from bench.datasets import ImageFiles, load_dataset
from bench.datasets.images import damage, decoding
from bench.datasets.images.damage import BrokenImage
from bench.datasets.images.decoding import decode
from bench.datasets.images.depth import Extremes
from bench.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)  # from left to right
BYTES = np.arange(0, 256, 17)  # the same in 8 bits


def row(path: Path, **settings) -> list[int]:
    """Return the first line of the decoded image; its three channels are equal."""
    image = decode(path, 16, **settings)
    assert image.dtype == np.uint8 and image.shape == (3, 16, 16) and (image == image[:1]).all()
    return image[0, 0].tolist()


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
    """Return a plain TIFF file of 16x16 pixels; ``kind``: 1 unsigned, 2 signed, 3 float."""
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
    """Return a PNG file of kinds that Pillow reads but does not write."""
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
    """EXIF defines where the first row and the first column of the stored image belong."""
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


# fuzz


def samples() -> list[tuple[str, bytes]]:
    """Return whole files of five formats, with and without metadata."""
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
    """Turn, cut off, put in or double bytes of a file, those of headers more often."""
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
