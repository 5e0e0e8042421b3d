"""Random folders of images, and a count of their files that shares no code with the package."""

import os
import random
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = [
    b"cat",
    b"caf\xe9",
    "été".encode(),
    "e\u0301te\u0301".encode(),
    b"a b ",
    b"[bold]x",
    b"[red]",
    b"line\nbreak",
    b"\xff\xfe",
]
NAMES += [
    "😀".encode(),
    b"-rf",
    b"1",
    b"01",
    "²".encode(),
    "１".encode(),
    b"None",
    b"CON",
    b"{x}",
    b"%s",
    b"x,y",
    b'q"',
    b"tab\t",
    b"10",
]
MODES = ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"]
SIZES = [(16, 16), (1, 1), (1, 500), (500, 1), (33, 20), (8, 8), (3, 7)]
SPLITS = [
    (b"train", b"test"),
    (b"Train", b"VAL"),
    (b"training", b"dev", b"eval"),
    (b"train",),
    (b"test",),
    (b"train", b"Training"),
    (b"train_images", b"test_images"),
    (b"wrapped/train", b"wrapped/test"),
]


def image_bytes(draw: random.Random) -> tuple[bytes, bytes]:
    """Return an image of random mode, size and format, and the usual suffix of its name."""
    import io

    mode, size = draw.choice(MODES), draw.choice(SIZES)
    kinds = {
        "RGB": ["png", "jpeg", "bmp", "webp", "tiff", "gif", "ppm", "jpeg2000"],
        "L": ["png", "jpeg", "tiff"],
    }
    kind = draw.choice(kinds.get(mode, ["tiff"] if mode == "CMYK" else ["png"]))
    values = np.random.default_rng(draw.randrange(2**32)).integers(
        0, 256, (size[1], size[0], 4), dtype=np.uint8
    )
    picture = Image.fromarray(values, "RGBA").convert(
        "RGB" if mode in ("CMYK", "P") else "L" if mode == "I;16" else "RGBA"
    )
    stream = io.BytesIO()
    picture.convert(mode).save(stream, kind)
    ending = {"jpeg": b"jpg", "jpeg2000": b"jp2"}.get(kind, kind.encode())
    return stream.getvalue(), b"." + ending


def damaged(draw: random.Random) -> tuple[bytes, bytes]:
    """Return a damaged image or another kind of file, and a suffix that is often an image's."""
    content, ending = image_bytes(draw)
    flipped = bytearray(content)
    for _ in range(5):
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    contents = [
        b"",
        b"<html>404</html>",
        content[: len(content) // 2],
        bytes(flipped),
        b"P1 is a name",
        b"BMW",
        b"%!PS-Adobe\n",
    ]
    endings = [ending, b".jpg", b"", b".txt", b".eps", b".tga", b".ico", b".heic"]
    return draw.choice(contents), draw.choice(endings)


def write_file(draw: random.Random, folder: bytes, number: int) -> None:
    """Write one file, link or oddity into the folder."""
    content, ending = image_bytes(draw)
    stem = draw.choice(
        [b"%04d" % number, b"%d " % number + draw.choice(NAMES), b"._%d" % number, b".%d" % number]
    )
    kind = draw.random()
    if kind < 0.08:
        content, ending = damaged(draw)
    elif kind < 0.16:
        ending = draw.choice([b"", b".JPG", b".dat", b".jfif", b".png~", b".bak"])
    path = os.path.join(folder, stem + ending)
    if kind > 0.97:
        os.mkfifo(path)
    elif kind > 0.92:
        os.symlink(draw.choice([b"nowhere.png", os.path.basename(path), b"..", b"/dev/null"]), path)
    elif not os.path.lexists(path):
        Path(os.fsdecode(path)).write_bytes(content)


def random_folder(root: Path, seed: int) -> Path:
    """Write a folder of images with odd names, modes, links, nesting, damage, splits and lists."""
    draw = random.Random(seed)
    top, pool = os.fsencode(root / "set"), os.fsencode(root / "pool")
    classes = draw.sample(NAMES, draw.randint(1, 4))
    parts = draw.choice(SPLITS) if draw.random() < 0.4 else (b"",)
    number = 0
    for part in parts:
        for name in classes:
            folder = os.path.join(top, part, name)
            extra = [
                b".ipynb_checkpoints",
                b"@eaDir",
                b"nested",
                b"nested/deeper",
                b"train",
                b"__MACOSX",
            ]
            for place in [folder] * 3 + [os.path.join(folder, draw.choice(extra))]:
                os.makedirs(place, exist_ok=True)
                for _ in range(draw.randint(1, 4)):
                    write_file(draw, place, number)
                    number += 1
    os.makedirs(pool)
    for number in range(3):
        (Path(os.fsdecode(pool)) / f"pool{number}.png").write_bytes(b"")
        write_file(random.Random(number), pool, 100 + number)
    if draw.random() < 0.5:
        os.symlink(pool, os.path.join(top, parts[0], classes[0], b"linked"))
        os.symlink(pool, os.path.join(top, parts[0], classes[0], b"linked again"))
    if draw.random() < 0.3:
        os.symlink(top, os.path.join(top, b"loop"))
    if draw.random() < 0.3:
        write_file(draw, top, 9999)
    if draw.random() < 0.4:
        write_list(draw, Path(os.fsdecode(top)))
    return Path(os.fsdecode(top))


def write_list(draw: random.Random, folder: Path) -> None:
    """Write a labels.csv of the folder's files, mostly right."""
    import csv
    import io

    names = [
        os.path.relpath(os.path.join(at, name), folder)
        for at, _, names in os.walk(folder)
        for name in sorted(names)
    ]
    names = sorted(name for name in names if (folder / name).is_file() and name.isprintable())
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=draw.choice(",;\t"))
    split = draw.random() < 0.5
    writer.writerow(["path", "Label", "clean_label", "split"] if split else ["path", "label"])
    for name in names:
        label = draw.choice(["a", "b", "x, y", "Cat", "line\nbreak"])
        more = (
            [draw.choice([label, "", "nan"]), draw.choice(["train", "train", "Test", "valid", ""])]
            if split
            else []
        )
        if draw.random() < 0.9:
            writer.writerow([name, label, *more])
    text = stream.getvalue()
    fault = draw.random()
    if fault < 0.3 and text:
        at = draw.randrange(len(text))
        text = text[:at] + draw.choice(['"', ",", "\n", "\0", "nan,NA"]) + text[at + 1 :]
    folder.joinpath("labels.csv").write_bytes(
        text.encode(draw.choice(["utf-8", "utf-8-sig", "utf-16"]))
    )


def files_below(folder: Path) -> int:
    """Number of files by the documented rule: a link is one file, or the files of the folder read
    through it.
    """
    root = os.path.realpath(folder)
    count, linked = 0, set()
    for at, folders, names in os.walk(folder):
        count += len(names)
        hidden = any(
            part.startswith(".") or part in ("@eaDir", "__MACOSX")
            for part in Path(at).relative_to(folder).parts
        )
        for name in sorted(folders):
            path = os.path.join(at, name)
            if not os.path.islink(path):
                continue
            target = os.path.realpath(path)
            inside = (
                root == target
                or target.startswith(root + "/")
                or root.startswith(target.rstrip("/") + "/")
            )
            if (
                hidden
                or name.startswith(".")
                or inside
                or name.endswith(("~", ".bak"))
                or target in linked
            ):
                count += 1
            else:
                linked.add(target)
                count += files_below(Path(target))
    return count
