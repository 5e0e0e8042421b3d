"""Common parts of the libraries of networks: settings, checks and their messages, parts."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from bench.errors import InputError

#: Normalisations, which belong to the layer before them.
_NORMALISATIONS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Settings:
    """Facts about a network of a library and its default weights."""

    name: str  # LIBRARY:NAME.TAG; without a tag where there are no default weights
    size: int  # side of the input in pixels
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str  # "bilinear" or "bicubic"
    data: str  # what the default weights were trained on
    licence: str  # of the default weights; "" where nothing is known


def unknown_network(name: str, known: Iterable[str], where: str) -> InputError:
    """Return the error for a name that a library does not know, with near ones.

    Args:
        where: place where a user finds all names.
    """
    library, _, rest = name[:200].partition(":")
    close = difflib.get_close_matches(rest, list(known), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else f"{where} lists the names"
    return InputError(f"{library} has no network {rest!r}: {hint}")


def check_size(name: str, size: int, default: int, stride: int) -> None:
    """Raise InputError unless a side is the network's own, or a multiple of its stride.

    Patches leave the rest of other sides out, and convolutions pad it in ways that differ between
    libraries.
    """
    if size != default and (size < stride or size % stride):
        low = max(size // stride, 1) * stride
        raise InputError(
            f"{name} takes sides that are a multiple of {stride} pixels, not {size}: give "
            f"--network-size {low} or {low + stride}"
        )


def not_built(name: str, size: int, reason: str) -> InputError:
    """Return the error for a network that its library cannot build for images of a side."""
    return InputError(
        f"{name} cannot be built for images of {size} pixels ({reason[:100]}): give another "
        "--network-size"
    )


def misfit(name: str, source: str, reason: str) -> InputError:
    """Return the error for a file whose weights are not those of the network."""
    return InputError(
        f"{source} does not hold the weights of {name} ({reason[:200]}): name the network that "
        "they are of, or give another --weights"
    )


def parts_by_children(net: nn.Module, containers: Iterable[str]) -> list[list[str]]:
    """Return the names of a network's parameters by part, after its modules in order.

    Args:
        containers: names of modules whose children are parts, not they.
    """
    parts = [[name for name, _ in net.named_parameters(recurse=False)]]

    def add(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if name in containers:
                parts[-1] += [
                    f"{prefix}{name}.{key}" for key, _ in child.named_parameters(recurse=False)
                ]
                add(child, f"{prefix}{name}.")
                continue
            names = [f"{prefix}{name}.{key}" for key, _ in child.named_parameters()]
            if names and parts[-1] and not isinstance(child, _NORMALISATIONS):
                parts.append(names)
            else:
                parts[-1] += names

    add(net, "")
    return [part for part in parts if part]
