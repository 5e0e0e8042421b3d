"""Body of a library's network: fits images of any side to the network's input."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FittedBody(nn.Module):
    """Network without classifier that takes normalised images of any side, grey or coloured."""

    def __init__(
        self, network: nn.Module, size: int, interpolation: str, groups: Sequence[Sequence[str]]
    ) -> None:
        """Wrap the network.

        Args:
            size: side of the network's input in pixels.
            interpolation: "bilinear" or "bicubic".
            groups: names of its parameters, by part, from the input to the head.
        """
        super().__init__()
        self.network = network
        self.size = size
        self.interpolation = interpolation
        self._groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Return features (B, num_features) of normalised images (B, C, side, side)."""
        side = max(x.shape[-2:])
        if x.shape[-2:] != (self.size, self.size):
            # Antialiasing is for shrinking alone.
            x = F.interpolate(
                x, (self.size, self.size), mode=self.interpolation, antialias=side > self.size
            )
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        return self.network(x)

    def blocks(self) -> list[list[nn.Module]]:
        """Return the parts that have parameters: the stem and the stages."""
        return [self._modules_of(names) for names in self._groups]

    def _modules_of(self, names: Sequence[str]) -> list[nn.Module]:
        """Return modules that hold these parameters alone, each once."""
        owners: dict[str, list[nn.Parameter]] = {}
        for name in names:
            owner = name.rpartition(".")[0]
            owners.setdefault(owner, []).append(self.network.get_parameter(name))
        modules: list[nn.Module] = []
        for owner, parameters in owners.items():
            module = self.network.get_submodule(owner)
            # A module with children may have parameters of several parts.
            leaf = next(module.children(), None) is None
            modules.append(module if leaf else nn.ParameterList(parameters))
        return modules


def load_arrays(body: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a network's body copies of these weights, by name; the arrays may be read-only."""
    body.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
