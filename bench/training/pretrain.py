"""Self-supervised encoders: SimSiam (Chen & He, 2021, arXiv 2011.10566), trained once and shared
between trials.

An encoder sees every image that is not for testing, training and validation alike, and no label. It
therefore depends on images, backbone, augmentation and seed alone, not on noise, split or method:
trials that differ only in those share one.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.common.identity import noise_identity
from bench.networks.backbones import Network
from bench.planning.code_hash import harness_hash
from bench.planning.spec import SCHEMA, TrialSpec
from bench.recipe import SimSiam
from bench.task import PRETRAINING, Pixels, Task, stream_seed

#: Projections whose spread is below this share of a uniform distribution's are collapsed (healthy
#: ones reach about 0.97).
COLLAPSED = 0.2


@dataclass(frozen=True)
class PretrainJob:
    """An encoder to be trained; ``key`` names it in the cache."""

    settings: SimSiam
    data_hash: str
    backbone: str
    augmentation: str
    seed: int
    device: str
    precision: str
    threads: int
    # kind, rate, seed and sampling of noise that changes images
    openset: tuple[str, float | None, int, str] | None = None

    @property
    def key(self) -> str:
        """Content hash."""
        return hashlib.sha256(
            json.dumps([SCHEMA, asdict(self)], sort_keys=True).encode()
        ).hexdigest()[:12]

    @property
    def label(self) -> str:
        """One line for people."""
        return f"SimSiam, {self.settings.epochs} epochs · seed {self.seed}"


@dataclass
class Encoder:
    """A pretrained encoder and what is known about it; plain arrays, so that it travels and is
    stored without pickle.
    """

    weights: dict[str, np.ndarray]
    probes: np.ndarray  # (Q,) int64: training images whose neighbours were looked up
    neighbours_before: np.ndarray  # (Q, K) int64: by the features of the random start
    neighbours_after: np.ndarray  # (Q, K) int64: by the trained features
    spread: float  # of the projections: 1 is healthy, 0 collapsed
    train_seconds: float
    loss: float

    def knn_accuracy(self, labels: np.ndarray, num_classes: int) -> tuple[float, float]:
        """Accuracy of a vote among each probe's neighbours, before and after pretraining, for any
        labels (N,).
        """
        before, after = (
            np.stack(
                [np.bincount(labels[row], minlength=num_classes).argmax() for row in neighbours]
            )
            for neighbours in (self.neighbours_before, self.neighbours_after)
        )
        truth = labels[self.probes]
        return float((before == truth).mean()), float((after == truth).mean())

    def frozen(self, task: Task) -> "FrozenEncoder":
        """The encoder as a function, where and how the task computes."""
        net = task.build_network()
        net.body.load_state_dict(
            {name: torch.from_numpy(array.copy()) for name, array in self.weights.items()}
        )
        return FrozenEncoder(net.eval().requires_grad_(False), task)


class FrozenEncoder:
    """Features (B, D) of normalised images, without gradients; not a module, so that no method's
    state holds it.
    """

    def __init__(self, network: Network, task: Task) -> None:
        self.network = network  # its passes are counted
        self.task = task

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        with self.task.autocast():
            return self.network.forward_features(x).float()


class CollapseError(RuntimeError):
    """The representation collapsed to a point: nothing can be learnt from it."""


def job_for(spec: TrialSpec, settings: SimSiam) -> PretrainJob:
    """The encoder that a trial needs."""
    return PretrainJob(
        settings=settings,
        data_hash=spec.data_hash,
        backbone=spec.recipe.backbone,
        augmentation=spec.recipe.augmentation,
        seed=spec.train_seed,
        device=spec.device,
        precision=spec.precision,
        threads=spec.threads,
        openset=(
            (
                noise_identity(spec.noise_kind, None),
                spec.noise_rate,
                spec.noise_seed,
                spec.noise_sampling,
            )
            if spec.noise_spec.replaces_images
            else None
        ),
    )


class _Learner(nn.Module):
    """Encoder, projector and predictor. The projector is 2048 wide for ResNets and as wide as small
    networks' features.
    """

    def __init__(self, network: Network, layers: int) -> None:
        super().__init__()
        self.network = network
        features = network.num_features
        width = 2048 if features >= 512 else features
        projector: list[nn.Module] = []
        for layer in range(layers):
            last = layer == layers - 1
            projector += [
                nn.Linear(width if layer else features, width, bias=False),
                nn.BatchNorm1d(width, affine=not last),
                *([] if last else [nn.ReLU(inplace=True)]),
            ]
        self.projector = nn.Sequential(*projector)
        self.predictor = nn.Sequential(
            nn.Linear(width, width // 4, bias=False),
            nn.BatchNorm1d(width // 4),
            nn.ReLU(inplace=True),
            nn.Linear(width // 4, width),
        )

    def loss(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Symmetrised negative cosine similarity with stop-gradient, and the projections of the
        first view.
        """
        z1, z2 = (self.projector(self.network.forward_features(view)) for view in (first, second))
        similarity = (
            F.cosine_similarity(self.predictor(z1), z2.detach()).mean()
            + F.cosine_similarity(self.predictor(z2), z1.detach()).mean()
        )
        return -similarity / 2, z1.detach()


