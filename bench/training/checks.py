"""Checks of a method's predictions: no state changes, and each depends on its image alone.

Test images pass through ``predict``. A method that takes their statistics into its batch
normalisation learns from them, and one that normalises by the batch predicts an image by its
neighbours.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

#: Size of a batch that is predicted twice, and of the part of it that is predicted alone.
BATCH, PART = 64, 8

#: Bound on the total variation that rounding may cause between two predictions of an image.
TOLERANCE = {"fp32": 0.01, "bf16": 0.05}

#: Bound on the rounding error of the sum of an image's probabilities.
_SUM_TOLERANCE = 0.02

#: Integer types by size, to compare floats by their bits: two NaNs are then equal.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class EvaluationError(RuntimeError):
    """Breach of a rule of evaluation by a method."""


@contextmanager
def untouched(method: nn.Module) -> Iterator[None]:
    """Context that must not change the method's parameters and buffers, and ends in eval mode.

    Sparse tensors are not compared. On a GPU this waits for the device once.

    Raises:
        EvaluationError: at the end, where a tensor has changed or a module is in training mode.
    """
    before = {name: value.clone() for name, value in _state(method).items()}
    yield
    after = _state(method)
    changed = sorted(before.keys() ^ after.keys()) or _differing(before, after)
    if changed:
        others = len({_part(name) for name in changed}) - 1
        more = f" (and of {others} more)" if others > 0 else ""
        raise EvaluationError(
            f"evaluation changed {_described(changed[0])}{more}: predict in eval mode, and write "
            "to no parameter or buffer in predict, clean_probability, soft_targets and "
            "transition_matrix"
        )
    if training := [
        name or "the method" for name, module in method.named_modules() if module.training
    ]:
        raise EvaluationError(
            f"predict leaves {training[0]} in training mode: predict in eval mode"
        )


def check_alike(whole: Tensor, part: Tensor, precision: str) -> None:
    """Compare predictions (B, C) of a batch with those (P, C) of its first images alone.

    Raises:
        EvaluationError: where they differ by more than rounding.
    """
    gap = float((whole[: len(part)] - part).abs().sum(1).mean()) / 2
    if gap > TOLERANCE[precision]:
        raise EvaluationError(
            "predict gives images other probabilities in another batch (they differ by "
            f"{gap:.2f}): predict each image by itself, without random numbers, in eval mode"
        )


def tensor_of(hook: str, values: object) -> Tensor:
    """Return the output of a method's hook in single precision.

    Raises:
        EvaluationError: where it is no tensor.
    """
    if not isinstance(values, Tensor):
        raise EvaluationError(f"{hook} gives {type(values).__name__}: give a tensor")
    return values.float()


def shaped(hook: str, values: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Return the output of a method's hook as an array.

    Raises:
        EvaluationError: where it has another shape.
    """
    if values.shape != shape:
        raise EvaluationError(
            f"{hook} gives a tensor of shape {tuple(values.shape)}: give one of shape {shape}"
        )
    return values.detach().cpu().numpy()


def check_probabilities(values: np.ndarray, classes: int) -> None:
    """Check that predictions are probabilities (B, C); a trial reports non-finite ones itself.

    Raises:
        EvaluationError: where they are not.
    """
    if values.shape[1:] != (classes,):
        raise EvaluationError(
            f"predict gives a tensor of shape {values.shape}: give one of shape "
            f"{(len(values), classes)}"
        )
    if not np.isfinite(values).all():
        return
    error = float(np.abs(values.sum(1) - 1).max(initial=0))
    if error > _SUM_TOLERANCE or values.min(initial=0) < -_SUM_TOLERANCE:
        raise EvaluationError(
            "predict gives numbers that are no class probabilities: end it with softmax(1)"
        )


def _state(method: nn.Module) -> dict[str, Tensor]:
    named = (*method.named_parameters(), *method.named_buffers())
    return {name: value.detach() for name, value in named if value.layout == torch.strided}


def _differing(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    reshaped = [name for name in before if _form(before[name]) != _form(after[name])]
    if reshaped or not before:
        return reshaped
    with torch.no_grad():
        flags = [(_bits(before[name]) != _bits(after[name])).any() for name in before]
        together = torch.stack([flag.to(flags[0].device) for flag in flags]).tolist()
    return [name for name, differs in zip(before, together, strict=True) if differs]


def _form(value: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return value.shape, value.dtype, value.device


def _bits(value: Tensor) -> Tensor:
    if value.is_complex():
        value = torch.view_as_real(value)
    return value.view(_BITS[value.element_size()]) if value.is_floating_point() else value


def _part(name: str) -> str:
    """Return the module whose running statistics these are, or the tensor's own name."""
    module, _, last = name.rpartition(".")
    return module if last in _STATISTICS else name


def _described(name: str) -> str:
    return f"running statistics of {_part(name)}" if _part(name) != name else name
