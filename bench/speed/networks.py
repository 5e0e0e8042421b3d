"""Training steps and predictions from batches in memory: channels-last against the usual layout.

On a GPU, steps in bfloat16 and as a CUDA graph are also compared with the usual step in float32.
On a CPU with units for bfloat16, steps in it are compared with this package's own in float32.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.networks.backbones import Network, build_network
from bench.networks.cpu import bfloat16_units
from bench.speed.measure import (
    Row,
    Run,
    Settings,
    Work,
    compare,
    full_float32,
    repeated,
    require_same,
    tuned,
)
from bench.task import EVALUATION_BATCH, Batch, evaluation_batch
from bench.training.graphs import GraphedSteps

CLASSES = 10

#: Difference of probabilities and weights that rounding explains.
TOLERANCE = 1e-4

#: Bounds for the difference of losses, and for that of all gradients relative to their norm.
#: Activations near 0 send gradients elsewhere after rounding: 0.9 % in float32 and 58 % in
#: bfloat16 were measured for ResNet-34, so that bfloat16 only excludes gradients of 0.
BOUNDS = {
    torch.float64: (TOLERANCE, TOLERANCE),
    torch.float32: (TOLERANCE, 0.05),
    torch.bfloat16: (0.05, 0.99),
}

#: Samples of a check in float64, which takes more memory than the timed step.
CHECKED = 16


@dataclass(frozen=True)
class Case:
    """A network and the images that it takes."""

    name: str
    backbone: str
    side: int
    channels: int
    batch: int = 128
    steps: int = 10  # in one timed call

    def network(self, device: str) -> Network:
        """Return the network with the same weights at every call."""
        torch.manual_seed(0)
        return build_network(self.backbone, self.channels, CLASSES).to(device)

    def samples(self, number: int, device: str) -> tuple[Tensor, Tensor]:
        """Return images (number, C, H, W) and labels (number,), the same at every call."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(number, self.channels, self.side, self.side, generator=generator)
        return x.to(device), torch.randint(0, CLASSES, (number,), generator=generator).to(device)


CASES = {
    "cpu": (Case("tiny", "tiny_cnn", 8, 1, steps=20), Case("small", "small_cnn", 32, 3, steps=2)),
    "cuda": tuple(
        Case(f"{backbone}, batch {batch}", backbone, 32, 3, batch)
        for backbone in ("resnet18", "resnet34")
        for batch in (128, 512)
    ),
}


def cases(device: str) -> tuple[Case, ...]:
    """Return the cases of parts that choose their own batch size: one per network."""
    networks = {case.backbone: case for case in CASES[device]}.values()
    if device == "cpu":
        return tuple(networks)
    return tuple(replace(case, name=case.backbone) for case in networks)


