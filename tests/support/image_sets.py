"""Small sets of image files, and the command for data sets."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.commands import execute
from bench.cli.data import data as data_command


def save(path: Path, array: np.ndarray, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **settings)
    return path


def own_set(root: Path, each: int = 10, classes: str = "ab") -> Path:
    """Write images of noise into a folder a class."""
    for number in range(each * len(classes)):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        save(root / classes[number % len(classes)] / f"{number:02}.png", pixels)
    return root


def call(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        execute(data_command, list(arguments))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out + captured.err
