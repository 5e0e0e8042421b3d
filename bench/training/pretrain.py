"""SimSiam pretraining (Chen & He, 2021, arXiv 2011.10566) of encoders that trials share.

An encoder sees all images of training and validation and no label. It depends on images, backbone,
augmentation and seed, but not on noise, split or method: trials that differ only in those share it.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.datasets import Dataset
from bench.networks.backbones import Network
from bench.networks.pretrained import Pretrained
from bench.noise import NoiseSpec, replaced_images
from bench.planning.pretraining import PretrainJob
from bench.task import PRETRAINING, Pixels, Task, stream_seed
from bench.training.encoders import Encoder
from bench.training.isolation import as_new, use_threads
from bench.training.pixels import Inputs, pixels_for, replaced
from bench.training.seeds import hidden_seed

#: Collapse threshold of the projections' spread: healthy ones reach about 0.97.
COLLAPSED = 0.2

#: Training images whose neighbours are looked up.
PROBES = 2000

#: Receiver of an epoch and its mean loss.
Beat = Callable[[int, float], None]


def no_beat(epoch: int, loss: float) -> None:
    """Ignore a finished epoch."""


class CollapseError(RuntimeError):
    """A collapse of the representation to a point, from which nothing can be learnt."""


class _Learner(nn.Module):
    """Encoder, projector and predictor.

    The projector is 2048 wide for ResNets, and as wide as the features of smaller networks.
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
        """Return the loss, a scalar, and the projections (B, D) of the first view.

        The loss is the symmetrised negative cosine similarity with stop-gradient.
        """
        z1, z2 = (self.projector(self.network.forward_features(view)) for view in (first, second))
        similarity = (
            F.cosine_similarity(self.predictor(z1), z2.detach()).mean()
            + F.cosine_similarity(self.predictor(z2), z1.detach()).mean()
        )
        return -similarity / 2, z1.detach()


def spread(projections: Tensor) -> float:
    """Return the deviation of normalised projections (B, D) times the root of D.

    It is about 1 when they are healthy, and 0 when they have collapsed.
    """
    deviation = F.normalize(projections.float(), dim=1).std(0).mean()
    return float(deviation * projections.shape[1] ** 0.5)


def run_pretraining(
    job: PretrainJob, dataset: Dataset, beat: Beat = no_beat, start: Pretrained | None = None
) -> Encoder:
    """Train an encoder as a trial is trained: with settings and threads of its own."""
    with as_new(job.device), use_threads(job.threads):
        return train_encoder(job, dataset, beat, start)


def train_encoder(
    job: PretrainJob, dataset: Dataset, beat: Beat = no_beat, start: Pretrained | None = None
) -> Encoder:
    """Train an encoder on the images of a data set, with the donors of open-set noise.

    It starts from the pretrained weights of ``start``, if they are given.
    """
    replacements = replaced_images(dataset, NoiseSpec(*job.openset)) if job.openset else None
    pixels = pixels_for(dataset, job, replaced(Inputs.of(dataset, job), replacements))
    assert isinstance(pixels, Pixels)  # no method asks for an encoder of vectors
    return pretrain(job, pixels, beat, hidden_seed("pretraining", job.seed, dataset), start)


def pretrain(
    job: PretrainJob,
    pixels: Pixels,
    beat: Beat = no_beat,
    seed: int | None = None,
    start: Pretrained | None = None,
) -> Encoder:
    """Train an encoder on all of ``pixels``. A pure function of its arguments.

    Args:
        beat: called after each epoch.
        seed: of everything random; the job's own by default.
        start: pretrained weights to start from.

    Raises:
        CollapseError: when the projections have collapsed.
    """
    began = time.perf_counter()
    seed = job.seed if seed is None else seed
    task = _task(job, pixels, start)
    torch.manual_seed(stream_seed(seed, PRETRAINING))
    learner = task.place(_Learner(task.build_network(), job.settings.projector_layers))
    # A stream that the noise does not use.
    rng = np.random.default_rng(stream_seed(PRETRAINING, len(pixels)))
    probes = np.sort(rng.permutation(len(pixels))[:PROBES])
    before = _neighbours(learner.network, task, probes)
    optimizer = torch.optim.SGD(
        learner.parameters(),
        job.settings.learning_rate * task.batch_size / 256,
        momentum=job.settings.momentum,
        weight_decay=job.settings.weight_decay,
        fused=pixels.device.type == "cuda" or None,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, job.settings.epochs)
    width, loss = 0.0, float("nan")
    for epoch in range(job.settings.epochs):
        task.seed(seed, epoch, PRETRAINING)
        width, loss = _train_epoch(learner, task, optimizer)
        schedule.step()
        if not width > COLLAPSED or not np.isfinite(loss):
            raise CollapseError(
                f"SimSiam collapsed in epoch {epoch}: spread of the projections {width:.2f}, loss "
                f"{loss:.3f}"
            )
        beat(epoch, loss)
    after = _neighbours(learner.network, task, probes)
    weights = {
        name: value.detach().cpu().contiguous().numpy()
        for name, value in learner.network.body.state_dict().items()
    }
    return Encoder(weights, probes, before, after, width, time.perf_counter() - began, loss)


def _task(job: PretrainJob, pixels: Pixels, start: Pretrained | None) -> Task:
    return Task(
        pixels,
        torch.zeros(len(pixels), dtype=torch.int64, device=pixels.device),
        num_classes=2,
        epochs=job.settings.epochs,
        batch_size=min(job.settings.batch_size, len(pixels)),
        backbone=job.backbone,
        start=start,
        augmentation=job.augmentation,
        device=pixels.device,
        precision=job.precision,
    )


def _train_epoch(
    learner: _Learner, task: Task, optimizer: torch.optim.Optimizer
) -> tuple[float, float]:
    """Return the spread of the last projections and the mean loss."""
    losses = []
    for batch in task.loader(augmentations=(task.strong_augment,) * 2):
        optimizer.zero_grad(set_to_none=True)
        with task.autocast():
            loss, projections = learner.loss(*batch.views)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return spread(projections), torch.stack(losses).mean().item()


@torch.no_grad()
def _neighbours(net: Network, task: Task, probes: np.ndarray, k: int = 10) -> np.ndarray:
    """Return the k nearest other images of each probe by cosine of the features, (Q, k)."""
    was_training = net.training
    net.eval()
    features = []
    for batch in task.loader(train=False):
        with task.autocast():
            features.append(F.normalize(net.forward_features(batch.x).float(), dim=1))
    net.train(was_training)
    bank = torch.cat(features)
    rows = torch.from_numpy(probes).to(bank.device)
    neighbours = ops.nearest_neighbours(bank[rows], min(k + 1, len(bank)), bank)
    # An image is its own nearest neighbour, unless it has a twin: drop it wherever it is.
    order = (neighbours == rows[:, None]).to(torch.int8).sort(dim=1, stable=True).indices
    return neighbours.gather(1, order)[:, :-1].cpu().numpy()
