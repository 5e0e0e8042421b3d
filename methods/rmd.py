"""Relation modelling and distillation (Che et al., 2024, arXiv 2405.19606): distils relations
between samples, taken from an encoder trained without labels, into the networks of any method.

[source] A SimSiam encoder, a graph of relations, an edge-matching and a node-matching loss added to
the host's loss, a hyper-parameter K, plug-and-play. No code or tables are public. [inferred] All
formulas. They are Pearson correlations and the Frobenius losses of embedding graph alignment (EGA:
Ma et al., BMVC 2022, arXiv 2211.13264; ``relation="ega"``), divided by the batch size, with which
EGA's grow. By default (``"kl"``) each row of relations is a distribution at ``temperature``.
``"rkd"`` is relational knowledge distillation's distance (Park et al., 2019), which has no node
term. Batches for the relations are drawn apart from the host's.

K can be read in two ways, and each is an axis of a sweep: sweep one of them at a time. ``weight``
(0.1 to 300) multiplies the regulariser. The only text on K that is known says that it controls the
regulariser beside cross-entropy [second-hand]: by its grammar, a weight. ``k`` (4, 8, 16, 32, or 0
for all) keeps each row's k strongest relations of the teacher within the batch, as K does in graphs
of nearest neighbours [inferred].

EGA's released default (GitHub yccm/EGA, commit 0963f8e) is 0.8 * L_node + 0.24 * L_edge in batches
of 64, neither divided: a ``weight`` of 0.8 * 64 = 51.2 and an ``edge_weight`` of 0.24 / 0.8 = 0.3
here. [inferred] The weight of 30 had the best noisy validation accuracy on digits, over noise rates
0.2, 0.5 and 0.8, of 1, 10, 30, 100 and 300, with "kl" and with "ega".

[inferred] On vectors, such as features of a frozen network, the vectors of a batch are the
teacher's features, and no encoder is trained. Where a trial fine-tunes a pretrained network,
``teacher="pretrained"`` takes that network, frozen, instead of SimSiam's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ops
from bench.errors import InputError
from bench.method import SimSiam, Wrapper, added, check_at_least, check_positive
from bench.task import Batch, Task


class RMD(Wrapper):
    """L = L_host + weight * (node_weight * L_node + edge_weight * L_edge)."""

    # A second batch, once for each network that the step trains, and once for the teacher.
    passes = (1, 1)
    axes = {"k": "k", "temperature": "temperature", "weight": "weight"}
    linear_head = "a linear head has no features to teach"

    @dataclass(frozen=True)
    class HParams:
        """[inferred], except edge_weight, which is EGA's."""

        relation: Literal["kl", "ega", "rkd"] = "kl"
        temperature: float = 0.5  # of "kl" alone
        k: int = 0  # relations in each row of the graph; 0 is all; 1 leaves "kl" nothing to compare
        weight: float = 30.0  # by noisy validation accuracy on digits; EGA's is 51.2
        node_weight: float = 1.0  # "rkd" has no nodes
        edge_weight: float = 0.3  # EGA's
        pretrain_epochs: int = 800  # SimSiam's on CIFAR, for a run of 300; 0 is a random encoder
        # On images: an encoder trained on them, or the pretrained network that the trial starts
        # from. On vectors these are the teacher's features themselves, whatever is given here.
        teacher: Literal["simsiam", "pretrained"] = added("simsiam", neutral="simsiam")

        def __post_init__(self) -> None:
            check_positive(self, "temperature")
            check_at_least(self, 0, "k", "weight", "node_weight", "edge_weight", "pretrain_epochs")
            if self.relation != "kl" and self.temperature != RMD.HParams.temperature:
                raise InputError(
                    f"rmd.temperature does nothing with rmd.relation={self.relation}: leave it "
                    "out, or use kl"
                )
            if self.teacher == "pretrained" and self.pretrain_epochs != RMD.HParams.pretrain_epochs:
                raise InputError(
                    "rmd.pretrain_epochs does nothing with rmd.teacher=pretrained: leave it out"
                )

    encode: Callable[[Tensor], Tensor]  # the teacher

    def pretraining(self) -> SimSiam | None:
        if self.recipe.on_vectors or self.hp.teacher == "pretrained":
            return None
        epochs = self.hp.pretrain_epochs
        return SimSiam(epochs=self.interval(epochs) if epochs else 0)

    @property
    def needs_pretrained(self) -> bool:
        return self.hp.teacher == "pretrained" and not self.recipe.on_vectors

    def setup(self, task: Task) -> None:
        if task.on_vectors:
            self.encode = unchanged
        else:
            simsiam = self.hp.teacher == "simsiam"
            self.encode = task.encoder() if simsiam else task.pretrained_encoder()
        with torch.no_grad():
            teacher_width = self.encode(next(task.loader(train=False)).x[:2]).shape[1]
        self.projections = nn.ModuleList(
            task.place(nn.Linear(net.num_features, teacher_width)) for net in self.base.networks
        )

    def param_groups(self) -> list[dict[str, Any]]:
        return [*self.base.param_groups(), {"params": list(self.projections.parameters())}]

    def batches(self) -> Iterator[tuple[Any, Batch]]:
        return zip(self.base.batches(), ops.forever(self.task.loader), strict=False)

    def students(self, batch: tuple[Any, Batch]) -> Any:
        return self.base.students(batch[0])

    def loss(self, batch: tuple[Any, Batch]) -> Tensor:
        host_batch, second = batch
        loss = self.base.loss(host_batch)
        teacher = self.encode(second.x)
        students = {id(net) for net in self.base.students(host_batch)}
        for net, projection in zip(self.base.networks, self.projections, strict=True):
            if id(net) in students:
                student = projection(net.forward_features(second.x)).float()
                # In bfloat16 the relations would blur.
                with torch.autocast(student.device.type, enabled=False):
                    loss = loss + self.hp.weight * self.relation_loss(teacher, student)
        return loss

    def relation_loss(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Return node_weight * L_node + edge_weight * L_edge of features (B, D)."""
        relations = correlation(teacher, teacher)
        mask = strongest(relations, self.hp.k)
        if self.hp.relation == "rkd":
            return self.hp.edge_weight * distance_loss(teacher, student, mask)
        edge = correlation(student, student)
        if self.hp.relation == "ega":
            edge_loss = ((relations - edge) * mask).norm() / len(edge)
        else:
            edge_loss = row_divergence(relations, edge, mask, self.hp.temperature)
        node = correlation(teacher, student) - torch.eye(len(edge), device=edge.device)
        return self.hp.node_weight * node.norm() / len(edge) + self.hp.edge_weight * edge_loss


def unchanged(x: Tensor) -> Tensor:
    """Return vectors (B, D) as they are: they are the teacher's features themselves."""
    return x


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson correlation (B, B) of every row of x (B, D) with every row of y (B, D)."""
    x, y = (F.normalize(v - v.mean(1, keepdim=True), dim=1) for v in (x, y))
    return x @ y.T


def strongest(relations: Tensor, k: int) -> Tensor:
    """Mask (B, B) of each row's k largest entries off the diagonal; all of them if k is 0."""
    off_diagonal = ~torch.eye(len(relations), dtype=torch.bool, device=relations.device)
    if k == 0 or k >= len(relations) - 1:
        return off_diagonal
    nearest = relations.masked_fill(~off_diagonal, -torch.inf).topk(k, dim=1).indices
    return torch.zeros_like(off_diagonal).scatter_(1, nearest, True)


def row_divergence(teacher: Tensor, student: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Mean KL(teacher || student) over rows of relations (B, B), distributions over the mask."""
    teacher, student = (
        (r / temperature).masked_fill(~mask, -torch.inf).log_softmax(1) for r in (teacher, student)
    )
    gap = torch.where(mask, teacher - student, 0)  # elsewhere it is -inf minus -inf
    return (teacher.exp() * gap).sum(1).mean()


def distance_loss(teacher: Tensor, student: Tensor, mask: Tensor) -> Tensor:
    """Smooth L1 between pairwise distances over a mask (B, B), each divided by their mean."""
    scaled = []
    # The diagonal holds rounding errors alone.
    others = ~torch.eye(len(teacher), dtype=torch.bool, device=teacher.device)
    for features in (teacher, student):
        squares = features.square().sum(1)
        # The clamp keeps the root's gradient finite where two samples coincide.
        distances = (squares[:, None] + squares - 2 * features @ features.T).clamp_min(1e-12).sqrt()
        # The mean is a sum over a mask: to pick entries by one would wait for a GPU.
        positive = others & (distances > 1e-6)
        mean = (distances * positive).sum() / positive.sum().clamp_min(1)
        scaled.append(distances / torch.where(positive.any(), mean, 1))
    losses = F.smooth_l1_loss(scaled[0], scaled[1], reduction="none")
    return (losses * mask).sum() / mask.sum().clamp_min(1)
