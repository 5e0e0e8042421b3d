"""CUDA graphs of training steps: an epoch records its second step, and replays it for the others.

A GPU finishes a step of ResNet-18 on 128 images before Python has launched its kernels. Several
trials on a GPU fill the gaps as well, and for every method: graphs are therefore an option,
``--graphs``. They are part of a trial's specification, since they change the order of its sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench.method import Method
from bench.networks.backbones import Network
from bench.task import Batch

Step = Callable[[Any], Tensor]


def steps_of(
    method: Method,
    optimizer: torch.optim.Optimizer,
    networks: Sequence[Network],
    device: str,
    graphs: bool,
) -> Step:
    """Return ``method.update`` as a function of the batch, as a CUDA graph where that works."""
    # Adam counts its steps on the host.
    if graphs and device == "cuda" and method.static_step and type(optimizer) is torch.optim.SGD:
        return GraphedSteps(method, optimizer, networks)
    return lambda batch: method.update(batch, optimizer)


class GraphedSteps:
    """Steps of one epoch; the next one needs a new graph for its learning rate.

    The first step is an ordinary one, because libraries initialise themselves in it. A batch of
    another size takes an ordinary step as well.
    """

    def __init__(
        self, method: Method, optimizer: torch.optim.Optimizer, networks: Sequence[Network]
    ) -> None:
        """Prepare an epoch; a replay adds the passes that ``networks`` would have counted."""
        self.method, self.optimizer, self.networks = method, optimizer, networks
        self.stream = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch | None = None  # input of the graph

    def __call__(self, batch: Any) -> Tensor:
        if self.batch is None or not isinstance(batch, Batch) or len(batch.y) != len(self.batch.y):
            return self.ordinary(batch)
        for fixed, new in zip(tensors(self.batch), tensors(batch), strict=True):
            fixed.copy_(new)
        if self.graph is None:
            self.record(self.batch)
        else:
            for net, (trained, inferred) in zip(self.networks, self.counts, strict=True):
                net.samples_trained += trained
                net.samples_inferred += inferred
        assert self.graph is not None
        self.graph.replay()
        return self.loss.clone()

    def ordinary(self, batch: Any) -> Tensor:
        # Buffers that the first step allocates on the default stream would tie the graph to it.
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.method.update(batch, self.optimizer)
        torch.cuda.current_stream().wait_stream(self.stream)
        if self.batch is None and isinstance(batch, Batch):
            # Clones keep the layout of each tensor, which decides on kernels.
            self.batch = replace(
                batch,
                views=tuple(view.clone() for view in batch.views),
                y=batch.y.clone(),
                index=batch.index.clone(),
            )
        return loss

    def record(self, batch: Batch) -> None:
        before = [(net.samples_trained, net.samples_inferred) for net in self.networks]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self.method.update(batch, self.optimizer)
        self.graph = graph
        self.counts = [
            (net.samples_trained - trained, net.samples_inferred - inferred)
            for net, (trained, inferred) in zip(self.networks, before, strict=True)
        ]


def tensors(batch: Batch) -> list[Tensor]:
    """Return all tensors of a batch."""
    return [*batch.views, batch.y, batch.index]
