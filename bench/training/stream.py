"""Images that do not fit into memory: worker processes decode them, the device augments them."""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from bench.datasets import ImageFiles
from bench.datasets.images.damage import BrokenImage
from bench.errors import InputError, Unavailable
from bench.networks import augment
from bench.task import Pixels

#: Seconds to wait before reading a file again, when a disk or network does not answer.
PAUSES = (1.0, 10.0)


class _Files(TorchDataset):
    def __init__(self, files: ImageFiles) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Tensor | str:
        """Return an image, or an error's text: as an exception it would become a traceback."""
        pauses = iter(PAUSES)
        while True:
            try:
                return torch.from_numpy(self.files.decode(position))
            except InputError as error:
                passing = isinstance(error, BrokenImage) and error.passing
                pause = next(pauses, None) if passing else None
                if pause is None:
                    return str(error)
            time.sleep(pause)


def _collate(images: list[Tensor | str]) -> Tensor | str:
    error = next((image for image in images if isinstance(image, str)), None)
    return error or default_collate(images)


class StreamedPixels(Pixels):
    """``Pixels`` over files.

    Nothing that workers do is random, so that their number changes no result. A decoded image is
    larger than a network's input: training cuts out a random window, evaluation the middle one.
    """

    def __init__(
        self, files: ImageFiles, mean: Tensor, std: Tensor, device: torch.device, workers: int
    ) -> None:
        """Read ``files`` with this many ``workers``; with none, in the trial's own process."""
        self.files = _Files(files)
        self.device = device
        self.channels, self.side = files.shape[1], files.side
        self.workers = workers
        self._set_scale(mean, std)

    def __len__(self) -> int:
        return len(self.files)

    def raw(self, index: Tensor) -> Tensor:
        return next(self.stream([index]))

    def stream(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        workers = self.workers if len(indices) > 1 else 0
        loader = DataLoader(
            self.files,
            batch_sampler=[index.tolist() for index in indices],
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # without one, it would draw from torch's global stream
        )
        for raw in loader:
            if isinstance(raw, str):
                raise Unavailable(
                    f"a file changed after the sweep had begun: {raw}, then run the same command "
                    "again"
                )
            yield raw.to(self.device, non_blocking=True)

    def view(
        self,
        raw: Tensor,
        augmentation: augment.Augmentation = augment.identity,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        if augmentation is augment.identity:
            margin = (raw.shape[-1] - self.side) // 2
            raw = raw[..., margin : margin + self.side, margin : margin + self.side]
        else:
            assert generator is not None
            raw = augment.random_window(raw, generator, self.side, self.side)
        return super().view(raw, augmentation, generator)
