"""Store of vectors in the cache, by the content of the images that they are of.

There is one file for each network, its weights and its input. It holds records of one size, and
grows at its end only: a killed process leaves at most a torn record there, which is cut off. Each
record has a checksum; a damaged one counts as missing. One process writes while others wait.
"""

import contextlib
import hashlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.datasets.images.cache_folder import (
    cache_folder,
    locked,
    readable_folders,
    unwritable,
)
from bench.datasets.images.survey import VERSION as DECODING
from bench.embedding.inputs import VERSION
from bench.networks.pretrained import Pretrained

#: Appends vectors (n, D) of these contents, and the seconds that each of them took.
Append = Callable[[Sequence[bytes], np.ndarray, np.ndarray], None]


class Store:
    """Vectors of one network."""

    def __init__(self, pretrained: Pretrained) -> None:
        network = pretrained.network
        identity = (
            network.network,
            network.weights,
            network.size,
            network.mean,
            network.std,
            network.interpolation,
            pretrained.num_features,
        )
        key = hashlib.sha256(repr((VERSION, DECODING, identity)).encode()).hexdigest()[:16]
        self.name = f"embeddings-{key}"
        self.record = np.dtype(
            [
                ("checksum", "<u4"),  # CRC-32 of the rest of the record
                ("seconds", "<f4"),
                ("content", "V32"),
                ("vector", "<f2", (pretrained.num_features,)),
            ]
        )

    def read(self, contents: Iterable[bytes]) -> "Vectors":
        """Return the vectors of these contents, as far as the store has them."""
        return Vectors(
            [self._map(folder / self.name / "vectors") for folder in readable_folders()], contents
        )

    @contextlib.contextmanager
    def writing(self) -> Iterator[Append]:
        """Context in which this process alone appends to the store; it waits for another one.

        Raises:
            InputError: if the store cannot be written, such as on a full disk.
        """
        folder = cache_folder()
        place = folder / self.name
        with contextlib.ExitStack() as stack:
            try:
                place.mkdir(exist_ok=True)
                stack.enter_context(locked(place))
                file = stack.enter_context((place / "vectors").open("ab", buffering=0))
                whole = os.path.getsize(place / "vectors") // self.record.itemsize
                os.ftruncate(file.fileno(), whole * self.record.itemsize)
            except OSError as error:
                raise unwritable(folder, error, "embeddings") from error

            def append(contents: Sequence[bytes], vectors: np.ndarray, seconds: np.ndarray) -> None:
                try:
                    _write(file.fileno(), self._records(contents, vectors, seconds))
                except OSError as error:
                    raise unwritable(folder, error, "embeddings") from error

            yield append

    def _records(
        self, contents: Sequence[bytes], vectors: np.ndarray, seconds: np.ndarray
    ) -> bytes:
        """Return records as bytes, with their checksums."""
        records = np.zeros(len(contents), self.record)
        records["content"] = np.frombuffer(b"".join(contents), "V32")
        records["vector"], records["seconds"] = vectors, seconds
        records["checksum"] = _checksums(records, range(len(records)))
        return records.tobytes()

    def _map(self, path: Path) -> np.ndarray:
        """Return the whole records of a file, memory-mapped; none where there is no file."""
        try:
            count = path.stat().st_size // self.record.itemsize
            if count:
                return np.memmap(path, self.record, "r", shape=(count,)).view(np.ndarray)
        except OSError:  # there is none, or it is closed to the user
            pass
        return np.zeros(0, self.record)


class Vectors:
    """Vectors of some contents, in one or several files of the store."""

    def __init__(self, files: Sequence[np.ndarray], contents: Iterable[bytes]) -> None:
        self.files = files
        self.places: dict[bytes, tuple[int, int]] = {}  # content -> file and record
        self.damaged = 0  # records that would be of use, but have a wrong checksum
        contents = dict.fromkeys(contents)
        for number, records in enumerate(files):
            # the last record of a content counts: it may replace a damaged one
            rows = {key: row for row, key in enumerate(records["content"].tolist())}
            rows = {key: rows[key] for key in contents if key in rows and key not in self.places}
            checksums = _checksums(records, rows.values())
            for (key, row), checksum in zip(rows.items(), checksums, strict=True):
                if checksum == records["checksum"][row]:
                    self.places[key] = number, row
                else:
                    self.damaged += 1
        self.missing = [key for key in contents if key not in self.places]

    def warn_of_damage(self) -> None:
        """Warn of records with a wrong checksum."""
        if self.damaged:
            warnings.warn(
                f"{self.damaged:,} kept embeddings are damaged (their checksum is wrong); these "
                "images are embedded again",
                stacklevel=2,
            )

    def gather(self, contents: Sequence[bytes]) -> np.ndarray:
        """Return the vectors of these contents, float16 (n, D), read-only."""
        places = np.array([self.places[key] for key in contents], np.intp).reshape(-1, 2)
        vectors = np.empty((len(contents), *self.files[0]["vector"].shape[1:]), np.float16)
        for number, records in enumerate(self.files):
            chosen = places[:, 0] == number
            vectors[chosen] = records["vector"][places[chosen, 1]]
        vectors.setflags(write=False)
        return vectors

    def seconds(self) -> float:
        """Return the time that embedding these contents took, whenever that was."""
        return float(sum(self.files[file]["seconds"][row] for file, row in self.places.values()))


def _checksums(records: np.ndarray, rows: Iterable[int]) -> list[int]:
    """Return the CRC-32 of these records, without their first field."""
    content, size = records.view(np.uint8).data, records.itemsize
    return [zlib.crc32(content[row * size + 4 : (row + 1) * size]) for row in rows]


def _write(descriptor: int, content: bytes) -> None:
    """Append bytes to a file and bring them to the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
