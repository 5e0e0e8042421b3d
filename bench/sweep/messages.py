"""Messages of a worker to the driver, a type each."""

import msgspec

from bench.records.schema import Done, Epoch


class Message(msgspec.Struct, kw_only=True):
    """Message about one piece of work."""

    number: int = 0  # counts the messages of one piece of work: Tune repeats the last one


class Began(Message):
    """The worker has loaded its code and takes up the work; sent where there is a time limit."""


class Warned(Message):
    """The trial goes on after a problem."""

    text: str


class PretrainingEpoch(Message):
    """A pretraining has completed this epoch."""

    epoch: int


class Epochs(Message):
    """Records of new epochs; after a ``restart``, all epochs of the checkpoint."""

    epochs: list[Epoch]
    restart: bool
    peak_memory_bytes: int  # of the worker so far, for the case that there is never a result


class EncoderTrained(Message):
    """A pretraining is over."""

    encoder: bytes  # safetensors
    seconds: float


class Failed(Message):
    """The work has no result."""

    status: str  # FAILED or LOST
    error: str
    seconds: float


class Ended(Message):
    """A trial is over, with its record."""

    done: Done
    samples: bytes | None  # .npz
    weights: bytes | None  # safetensors
