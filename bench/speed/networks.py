"""A training step and a pass of predictions, from batches that are there: channels-last against the usual layout.

On a GPU also in bfloat16 and as a CUDA graph, each against the same float32 step. On a CPU that has units for it, our step
in bfloat16 against our own in float32.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.backbones import Network, build_network
from bench.cpu import bfloat16_units
from bench.speed.measure import Different, Row, Run, Settings, Work, compare, repeated
from bench.task import EVALUATION_BATCH, evaluation_batch

CLASSES = 10

#: Differences of losses, gradients and probabilities that rounding explains.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """A network and the images that it takes."""

    name: str
    backbone: str
    side: int
    channels: int
    batch: int = 128
    steps: int = 10  # in a call

    def network(self, device: str) -> Network:
        """The same weights at every call."""
        torch.manual_seed(0)
        return build_network(self.backbone, self.channels, CLASSES).to(device)

    def samples(self, number: int, device: str) -> tuple[Tensor, Tensor]:
        """Images (number, C, H, W) and labels, the same at every call."""
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


def channels_last(tensor: Tensor) -> Tensor:
    """The same values, the channels of a pixel side by side."""
    return tensor.contiguous(memory_format=torch.channels_last)


def gradients(loss: Tensor, net: nn.Module) -> list[Tensor]:
    """Of every parameter, zeros where the loss does not depend on it."""
    found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, materialize_grads=True)
    return [gradient.detach() for gradient in found]


def assert_same(name: str, ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> None:
    """Raise Different unless losses and gradients agree.

    To be had from networks in float64: in float32, an activation that rounding puts on the other side of 0 or in second place
    in a pool sends its gradient elsewhere, by a thousandth of the whole and with either layout alike.
    """
    if (error := (ours[0] - theirs[0]).abs().item()) > TOLERANCE:
        raise Different(name, f"the losses differ by {error:g}")
    error = max((a - b).abs().max().item() for a, b in zip(ours[1], theirs[1], strict=True))
    if error > TOLERANCE:
        raise Different(name, f"the gradients differ by {error:g}")


def operations(run: Run) -> float:
    """Floating-point operations of matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def training_step(net: nn.Module, x: Tensor, y: Tensor, *, bf16: bool = False, fused: bool = False) -> Callable[[], Tensor]:
    """A step of SGD on one batch, over and over; returns the loss."""
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4, fused=fused or None)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


#: Steps before one is captured.
WARM_UPS = 3


def graphed(step: Callable[[], Tensor]) -> Run:
    """The step as a CUDA graph: one launch in place of hundreds."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(kept: Run = step) -> None:  # the graph works in the step's memory, and does not hold it
        graph.replay()

    return replay


def check_graph(case: Case) -> None:
    """Raise Different unless as many steps by a graph and one by one leave the same network, in float64."""
    x, y = case.samples(case.batch, "cuda")
    nets = [case.network("cuda").double().to(memory_format=torch.channels_last) for _ in range(2)]
    eager, static = (training_step(net, channels_last(x.double()), y, fused=True) for net in nets)
    replay = graphed(static)
    for _ in range(WARM_UPS):
        eager()
    for _ in range(2):
        eager()
        replay()
    error = max((a - b).abs().max().item() for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))
    if error > TOLERANCE:
        raise Different(f"step, {case.name}, graphed", f"the networks differ by {error:g}")


def own_step(case: Case, device: str, bf16: bool) -> Callable[[], Tensor]:
    """A step of this package's kind, on a network of its own."""
    x, y = case.samples(case.batch, device)
    net = case.network(device).to(memory_format=torch.channels_last)
    return training_step(net, channels_last(x), y, fused=device == "cuda", bf16=bf16)


def variants(case: Case, device: str) -> dict[str, Run]:
    """Such steps, each with one more of the things that a GPU offers."""
    if device == "cpu":
        return {"step": own_step(case, device, bf16=False)}
    return {
        "step, channels-last": own_step(case, device, bf16=False),
        "step, channels-last, bf16": own_step(case, device, bf16=True),
        "step, channels-last, bf16, graphed": graphed(own_step(case, device, bf16=True)),
    }


def in_bfloat16(settings: Settings) -> bool:
    """Whether ours in bfloat16 is compared with ours in float32: where it can be faster, on a CPU."""
    return settings.device == "cpu" and bfloat16_units()


def step(settings: Settings) -> list[Row]:
    """Training steps on one batch. Authors' codes read the loss after each."""
    rows = []
    for case in CASES[settings.device]:
        x, y = case.samples(case.batch, settings.device)
        exact = case.network(settings.device).double()
        other = copy.deepcopy(exact).to(memory_format=torch.channels_last)
        theirs = F.cross_entropy(exact(x.double()), y)
        ours = F.cross_entropy(other(channels_last(x.double())), y)
        assert_same(f"step, {case.name}", (ours.detach(), gradients(ours, other)), (theirs.detach(), gradients(theirs, exact)))
        if settings.device == "cuda":
            check_graph(case)
        reference = training_step(case.network(settings.device), x, y)
        work = operations(reference) * case.steps
        for name, run in variants(case, settings.device).items():
            rows.append(
                compare(
                    "step",
                    name,
                    repeated(run, case.steps),
                    repeated(lambda step=reference: step().item(), case.steps),  # type: ignore[misc]
                    settings,
                    case.batch * case.steps,
                    case.name,
                    Work("matmul", work, torch.bfloat16 if "bf16" in name else torch.float32),
                )
            )
        if in_bfloat16(settings):
            rows.append(
                compare(
                    "step",
                    "step, bf16",
                    repeated(own_step(case, settings.device, bf16=True), case.steps),
                    repeated(own_step(case, settings.device, bf16=False), case.steps),
                    settings,
                    case.batch * case.steps,
                    case.name,
                    Work("matmul", work, torch.bfloat16),
                )
            )
    return rows


def evaluation(settings: Settings) -> list[Row]:
    """Predictions for many images: large batches in inference mode against batches of training size."""
    rows = []
    for case in CASES[settings.device]:
        number = settings.images or 2 * EVALUATION_BATCH
        x, _ = case.samples(number, settings.device)
        net = case.network(settings.device).eval()
        other = copy.deepcopy(net).to(memory_format=torch.channels_last)
        batches = [channels_last(part) for part in x.split(evaluation_batch(case.side, x.device))]

        @torch.inference_mode()
        def ours(net: nn.Module = other, batches: list[Tensor] = batches) -> Tensor:
            return torch.cat([net(part).softmax(1) for part in batches])

        @torch.no_grad()
        def theirs(net: nn.Module = net, x: Tensor = x) -> Tensor:
            return torch.cat([net(part).softmax(1) for part in x.split(128)])

        # In float64: a GPU rounds convolutions of float32 to ten bits of mantissa, in either layout to other ones.
        exact = ours(copy.deepcopy(other).double(), [part.double() for part in batches])
        if (error := (exact - theirs(copy.deepcopy(net).double(), x.double())).abs().max().item()) > TOLERANCE:
            raise Different(f"eval, {case.name}", f"the probabilities differ by {error:g}")
        work = Work("matmul", operations(theirs))
        rows.append(compare("eval", "pass", ours, theirs, settings, number, case.name, work))
    return rows
