"""Whole epochs of training of three methods, against the same algorithms as their authors' codes run them.

That is: a DataLoader that makes and augments PIL images one at a time, a second one for the part of the samples that is
trained on without labels, losses kept in loops over the samples, neighbours from an index that is built for every batch,
mixing sample by sample, scikit-learn's mixtures, the usual memory layout, and the loss and accuracy of every batch read for
the log. Nobody evaluates in these epochs.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bench import ops
from bench.speed.data import Format, Pictures, loader_of, pipeline
from bench.speed.measure import Different, Row, Settings, Work, compare
from bench.speed.networks import CASES, CLASSES, Case, assert_same, gradients, operations
from bench.speed.pieces import MOVED, gaussian_by_sklearn, mixed_one_by_one, moved, nearest_by_index
from bench.speed.sessions import Session, dataset_for, specification
from bench.task import Batch

EPOCHS = 10
TIMED = 3  # warm-ups are over by then


class Samples(Pictures):
    """Pictures in some views, with label and position; ``chosen`` are the positions that are in."""

    def __init__(self, source: Pictures, views: int = 1, chosen: np.ndarray | None = None) -> None:
        super().__init__(source.images, source.labels, source.transform)
        self.views = views
        self.chosen = np.arange(len(source)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, position: int) -> Any:
        index = int(self.chosen[position])
        return *(Pictures.__getitem__(self, index)[0] for _ in range(self.views)), int(self.labels[index]), index


def exact(batch: Batch) -> Batch:
    """The same images in float64."""
    return replace(batch, views=tuple(view.double() for view in batch.views))


class Reference:
    """An epoch in authors' style, from the weights that the session starts it with."""

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        from torchvision import transforms

        run, recipe = session.run, session.run.spec.recipe
        self.settings, self.batch_size, self.device = settings, recipe.batch_size, settings.device
        assert isinstance(run.dataset.train_images, np.ndarray)
        images = run.dataset.train_images[run.labels.train].transpose(0, 2, 3, 1)
        mean, std = run.dataset.pixel_statistics
        form = Format(case.side, case.channels, recipe.augmentation, tuple(mean), tuple(std))
        plain = Format(case.side, case.channels, "none", tuple(mean), tuple(std))
        labels = run.labels.noisy[run.labels.train]
        self.pictures = Pictures(images, labels, transforms.Compose(pipeline(form)))
        self.loader = self.load(Samples(self.pictures))
        self.evaluation = self.load(Samples(Pictures(images, labels, transforms.Compose(pipeline(plain)))), shuffle=False)
        self.networks = nn.ModuleList(
            copy.deepcopy(net).to(memory_format=torch.contiguous_format) for net in session.method.networks
        )
        self.optimizer = torch.optim.SGD(
            self.networks.parameters(), recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self._weights = copy.deepcopy(self.networks.state_dict())

    def load(self, samples: Samples, shuffle: bool = True) -> DataLoader:
        return loader_of(samples, self.settings, shuffle, self.batch_size)

    def rewind(self) -> None:
        """Back to the start of the epoch."""
        self.networks.load_state_dict(self._weights)
        self.networks.train()

    def divide(self) -> list[np.ndarray]:
        """For each mixture that the epoch begins with: how likely each sample is clean."""
        return []

    def compare_with(self, session: Session) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        """Losses of the session's first batch, ours and theirs, and the networks that they train."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Train."""
        raise NotImplementedError

    def descend(self, loss: Tensor, logits: Tensor, y: Tensor) -> tuple[float, float]:
        """A step, and what is printed of it."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item(), (logits.argmax(1) == y).sum().item()

    def losses(self, net: nn.Module) -> np.ndarray:
        """Of every sample with its label, written down one by one."""
        net.eval()
        found = torch.zeros(len(self.pictures))
        with torch.no_grad():
            for x, y, index in self.evaluation:
                loss = F.cross_entropy(net(x.to(self.device)), y.to(self.device), reduction="none")
                for b in range(len(x)):
                    found[index[b]] = loss[b]
        net.train()
        return found.numpy()


class Plain(Reference):
    """Cross-entropy."""

    def epoch(self) -> None:
        self.rewind()
        for x, y, _ in self.loader:
            x, y = x.to(self.device), y.to(self.device)
            logits = self.networks[0](x)
            self.descend(F.cross_entropy(logits, y), logits, y)

    def compare_with(self, session: Session) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        [mine], [other] = session.method.networks, self.networks
        batch = exact(next(iter(session.method.batches())))
        return session.method.loss(batch), F.cross_entropy(other(batch.x.contiguous()), batch.y), mine, other


class Neighbourly(Reference):
    """Mixing with the nearest neighbour under soft targets, after MixNN's code."""

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        super().__init__(session, case, settings)
        targets = session.method.soft_targets()
        assert targets is not None
        self.targets = targets.clone()

    def divide(self) -> list[np.ndarray]:
        return [gaussian_by_sklearn(self.losses(self.networks[0]))]

    def loss(self, x: Tensor, index: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        net: Any = self.networks[0]
        nearest = nearest_by_index(net.forward_features(x).detach().cpu().numpy(), 1, self.settings.threads)
        mixed, targets = mixed_one_by_one(x, nearest, clean[index], self.targets[index])
        logits = net(mixed)
        return -(targets * logits.log_softmax(1)).sum(1).mean(), logits

    def epoch(self) -> None:
        self.rewind()
        clean = torch.from_numpy(self.divide()[0]).float().to(self.device)
        for x, y, index in self.loader:
            x, y, index = x.to(self.device), y.to(self.device), index.to(self.device)
            loss, logits = self.loss(x, index, clean)
            self.descend(loss, logits, y)

    def compare_with(self, session: Session) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        batch = exact(next(iter(session.method.batches())))
        clean = session.method.clean_probability()
        assert clean is not None
        [mine], [other] = session.method.networks, self.networks
        return session.method.loss(batch), self.loss(batch.x.contiguous(), batch.index, clean)[0], mine, other


class Divided(Reference):
    """Co-divide, co-refine, co-guess and MixMatch, after DivideMix's code."""

    temperature = 0.5
    alpha = 4.0
    weight = 25.0

    def __init__(self, session: Session, case: Case, settings: Settings) -> None:
        super().__init__(session, case, settings)
        self.rng = np.random.default_rng(0)

    def divide(self) -> list[np.ndarray]:
        return [gaussian_by_sklearn(self.losses(net)) for net in self.networks]

    def loss(
        self,
        student: int,
        labelled: tuple[Tensor, Tensor, Tensor, Tensor],  # two views, labels, how likely these are right
        unlabelled: tuple[Tensor, Tensor],
        ramp: float,
        lam: float,
        order: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        net, peer = self.networks[student], self.networks[1 - student]
        x1, x2, y, w = labelled
        u1, u2 = unlabelled
        given = torch.zeros(len(y), CLASSES, device=y.device).scatter_(1, y.view(-1, 1), 1)
        with torch.no_grad():
            guessed = sum(n(u).softmax(1) for n in (net, peer) for u in (u1, u2)) / 4
            guessed = guessed ** (1 / self.temperature)
            guessed = guessed / guessed.sum(1, keepdim=True)
            refined = w.view(-1, 1) * given + (1 - w.view(-1, 1)) * (net(x1).softmax(1) + net(x2).softmax(1)) / 2
            refined = refined ** (1 / self.temperature)
            refined = refined / refined.sum(1, keepdim=True)
        x, targets = torch.cat([x1, x2, u1, u2]), torch.cat([refined, refined, guessed, guessed])
        order = torch.randperm(len(x)) if order is None else order
        mixed, mixed_targets = lam * x + (1 - lam) * x[order], lam * targets + (1 - lam) * targets[order]
        logits = net(mixed)
        boundary = 2 * len(x1)
        known = -(mixed_targets[:boundary] * logits[:boundary].log_softmax(1)).sum(1).mean()
        guess = ((logits[boundary:].softmax(1) - mixed_targets[boundary:]) ** 2).mean()
        prior, mean = torch.full((CLASSES,), 1 / CLASSES, device=x.device), logits.softmax(1).mean(0)
        return known + ramp * self.weight * guess + (prior * (prior / mean).log()).sum(), logits[: len(y)]

    def epoch(self) -> None:
        self.rewind()
        clean = self.divide()
        for student in (0, 1):
            self.networks[student].train()
            self.networks[1 - student].eval()
            probability = clean[1 - student]
            sides = [side.nonzero()[0] for side in (probability > 0.5, probability <= 0.5)]
            labelled, unlabelled = (self.load(Samples(self.pictures, 2, side)) for side in sides)
            others = iter(unlabelled)
            for x1, x2, y, index in labelled:
                try:
                    u1, u2, *_ = next(others)
                except StopIteration:
                    others = iter(unlabelled)
                    u1, u2, *_ = next(others)
                w = torch.from_numpy(probability).float()[index].to(self.device)
                lam = self.rng.beta(self.alpha, self.alpha)
                x1, x2, y, u1, u2 = (tensor.to(self.device) for tensor in (x1, x2, y, u1, u2))
                loss, logits = self.loss(student, (x1, x2, y, w), (u1, u2), 0.1, max(lam, 1 - lam))
                self.descend(loss, logits, y)

    def compare_with(self, session: Session) -> tuple[Tensor, Tensor, nn.Module, nn.Module]:
        method: Any = session.method
        batch = next(iter(method.batches()))
        batch = batch._replace(labelled=exact(batch.labelled), unlabelled=exact(batch.unlabelled))
        probability = method.clean[1 - batch.student, batch.labelled.index]
        # The same random numbers for both: drawn once here, then the streams start anew.
        method.task.seed(1)
        lam = ops.beta_sample(self.alpha, method.task.rng)
        total = 2 * (len(batch.labelled.y) + len(batch.unlabelled.y))
        order = torch.randperm(total, generator=method.task.generator, device=self.device)
        method.task.seed(1)
        for theirs, ours in zip(self.networks, method.networks, strict=True):
            theirs.train(ours.training)
        known, unknown = ([view.contiguous() for view in part.views] for part in (batch.labelled, batch.unlabelled))
        theirs_loss, _ = self.loss(
            batch.student,
            (known[0], known[1], batch.labelled.y, probability),
            (unknown[0], unknown[1]),
            batch.ramp,
            max(lam, 1 - lam),
            order,
        )
        return method.loss(batch), theirs_loss, method.networks[batch.student], self.networks[batch.student]


#: Each method's reference, batch size, and hyper-parameters that bring its main phase about within a few epochs.
METHODS: dict[str, tuple[Callable[[Session, Case, Settings], Reference], int, dict[str, Any]]] = {
    "ce": (Plain, 128, {}),
    "softmix": (Neighbourly, 128, {"softmix.update_every": 300}),  # targets change every tenth epoch only
    "divide_mix": (Divided, 64, {}),
}

#: Training images of an epoch.
IMAGES = {"tiny": 3_000, "small": 512}


def check(name: str, session: Session, reference: Reference) -> None:
    """Raise Different unless the epoch starts with the same division and its first batch gives the same loss and gradients."""
    session.rewind()
    reference.rewind()
    session.method.epoch_start()
    clean = session.method.clean_probability()
    for number, theirs in enumerate(reference.divide()):
        assert clean is not None
        every = getattr(session.method, "clean", clean)
        ours = every[number] if every.dim() == 2 else every
        if (share := moved(ours, theirs)) > MOVED:
            raise Different(name, f"the mixtures disagree on {share:.1%} of the samples")
    both = (*session.method.networks, *reference.networks)
    for net in both:
        net.double()
    ours_loss, theirs_loss, mine, other = reference.compare_with(session)
    ours_pair = ours_loss.detach(), gradients(ours_loss, mine)
    assert_same(name, ours_pair, (theirs_loss.detach(), gradients(theirs_loss, other)))
    for net in both:
        net.float()


def epoch(settings: Settings) -> list[Row]:
    """An epoch of each of three methods, on each network."""
    rows = []
    for case in CASES[settings.device]:
        number = settings.images or IMAGES.get(case.name, 10_000)
        data = dataset_for(case, number)
        for name, (kind, batch_size, changes) in METHODS.items():
            spec = specification(case, data, name, settings, changes, epochs=EPOCHS, batch_size=batch_size)
            session = Session(spec, data, TIMED)
            reference = kind(session, case, settings)
            check(f"epoch, {name}, {case.name}", session, reference)
            work = Work("matmul", operations(session.again))
            rows.append(compare("epoch", name, session.again, reference.epoch, settings, session.images, case.name, work))
    return rows
