"""Steps on a GPU as one launch: the second step of an epoch is recorded as a CUDA graph, and the
others replay it.

A step of ResNet-18 on 128 images is over before Python has launched its kernels. Other trials
beside it fill the gaps as well, and for every method, which is why graphs are asked for:
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
    """Return what takes an epoch's steps: ``method.update``, or with ``graphs``, where that is
    possible, a graph of it.
    """
    # Adam counts its steps on the host.
    if graphs and device == "cuda" and method.static_step and type(optimizer) is torch.optim.SGD:
        return GraphedSteps(method, optimizer, networks)
    return lambda batch: method.update(batch, optimizer)


class GraphedSteps:
    """An epoch's steps; a graph is no longer right in the next one, whose learning rate differs.

    The first step is an ordinary one, since libraries set themselves up in it. So is that of a
    batch of another size.
    """

    def __init__(
        self, method: Method, optimizer: torch.optim.Optimizer, networks: Sequence[Network]
    ) -> None:
        """``networks``: those that count what passes through them, which a replay would leave out."""
        self.method, self.optimizer, self.networks = method, optimizer, networks
        self.stream = torch.cuda.Stream()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch: Batch | None = None  # what the graph reads

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
        # Not on the default stream: what the first step leaves behind would tie the graph to that
        # one.
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.method.update(batch, self.optimizer)
        torch.cuda.current_stream().wait_stream(self.stream)
        if self.batch is None and isinstance(batch, Batch):
            # Each in its own layout, which decides on kernels.
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
    """All that a batch consists of."""
    return [*batch.views, batch.y, batch.index]