def computes_bfloat16(device: str) -> bool:
    """Return whether the device can gain from bfloat16."""
    return device == "cuda" or bfloat16_units()


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def operations(run: Run) -> float:
    """Return the floating-point operations of matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def gradients(loss: Tensor, net: nn.Module) -> Tensor:
    """Return the gradients of all parameters (P,); zeros where the loss does not depend on one."""
    parameters = list(net.parameters())
    parts = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def require_same_step(
    name: str,
    ours: tuple[Tensor, nn.Module],
    theirs: tuple[Tensor, nn.Module],
    dtype: torch.dtype,
) -> None:
    """Raise Different unless losses, and their gradients in two networks, agree for ``dtype``."""
    loss_bound, gradient_bound = BOUNDS[dtype]
    precision = f"in {str(dtype).removeprefix('torch.')}"
    error = (ours[0] - theirs[0]).abs().item()
    require_same(name, f"{precision} the losses", error, loss_bound)
    first, second = gradients(*ours), gradients(*theirs)
    error = ((first - second).norm() / second.norm()).item()
    require_same(name, f"{precision} the gradients, relative to their norm,", error, gradient_bound)


def furthest(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> float:
    """Return the largest difference of two values; NaN where one is."""
    pairs = zip(ours, theirs, strict=True)
    return torch.stack([(a - b).abs().max().double() for a, b in pairs]).max().item()


def training_step(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    bf16: bool = False,
    fused: bool = False,
    graphs: bool = False,
) -> Callable[[], Tensor]:
    """Return a step of SGD on this batch, which returns the loss; a CUDA graph with ``graphs``."""
    optimizer = torch.optim.SGD(
        net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4, fused=fused or None
    )
    batch = Batch((x,), y, torch.arange(len(y), device=y.device))

    def update(batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(net(batch.x), batch.y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    if graphs:
        method: Any = SimpleNamespace(update=update)
        return partial(GraphedSteps(method, optimizer, []), batch)
    return partial(update, batch, optimizer)


def our_step(
    case: Case, device: str, bf16: bool = False, graphs: bool = False
) -> Callable[[], Tensor]:
    """Return a step as this package takes it, on a new network."""
    x, y = case.samples(case.batch, device)
    net = case.network(device).to(memory_format=torch.channels_last)
    x = channels_last(x)
    return training_step(net, x, y, fused=device == "cuda", bf16=bf16, graphs=graphs)


def check_step(case: Case, device: str, *, bf16: bool) -> None:
    """Raise Different unless a step agrees with the usual layout in every precision."""
    x, y = case.samples(case.batch, device)

    def loss_of(
        number: int, dtype: torch.dtype, *, last: bool, autocast: bool = False
    ) -> tuple[Tensor, nn.Module]:
        net, images = case.network(device).to(dtype), x[:number].to(dtype)
        if last:
            net, images = net.to(memory_format=torch.channels_last), channels_last(images)
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            return F.cross_entropy(net(images), y[:number]), net

    name = f"step, {case.name}"
    ours, theirs = (loss_of(CHECKED, torch.float64, last=last) for last in (True, False))
    require_same_step(name, ours, theirs, torch.float64)
    with full_float32():
        for dtype in (torch.float32, torch.bfloat16)[: 1 + bf16]:
            half = dtype == torch.bfloat16
            ours = loss_of(case.batch, torch.float32, last=True, autocast=half)
            theirs = loss_of(case.batch, torch.float32, last=False)
            require_same_step(name, ours, theirs, dtype)


def check_graph(case: Case) -> None:
    """Raise Different unless graphed and single steps leave the same network, in float64."""
    x, y = (part[:CHECKED] for part in case.samples(case.batch, "cuda"))
    nets = [case.network("cuda").double().to(memory_format=torch.channels_last) for _ in range(2)]
    for net, graphs in zip(nets, (False, True), strict=True):
        images = channels_last(x.double())
        repeated(training_step(net, images, y, fused=True, graphs=graphs), 4)()
    error = furthest(*(net.state_dict().values() for net in nets))
    require_same(f"step, {case.name}, graphed", "the networks", error, TOLERANCE)


def step(settings: Settings) -> Iterator[Row]:
    """Compare training steps on one batch. Authors' codes read the loss after each."""
    device = settings.device
    for case in CASES[device]:
        check_step(case, device, bf16=computes_bfloat16(device))
        usual = training_step(case.network(device), *case.samples(case.batch, device))
        theirs = tuned(lambda usual=usual: usual().item())  # type: ignore[misc]
        amount = operations(theirs) * case.steps  # cuDNN keeps the kernels of this call
        ours = our_step(case, device)
        variants: dict[str, tuple[Run, Run]] = {"step": (ours, theirs)}
        if device == "cuda":
            check_graph(case)
            half, graph = (our_step(case, device, True, graphs) for graphs in (False, True))
            variants = {
                "step, channels-last": (ours, theirs),
                "step, channels-last, bf16": (half, theirs),
                "step, channels-last, bf16, graphed": (graph, theirs),
            }
        elif computes_bfloat16(device):
            variants["step, bf16"] = our_step(case, device, bf16=True), ours
        for name, (run, other) in variants.items():
            work = Work("matmul", amount, torch.bfloat16 if "bf16" in name else torch.float32)
            sides = repeated(run, case.steps), repeated(other, case.steps)
            images = case.batch * case.steps
            yield compare("step", name, *sides, settings, images, work, case.name)


def evaluation(settings: Settings) -> Iterator[Row]:
    """Compare predictions: large batches in inference mode against batches of training size."""
    for case in cases(settings.device):
        number = settings.images or 2 * EVALUATION_BATCH
        x, _ = case.samples(number, settings.device)
        usual = case.network(settings.device).eval()
        net = copy.deepcopy(usual).to(memory_format=torch.channels_last)
        batches = [channels_last(part) for part in x.split(evaluation_batch(case.side, x.device))]

        @torch.inference_mode()
        def ours(net: nn.Module = net, batches: list[Tensor] = batches) -> Tensor:
            return torch.cat([net(part).softmax(1) for part in batches])

        @torch.no_grad()
        def theirs(net: nn.Module = usual, x: Tensor = x) -> Tensor:
            return torch.cat([net(part).softmax(1) for part in x.split(128)])

        with full_float32():
            error = furthest([ours()], [theirs()])
            require_same(f"eval, {case.name}", "the probabilities", error, TOLERANCE)
        work = Work("matmul", operations(tuned(theirs)))
        yield compare("eval", "pass", ours, tuned(theirs), settings, number, work, case.name)
