"""A training step and a pass of predictions, from batches that are there: channels-last against the
usual layout.

On a GPU also in bfloat16 and as a CUDA graph, each against the same float32 step. On a CPU that has
units for it, our step in bfloat16 against our own in float32.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.networks.backbones import Network, build_network
from bench.networks.cpu import bfloat16_units
from bench.speed.measure import Different, Row, Run, Settings, Work, compare, repeated, tuned
from bench.task import EVALUATION_BATCH, evaluation_batch

CLASSES = 10

#: Differences of losses, gradients and probabilities that rounding explains.
TOLERANCE = 1e-4

#: The same of bfloat16's losses.
COARSE = 0.05

#: Of all gradients together in float32, in proportion to their length: 0.9 % were seen, in
#: ResNet-34. In bfloat16 that differ by 58 % there, so that they are only held to be nearer to
#: float32's than none would be.
TURNED, TURNED_COARSE = 0.05, 1.0

#: Images that are compared in float64, which takes more memory than what is timed.
CHECKED = 16


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
    found = torch.autograd.grad(
        loss, list(net.parameters()), allow_unused=True, materialize_grads=True
    )
    return [gradient.detach() for gradient in found]


Gradients = tuple[Tensor, list[Tensor]]  # a loss, and of every parameter


def assert_same(name: str, ours: Gradients, theirs: Gradients) -> None:
    """Raise Different unless losses and gradients agree.

    To be had from networks in float64: in float32, an activation that rounding puts on the other
    side of 0 or in second place in a pool sends its gradient elsewhere, by a thousandth of the
    whole and with either layout alike.
    """
    if not (error := (ours[0] - theirs[0]).abs().item()) <= TOLERANCE:  # nor may it be NaN
        raise Different(name, f"the losses differ by {error:g}")
    if not (error := furthest(ours[1], theirs[1])) <= TOLERANCE:
        raise Different(name, f"the gradients differ by {error:g}")


def furthest(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> float:
    """The largest difference of two values; NaN where one is."""
    return (
        torch.stack([(a - b).abs().max().double() for a, b in zip(ours, theirs, strict=True)])
        .max()
        .item()
    )


def assert_close(
    name: str, ours: Gradients, theirs: Gradients, loss: float = TOLERANCE, gradient: float = TURNED
) -> None:
    """Raise Different unless losses and gradients in the precision that is timed agree: its kernels
    are not float64's.

    Losses may differ by ``loss``, all gradients together by less than a share ``gradient`` of their
    length.
    """
    if not (error := (ours[0] - theirs[0]).abs().item()) <= loss:
        raise Different(name, f"the losses differ by {error:g} in the precision that is timed")
    ours_all, theirs_all = (
        torch.cat([part.flatten().float() for part in side[1]]) for side in (ours, theirs)
    )
    if not (error := ((ours_all - theirs_all).norm() / theirs_all.norm()).item()) < gradient:
        raise Different(name, f"the gradients differ by {error:.1%} in the precision that is timed")


@contextmanager
def full_float32() -> Iterator[None]:
    """Without TF32, in which a GPU's convolutions round to ten bits of mantissa, in either layout
    to other ones.
    """
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def operations(run: Run) -> float:
    """Floating-point operations of matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def training_step(
    net: nn.Module, x: Tensor, y: Tensor, *, bf16: bool = False, fused: bool = False
) -> Callable[[], Tensor]:
    """A step of SGD on one batch, over and over; returns the loss."""
    optimizer = torch.optim.SGD(
        net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4, fused=fused or None
    )

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

    # the graph works in the step's memory, and does not hold it
    def replay(kept: Run = step) -> None:
        graph.replay()

    return replay


def check_step(case: Case, device: str, *, bf16: bool) -> None:
    """Raise Different unless a step's loss and gradients are those of the usual layout: in float64,
    float32 and bfloat16.
    """
    x, y = case.samples(case.batch, device)

    def computed(
        number: int, dtype: torch.dtype, *, last: bool = True, bf16: bool = False
    ) -> Gradients:
        net, images = case.network(device).to(dtype), x[:number].to(dtype)
        if last:
            net, images = net.to(memory_format=torch.channels_last), channels_last(images)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(net(images), y[:number])
        return loss.detach(), gradients(loss, net)

    name = f"step, {case.name}"
    assert_same(
        name, computed(CHECKED, torch.float64), computed(CHECKED, torch.float64, last=False)
    )
    with full_float32():
        theirs = computed(case.batch, torch.float32, last=False)
        assert_close(name, computed(case.batch, torch.float32), theirs)
    if bf16:
        assert_close(
            f"{name}, bf16",
            computed(case.batch, torch.float32, bf16=True),
            theirs,
            COARSE,
            TURNED_COARSE,
        )


def check_graph(case: Case) -> None:
    """Raise Different unless as many steps by a graph and one by one leave the same network, in
    float64.
    """
    x, y = (part[:CHECKED] for part in case.samples(case.batch, "cuda"))
    nets = [case.network("cuda").double().to(memory_format=torch.channels_last) for _ in range(2)]
    eager, static = (training_step(net, channels_last(x.double()), y, fused=True) for net in nets)
    replay = graphed(static)
    for _ in range(WARM_UPS):
        eager()
    for _ in range(2):
        eager()
        replay()
    if not (error := furthest(*(net.state_dict().values() for net in nets))) <= TOLERANCE:
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
        check_step(case, settings.device, bf16=settings.device == "cuda" or in_bfloat16(settings))
        if settings.device == "cuda":
            check_graph(case)
        reference = training_step(case.network(settings.device), x, y)
        work = operations(tuned(reference)) * case.steps  # cuDNN keeps what it chose at first
        for name, run in variants(case, settings.device).items():
            rows.append(
                compare(
                    "step",
                    name,
                    repeated(run, case.steps),
                    tuned(repeated(lambda step=reference: step().item(), case.steps)),  # type: ignore[misc]
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


def cases(device: str) -> tuple[Case, ...]:
    """The networks; those that on a GPU differ in their batch alone are one."""
    found = CASES[device]
    return (
        found
        if device == "cpu"
        else tuple({case.backbone: replace(case, name=case.backbone) for case in found}.values())
    )


def evaluation(settings: Settings) -> list[Row]:
    """Predictions for many images: large batches in inference mode against batches of training
    size.
    """
    rows = []
    for case in cases(settings.device):
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

        with full_float32():
            if not (error := (ours() - theirs()).abs().max().item()) <= TOLERANCE:
                raise Different(f"eval, {case.name}", f"the probabilities differ by {error:g}")
        work = Work("matmul", operations(tuned(theirs)))
        rows.append(compare("eval", "pass", ours, tuned(theirs), settings, number, case.name, work))
    return rows
