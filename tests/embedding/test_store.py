"""Store of vectors: interrupted, damaged, read-only, full, and used by two processes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from frozen import dataset, frozen, records, vectors_file
from sweeps import ROOT, wait_for

from bench.datasets import Dataset
from bench.datasets.features import Features
from bench.datasets.images import cache_folder
from bench.embedding import embed, store
from bench.errors import InputError


def embedded(images: Dataset, **settings) -> Features:
    return embed(images, frozen(**settings), device="cpu", threads=1).features


#: Program that embeds 640 images, each after a pause.
PROGRAM = """
import sys, time
import frozen
from bench.embedding import embed, inputs

frozen.install()
sys.modules[embed.__module__].SAVE_SECONDS = 0
open_image = inputs.open_image

def slow(images, position):
    time.sleep(0.004)
    return open_image(images, position)

inputs.open_image = slow
embed(frozen.dataset(), frozen.frozen(), device="cpu", threads=1)
"""


def start(cache: Path) -> subprocess.Popen:
    """Start the program; return when it has embedded the first images."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(cache.glob("embeddings-*/vectors")) and len(records(cache)) >= 64)
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_command_goes_on_where_it_was(cache, tmp_path, monkeypatch, opened, end):
    process = start(cache)
    process.send_signal(end)
    process.communicate(timeout=60)
    assert process.returncode != 0
    done = len(records(cache))
    assert 64 <= done < 640
    features = embedded(dataset())
    assert len(opened) == 640 - done
    assert len(records(cache)) == 640 == len(set(records(cache)["content"].tolist()))
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "undisturbed"))
    assert embedded(dataset()).checksum == features.checksum


def test_of_two_processes_one_embeds_and_the_other_waits(cache, opened):
    process = start(cache)
    embedded(dataset())
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors
    assert not opened and len(records(cache)) == 640


def test_a_torn_record_is_cut_off(tiny_dataset, cache, opened):
    whole = embedded(tiny_dataset)
    content = vectors_file(cache).read_bytes()
    vectors_file(cache).write_bytes(content[:-11])
    opened.clear()
    assert embedded(tiny_dataset).checksum == whole.checksum and len(opened) == 1
    assert vectors_file(cache).stat().st_size == len(content)


@pytest.mark.parametrize("field", ["checksum", "seconds", "vector"])
def test_a_damaged_record_is_embedded_again(tiny_dataset, cache, opened, field):
    whole = embedded(tiny_dataset)
    content = bytearray(vectors_file(cache).read_bytes())
    record = store.Store(frozen()).record
    content[3 * record.itemsize + record.fields[field][1]] ^= 4
    vectors_file(cache).write_bytes(content)
    opened.clear()
    with pytest.warns(UserWarning, match=r"^1 kept embeddings are damaged .* embedded again$"):
        assert embedded(tiny_dataset).checksum == whole.checksum
    assert len(opened) == 1
    opened.clear()
    assert embedded(tiny_dataset).checksum == whole.checksum and not opened


def test_a_file_of_nothing_but_zeros_is_no_store(tiny_dataset, cache, opened):
    whole = embedded(tiny_dataset)
    vectors_file(cache).write_bytes(bytes(vectors_file(cache).stat().st_size))
    opened.clear()
    assert embedded(tiny_dataset).checksum == whole.checksum and len(opened) == 80


def test_a_read_only_cache_is_read_and_what_it_lacks_goes_elsewhere(
    tiny_dataset, tmp_path, monkeypatch, opened
):
    kept, temporary = tmp_path / "kept" / "lnl-bench", tmp_path / "temporary"
    monkeypatch.delenv("LNL_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    temporary.mkdir(mode=0o700)
    monkeypatch.setattr(cache_folder, "temporary_folder", lambda: temporary)
    part = replace(
        tiny_dataset,
        train_images=tiny_dataset.train_images[:40],
        train_labels=tiny_dataset.train_labels[:40],
    )
    embedded(part)
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not str(path).startswith(str(kept)) and access(path, mode),
    )
    opened.clear()
    with monkeypatch.context() as patch:
        patch.setattr(store, "locked", lambda _: pytest.fail("opened for writing"))
        embedded(part)
    whole = embedded(tiny_dataset)
    assert len(opened) == 20 == len(records(temporary)) and len(records(kept)) == 60
    monkeypatch.setenv("LNL_BENCH_CACHE", str(tmp_path / "new"))
    assert embedded(tiny_dataset).checksum == whole.checksum
    monkeypatch.setenv("LNL_BENCH_CACHE", str(kept))
    with pytest.raises(InputError, match=r"cannot keep files in .* \(it is read-only\)"):
        embedded(tiny_dataset, size=32)


def test_a_full_disk_is_one_sentence_and_what_was_written_stays(
    tiny_dataset, cache, monkeypatch, opened
):
    module = sys.modules[embed.__module__]
    monkeypatch.setattr(module, "SAVE_SECONDS", 0)
    write, limit = os.write, 40 * store.Store(frozen()).record.itemsize + 7

    def full(descriptor, content):
        space = limit - os.fstat(descriptor).st_size
        if not space:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:space])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(
            InputError,
            match=r"cannot keep embeddings in .*cache' \(No space left on device\): .*"
            r"LNL_BENCH_CACHE",
        ):
            embedded(tiny_dataset)
    assert vectors_file(cache).stat().st_size == limit
    opened.clear()
    embedded(tiny_dataset)
    assert len(opened) == 40 and len(np.unique(records(cache)["content"])) == 80