def spread(projections: Tensor) -> float:
    """Standard deviation of the normalised projections (B, D) times the root of D: about 1 when
    healthy, 0 collapsed.
    """
    return float(
        F.normalize(projections.float(), dim=1).std(0).mean() * projections.shape[1] ** 0.5
    )


def pretrain(
    job: PretrainJob,
    pixels: Pixels,
    beat: Callable[[int, float], None] = lambda epoch, loss: None,
    seed: int | None = None,
) -> Encoder:
    """Train an encoder on all of ``pixels``. A pure function of its arguments.

    Args:
        beat: called as ``beat(epoch, loss)`` after each epoch.
        seed: of everything random; the job's own without it.

    Raises:
        CollapseError: when the projections have collapsed.
    """
    start = time.perf_counter()
    device = pixels.device
    seed = job.seed if seed is None else seed
    task = Task(
        pixels,
        torch.zeros(len(pixels), dtype=torch.int64, device=device),
        num_classes=2,
        epochs=job.settings.epochs,
        batch_size=min(job.settings.batch_size, len(pixels)),
        backbone=job.backbone,
        augmentation=job.augmentation,
        device=device,
        precision=job.precision,
    )
    torch.manual_seed(stream_seed(seed, PRETRAINING))
    learner = task.place(_Learner(task.build_network(), job.settings.projector_layers))
    # a stream that the noise does not use
    rng = np.random.default_rng(stream_seed(PRETRAINING, len(pixels)))
    probes = np.sort(rng.permutation(len(pixels))[:2000])
    before = _neighbours(learner.network, task, probes)
    base_rate = job.settings.learning_rate * task.batch_size / 256
    optimizer = torch.optim.SGD(
        learner.parameters(),
        base_rate,
        momentum=job.settings.momentum,
        weight_decay=job.settings.weight_decay,
        fused=device.type == "cuda" or None,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.settings.epochs)
    views = (task.strong_augment,) * 2
    width, mean_loss = 0.0, float("nan")
    for epoch in range(job.settings.epochs):
        task.seed(seed, epoch, PRETRAINING)
        losses = []
        for batch in task.loader(augmentations=views):
            optimizer.zero_grad(set_to_none=True)
            with task.autocast():
                loss, projections = learner.loss(*batch.views)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        schedule.step()
        width, mean_loss = spread(projections), torch.stack(losses).mean().item()
        if not width > COLLAPSED or not np.isfinite(mean_loss):
            raise CollapseError(
                f"SimSiam collapsed in epoch {epoch}: spread of the projections {width:.2f}, loss "
                f"{mean_loss:.3f}"
            )
        beat(epoch, mean_loss)
    after = _neighbours(learner.network, task, probes)
    weights = {
        name: value.detach().cpu().contiguous().numpy()
        for name, value in learner.network.body.state_dict().items()
    }
    return Encoder(weights, probes, before, after, width, time.perf_counter() - start, mean_loss)


@torch.no_grad()
def _neighbours(net: Network, task: Task, probes: np.ndarray, k: int = 10) -> np.ndarray:
    """The k nearest other images of each probe, by cosine of the features: (Q, k)."""
    was_training = net.training
    net.eval()
    features = []
    for batch in task.loader(train=False):
        with task.autocast():
            features.append(F.normalize(net.forward_features(batch.x).float(), dim=1))
    net.train(was_training)
    bank = torch.cat(features)
    rows = torch.from_numpy(probes).to(bank.device)
    found = ops.nearest_neighbours(bank[rows], min(k + 1, len(bank)), bank)
    # An image is its own nearest neighbour, unless it has a twin: drop it wherever it stands.
    order = (found == rows[:, None]).to(torch.int8).sort(dim=1, stable=True).indices
    return found.gather(1, order)[:, :-1].cpu().numpy()


def save_encoder(encoder: Encoder) -> bytes:
    """The encoder as one safetensors blob."""
    from safetensors.numpy import save

    arrays = {f"weights.{name}": array for name, array in encoder.weights.items()}
    arrays |= {
        name: getattr(encoder, name) for name in ("probes", "neighbours_before", "neighbours_after")
    }
    facts = {name: repr(getattr(encoder, name)) for name in ("spread", "train_seconds", "loss")}
    facts["code"] = harness_hash()
    return save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=facts
    )


def load_encoder(blob: bytes) -> Encoder:
    """The encoder that ``save_encoder`` wrote."""
    from safetensors.numpy import load

    arrays, facts = load(blob), _facts(blob)
    weights = {
        name.removeprefix("weights."): array
        for name, array in arrays.items()
        if name.startswith("weights.")
    }
    return Encoder(
        weights,
        arrays["probes"],
        arrays["neighbours_before"],
        arrays["neighbours_after"],
        float(facts["spread"]),
        float(facts["train_seconds"]),
        float(facts["loss"]),
    )


def by_this_code(blob: bytes) -> bool:
    """Return whether today's code has trained the encoder that ``save_encoder`` wrote."""
    return _facts(blob).get("code") == harness_hash()


def _facts(blob: bytes) -> dict[str, str]:
    length = int.from_bytes(blob[:8], "little")
    return json.loads(blob[8 : 8 + length])["__metadata__"]
