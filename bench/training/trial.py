"""One trial, from a specification to its record. No Ray here: a test, a shell and a sweep all call
``run_trial``.

python -m bench.trial SPEC.json
"""

import errno
import hashlib
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import noise
from bench.common import plugins
from bench.datasets import OUTSIDE, UNKNOWN, Dataset, ImageFiles, stratified_choice
from bench.errors import InputError, Unavailable, first_line, one_line
from bench.method import Method
from bench.networks.backbones import Network
from bench.planning.code_hash import code_of
from bench.planning.method_checks import check_plan, check_privileges
from bench.planning.registry import build, method_file, split_name
from bench.planning.selection import clean_validation
from bench.planning.spec import SCHEMA, TrialSpec
from bench.records.packing import pack_classes
from bench.records.schema import LOST
from bench.task import Pixels, SharedPixels, Task
from bench.training import scoring
from bench.training.evaluation import (
    PART,
    TRIED,
    check_alike,
    check_probabilities,
    shaped,
    tensor_of,
    untouched,
)
from bench.training.graphs import steps_of
from bench.training.isolation import as_new, give_back_memory, seed_globals
from bench.training.memory import keep_freed_memory, return_freed_memory
from bench.training.pretrain import Encoder, PretrainJob, job_for, pretrain
from bench.training.seeds import hidden_seed, shuffled
from bench.training.storage import StoredFile, write_whole
from bench.training.stream import StreamedPixels

#: Random stream of the global generators, for code that draws from them (dropout).
GLOBAL = 2000

#: Seed of the choice of training samples that are predicted after each epoch.
PROBES = 3000

#: Images that are copied to the device at a time.
COPIED = 4096

#: A checkpoint's file begins with so many bytes of checksum.
CHECKSUM_BYTES = 32

#: Errors of the machine, whatever the method: no room, no handles, a device or a network mount that
#: is gone.
MACHINE_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENODEV,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)

#: The same in the words of PyTorch's and other C++ code, which raises RuntimeError.
_MACHINE_TEXTS = (
    *map(os.strerror, (errno.ENOSPC, errno.EIO)),
    "uncorrectable ECC error",
    "no CUDA-capable device",
)

#: Takes new epochs of the record and whether all earlier ones are void.
Report = Callable[[list[dict[str, Any]], bool], None]


@dataclass(frozen=True)
class Labels:
    """Noisy labels of all non-test images, and the split of these into training and validation.
    Equal for all methods.
    """

    noisy: np.ndarray  # (N,)
    train: np.ndarray  # positions
    validation: np.ndarray
    # (N,) UNKNOWN where nobody knows it, OUTSIDE where the image is of none of the classes
    truth: np.ndarray

    @classmethod
    def of(cls, spec: TrialSpec, dataset: Dataset) -> "Labels":
        """Noise first, then the split, which is stratified on the noisy labels: the clean ones are
        not known in practice.
        """
        noisy = noise.corrupt(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        )
        size = max(1, round(spec.validation_share * len(noisy)))
        validation = np.sort(
            stratified_choice(noisy, size, np.random.default_rng([spec.split_seed, 1]))
        )
        truth = dataset.train_labels
        if drawn := openset(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        ):
            truth = truth.copy()
            truth[drawn[0]] = OUTSIDE
        return cls(noisy, np.setdiff1d(np.arange(len(noisy)), validation), validation, truth)

    def facts(self, spec: TrialSpec, dataset: Dataset) -> dict[str, Any]:
        """What the record says of them; what needs the truth is missing where nobody knows it."""
        known = self.truth != UNKNOWN
        wrong = int((self.noisy != self.truth)[known].sum())
        matrix = (
            noise.transition_matrix(self.truth, self.noisy, dataset.num_classes).round(6).tolist()
        )
        tested = len(np.unique(dataset.test_labels))
        return {
            "classes": dataset.num_classes,
            "noise": {
                "nominal_rate": spec.noise_rate,
                # Of labels that somebody verified, often the right ones only, the rate would be no
                # rate.
                "realised_rate": wrong / len(known) if known.all() else None,
                "transition_matrix": matrix if known.all() else None,
                "label_hash": noise.label_hash(self.noisy),
                "known_labels": int(known.sum()),
                "wrong_of_known": wrong if known.any() else None,
                "openset_images": int((self.truth == OUTSIDE).sum()),
            },
            "train_images": len(self.train),
            "validation_images": len(self.validation),
            # With each epoch's predictions: accuracy on as many clean-labelled validation images as
            # one likes.
            "validation_truth": pack_classes(self.truth[self.validation])
            if (self.truth[self.validation] >= 0).any()
            else None,
            "test_images": len(dataset.test_labels),
            # Only where it is fewer than all: accuracies on the test set leave the others out.
            **({"tested_classes": tested} if tested < dataset.num_classes else {}),
            "noisy_test": dataset.noisy_test,
        }


@dataclass
class Outcome:
    """How a trial ended. ``facts`` become done.json."""

    facts: dict[str, Any]
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, Tensor] | None = None

    def samples_bytes(self) -> bytes | None:
        """The per-sample results as a compressed NumPy archive."""
        if not self.samples:
            return None
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.samples)  # type: ignore[arg-type]  # names are not numpy's own arguments
        return buffer.getvalue()

    def weights_bytes(self) -> bytes | None:
        """The final weights as safetensors, which no pickle is needed to load."""
        if self.weights is None:
            return None
        from safetensors.torch import save

        return save(
            {name: value.detach().cpu().contiguous() for name, value in self.weights.items()}
        )


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


class Checkpoint:
    """A trial's state, replaced as a whole; it holds the record so far, so that nothing has to
    match up later.

    The state before it is kept too: a file that cannot be read costs the epochs in between, not the
    trial's.
    """

    def __init__(
        self,
        path: Path | StoredFile,
        every_seconds: float = 30.0,
        warn: Callable[[str], None] = _warn,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        """Keep the state of a trial at ``path``.

        Args:
            warn: is told what goes wrong, a sentence each; the trial goes on in any case.
            allowed: asked before each write; False once another run of the sweep has taken over.
        """
        self.path = path
        self.previous = path.with_name(f"{path.name.removesuffix('.pt')}.before.pt")
        self.every_seconds = every_seconds
        self.warn = warn
        self.allowed = allowed
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether enough time has passed since the last one that its cost does not matter."""
        return time.monotonic() - self._saved >= self.every_seconds

    def save(self, state: dict[str, Any]) -> None:
        """Write ``state``, atomically. Where that fails (a full disk, a store out of reach), the
        trial goes on without.
        """
        start = time.monotonic()
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        try:
            if self.allowed():
                write_whole(self.path, _checksum(content) + content, self.previous)
        except Exception as error:  # every kind of store has its own
            self.warn(
                f"cannot write the checkpoint {self.path} ({one_line(error)}): the trial goes on "
                "without it"
            )
        self._saved = time.monotonic()
        # Slow disk or large state: never spend more than about a fiftieth of the time on
        # checkpoints.
        self.every_seconds = (
            max(self.every_seconds, 50 * (self._saved - start)) if self.every_seconds else 0.0
        )

    def load(self, spec: TrialSpec) -> dict[str, Any] | None:
        """The last state that can be used, or None."""
        for path, otherwise in (
            (self.path, "the one before is used, if there is one"),
            (self.previous, "the trial starts anew"),
        ):
            try:
                if not path.exists():
                    continue
                content = path.read_bytes()
                checksum, content = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
                if checksum != _checksum(content):
                    # torch.load would not notice a changed weight
                    raise ValueError("its checksum is wrong")
                state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
                if state["id"] == spec.id and state.get("code") != code_of(spec.method):
                    self.warn(
                        f"the checkpoint {path} was made by other code than today's: the trial "
                        "starts anew"
                    )
                    return None  # the one before is older still
                if state["id"] == spec.id:
                    return state
                reason = "it belongs to another trial"
            except Exception as error:  # torch.load raises many kinds on damaged files
                reason = first_line(error)[:100]
            self.warn(f"cannot use the checkpoint {path} ({reason}): {otherwise}")
        return None

    def remove(self) -> None:
        """Forget it: the trial is over, and on record."""
        try:
            for path in (self.path, self.previous):
                path.unlink(missing_ok=True)
        except Exception as error:  # a store out of reach
            self.warn(
                f"cannot remove the checkpoint {self.path} ({one_line(error)}): do so by hand"
            )


def method_for(spec: TrialSpec) -> Method:
    """The trial's method, not yet set up; every part knows the recipe."""
    method = build(spec.method, spec.hparams)
    for part in method.parts():
        part.recipe = spec.recipe
    return method


def check_trials(specs: Iterable[TrialSpec]) -> None:
    """Ask each method what planning needs of it, with each of its configurations and recipes.

    Raises:
        InputError: where a method fails, or answers what cannot be used.
    """
    for spec in {(spec.method, str(spec.hparams), spec.recipe): spec for spec in specs}.values():
        method = method_for(spec)
        for name, part in zip(reversed(split_name(spec.method)), method.parts(), strict=True):
            with plugins.blame(method_file(name), "planning its trials"):
                check_plan(part)
        pretrain_job(spec)


def pretrain_job(spec: TrialSpec) -> PretrainJob | None:
    """The encoder that the trial's method asks for, if any."""
    wanted = [settings for part in method_for(spec).parts() if (settings := part.pretraining())]
    if len(set(wanted)) > 1:
        raise InputError(
            f"the parts of {spec.method} ask for different pretrained encoders: choose one of them"
        )
    return job_for(spec, wanted[0]) if wanted else None


def openset(
    dataset: Dataset, kind: str, rate: float | None, seed: int, sampling: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions of the training images that open-set noise replaces, and of the donors that replace
    them.
    """
    if not kind.startswith(noise.OPENSET) or not rate:
        return None
    assert dataset.donors is not None
    return noise.openset(
        len(dataset.train_labels), len(dataset.donors), rate, noise.generator(seed), sampling
    )


def replaced(
    dataset: Dataset, drawn: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray | ImageFiles:
    """The training images, with what open-set noise has put in their place."""
    if drawn is None:
        return dataset.train_images
    assert isinstance(dataset.train_images, np.ndarray) and dataset.donors is not None
    positions, donors = drawn
    images = dataset.train_images.copy()
    images[positions] = dataset.donors[donors]
    return images


def pixels_for(
    dataset: Dataset,
    spec: TrialSpec | PretrainJob,
    images: np.ndarray | ImageFiles | None = None,
    positions: np.ndarray | None = None,
) -> Pixels:
    """The data set's training images, or these other ones, on the trial's device or on their way
    there.

    With ``positions`` (N,) these of them alone, in that order and in memory of their own. Only
    memory that nobody can write to, such as that of Ray's object store or of a decoded cache, is
    shared: there may be gigabytes of it.
    """
    images = dataset.train_images if images is None else images
    mean, std = (
        torch.tensor(s, dtype=torch.float32, device=spec.device) for s in dataset.pixel_statistics
    )
    if isinstance(images, ImageFiles):
        files = images if positions is None else images[positions]
        return StreamedPixels(files, mean, std, torch.device(spec.device), workers=spec.threads - 1)
    if positions is None:
        return Pixels(_tensor(images, spec.device), mean, std)
    if spec.device == "cpu" and not images.flags.writeable:
        return SharedPixels(images, positions, mean, std)
    copies = torch.empty((len(positions), *images.shape[1:]), dtype=torch.uint8, device=spec.device)
    for part, chosen in zip(
        copies.split(COPIED),
        np.split(positions, range(COPIED, len(positions), COPIED)),
        strict=True,
    ):
        part.copy_(torch.from_numpy(np.take(images, chosen, axis=0)))
    return Pixels(copies, mean, std)


def _tensor(array: np.ndarray, device: str) -> Tensor:
    # arrays shared between processes are read-only, and nobody writes to them
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array).to(device)


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Context in which torch, NumPy, SciPy and scikit-learn compute with that many threads: those
    of the trial's CPUs.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


def run_pretraining(
    job: PretrainJob,
    dataset: Dataset,
    beat: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Encoder:
    """Train the encoder that some trials of this data set need."""
    with as_new(job.device), use_threads(job.threads):
        drawn = openset(dataset, *job.openset) if job.openset else None
        return _encoder(job, dataset, replaced(dataset, drawn), beat)


def _encoder(
    job: PretrainJob,
    dataset: Dataset,
    images: np.ndarray | ImageFiles,
    beat: Callable[[int, float], None],
) -> Encoder:
    return pretrain(
        job, pixels_for(dataset, job, images), beat, hidden_seed("pretraining", job.seed, dataset)
    )


def run_trial(
    spec: TrialSpec,
    dataset: Dataset,
    *,
    encoder: Encoder | None = None,
    report: Report = lambda epochs, restart: None,
    checkpoint: Checkpoint | None = None,
    keep: Collection[str] = (),
) -> Outcome:
    """Train and evaluate as the specification says.

    Args:
        dataset: the one the specification names, whole (the hash is compared).
        encoder: the pretrained encoder, where ``pretrain_job(spec)`` names one; without it, it is
            trained here.
        report: gets each epoch's record as it is made. With ``restart`` true it gets all the epochs
            that a checkpoint kept, before any other, and whatever was reported earlier is void.
        keep: what to keep beside the record, as ``records.kept`` names it.
        checkpoint: where to go on from, and where to keep the state. Whoever writes the outcome
            down removes it then.

    Returns:
        The outcome. A method that raises is a failed outcome, not an exception; an error of the
        machine is a lost one.

    Raises:
        Unavailable: where the data or the noise file are not those of the specification.
    """
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "failed",
        "error": None,
        "code": code_of(spec.method),
    }
    start = time.perf_counter()
    outcome = Outcome(facts)
    try:
        _reset_peak_memory(spec.device)
        keep_freed_memory()
        with as_new(spec.device), use_threads(spec.threads):
            Run(spec, dataset, encoder, report, checkpoint, keep, outcome).go()
    except InputError:
        raise
    except Exception as error:
        # anything a plugin may raise: it becomes a row, and the sweep goes on
        facts["status"] = LOST if of_machine(error) else "failed"
        facts["error"] = describe(error)
        facts["traceback"] = traceback.format_exc()
        # of a trial that ran out of it, what it had
        facts["peak_memory_bytes"] = peak_memory(spec.device)
    if facts["status"] in ("failed", LOST):
        give_back_memory(spec.device)  # until here the error's traceback held the networks
    facts["work_seconds"] = time.perf_counter() - start
    return outcome


def of_machine(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, is of the machine: libraries raise
    errors of their own.
    """
    while error is not None:
        if isinstance(error, Unavailable) or (
            isinstance(error, OSError) and error.errno in MACHINE_ERRORS
        ):
            return True
        if isinstance(error, RuntimeError) and any(text in str(error) for text in _MACHINE_TEXTS):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def describe(error: Exception) -> str:
    """The error in one line; where memory was short, that is what it says."""
    text = one_line(error)
    short = (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text
    )
    return (
        f"out of memory ({text}): fewer trials at a time (--max-concurrent) leave each more"
        if short
        else text
    )


class Run:
    """The moving parts of ``run_trial``: what measures a single epoch takes hold of them too."""

    def __init__(
        self,
        spec: TrialSpec,
        dataset: Dataset,
        encoder: Encoder | None,
        report: Report,
        checkpoint: Checkpoint | None,
        keep: Collection[str],
        outcome: Outcome,
    ) -> None:
        if dataset.content_hash != spec.data_hash:
            raise Unavailable(
                f"the data is not what the specification names (hash {dataset.content_hash}, not "
                f"{spec.data_hash}): check --data-dir and --subset"
            )
        try:
            noise_hash = noise.fingerprint(spec.noise_kind)
        except InputError as error:  # a file that only another machine has
            raise Unavailable(str(error)) from error
        if noise_hash != spec.noise_hash:
            raise Unavailable(
                f"the file of {spec.noise_kind} is not the one the trial was planned with: put "
                "that one back"
            )
        self.spec, self.dataset, self.outcome = spec, dataset, outcome
        self.report, self.checkpoint, self.keep = report, checkpoint, keep
        self.facts = outcome.facts
        self.labels = Labels.of(spec, dataset)
        self.facts.update(self.labels.facts(spec, dataset))
        drawn = openset(
            dataset, spec.noise_kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling
        )
        images = replaced(dataset, drawn)
        self.seed, order, self.evaluation_seed = (
            hidden_seed(purpose, spec.train_seed, dataset)
            for purpose in ("training", "positions", "evaluation")
        )
        # A method's samples are numbered in a random order: that of the data set often goes by the
        # true class.
        numbered = shuffled(len(self.labels.train), order)
        # positions in the data set of the method's samples
        self.shown = self.labels.train[numbered]
        self.number = np.argsort(numbered)  # of each training sample, in the data set's order
        # Which row of a state is whose, and its label: noise of a plugin may have changed, whose
        # code no hash covers.
        self.numbering = hashlib.sha256(
            self.shown.tobytes() + self.labels.noisy.tobytes()
        ).hexdigest()[:16]
        self.pixels = pixels_for(dataset, spec, images, self.shown)
        self.validating = pixels_for(dataset, spec, images, self.labels.validation)
        self.tests = {"test": (pixels_for(dataset, spec, dataset.test_images), dataset.test_labels)}
        for name, (extra, labels) in dataset.extra_tests.items():
            self.tests[name] = pixels_for(dataset, spec, extra), labels
        self.method = method_for(spec)
        # Asked once: what is on record is what is granted.
        self.granted = [check_privileges(part.privileges) for part in self.method.parts()]
        self.facts["privileges"] = sorted(frozenset().union(*self.granted))
        self.counted: list[Network] = []
        self.records: list[dict[str, Any]] = []
        # samples that can be scored
        known = np.flatnonzero(self.labels.truth[self.labels.train] != UNKNOWN)
        self.known = known
        chosen = np.random.default_rng(PROBES).permutation(known)[: scoring.PROBES]
        self.probes = np.sort(chosen)  # among the training samples
        self.judged = False
        self.setup(encoder, images)

    def setup(self, encoder: Encoder | None, images: np.ndarray | ImageFiles) -> None:
        features = None
        if job := pretrain_job(self.spec):
            encoder = encoder or _encoder(job, self.dataset, images, lambda epoch, loss: None)
            self.facts["pretraining"] = self.score(encoder)
            features = encoder.frozen(self.task(None, frozenset()))
            self.counted.append(features.network)
        for stream, (part, granted) in enumerate(
            zip(self.method.parts(), self.granted, strict=True)
        ):
            part.task = self.task(features, granted)
            part.task.seed(self.seed, stream)
            seed_globals(self.seed, stream)
            part.setup(part.task)
        self.counted += [module for module in self.method.modules() if isinstance(module, Network)]

    def score(self, encoder: Encoder) -> dict[str, Any]:
        """How good the pretrained features are: neighbours' votes against noisy labels, and against
        the truth.
        """
        noisy = encoder.knn_accuracy(self.labels.noisy, self.dataset.num_classes)
        clean: tuple[float | None, float | None] = (None, None)
        if (self.labels.truth >= 0).all():
            clean = encoder.knn_accuracy(self.labels.truth, self.dataset.num_classes)
        names = (
            "knn_accuracy_noisy_before",
            "knn_accuracy_noisy",
            "knn_accuracy_clean_before",
            "knn_accuracy_clean",
        )
        figures = dict(zip(names, (*noisy, *clean), strict=True))
        return figures | {
            "spread": encoder.spread,
            "loss": encoder.loss,
            "pretrain_seconds": encoder.train_seconds,
        }

    def task(self, features: Callable[[Tensor], Tensor] | None, privileges: frozenset[str]) -> Task:
        """What one part of the method may see."""
        spec, recipe, device = self.spec, self.spec.recipe, torch.device(self.spec.device)
        truth = {
            "noise_rate": min(
                1.0, spec.told * float((self.labels.noisy != self.labels.truth).mean())
            ),
            "noise_kind": spec.noise_kind,
        }
        return Task(
            self.pixels,
            _tensor(self.labels.noisy[self.shown], spec.device),
            self.dataset.num_classes,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            backbone=recipe.backbone,
            augmentation=recipe.augmentation,
            device=device,
            precision=spec.precision,
            encoder=features,
            facts={name: truth[name] for name in privileges},
        )

    def go(self) -> None:
        optimizer = self.restore()
        stage = self.method.stage if optimizer else None
        for epoch in range(len(self.records), self.spec.recipe.epochs):
            self.enter(epoch)
            if optimizer is None or self.method.stage != stage:
                stage, optimizer = self.method.stage, self.new_optimizer()
            record = self.train(epoch, optimizer)
            record |= self.evaluate()
            if record["train_loss"] is None or not np.isfinite(self.test).all():
                self.facts.update(
                    status="diverged",
                    error=f"the loss or the predictions are not finite in epoch {epoch}",
                )
                return self.conclude(record)
            self.records.append(record)
            self.report([record], False)
            if self.checkpoint and self.checkpoint.due() and epoch + 1 < self.spec.recipe.epochs:
                self.checkpoint.save(self.state(optimizer))
        self.facts["status"] = "finished"
        self.conclude(None)

    def enter(self, epoch: int) -> None:
        """Seed every random stream from the epoch alone, so that a resumed trial needs no
        generator's state.
        """
        seed_globals(self.seed, epoch, GLOBAL)
        for stream, part in enumerate(self.method.parts()):
            part.epoch = epoch
            part.task.seed(self.seed, epoch, stream)

    def new_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.method.optimizer(self.method.param_groups())
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def train(self, epoch: int, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        start = time.perf_counter()
        for net in self.counted:
            net.samples_trained = net.samples_inferred = 0
        factor = self.method.schedule(epoch / self.spec.recipe.epochs)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        for part in self.method.parts():
            part.task.mixtures.clear()
        self.method.train()
        self.method.epoch_start()
        step = steps_of(self.method, optimizer, self.counted, self.spec.device, self.spec.graphs)
        losses = [step(batch) for batch in self.method.batches()]
        self.method.epoch_end()
        loss = torch.stack(losses).mean().item()  # waits for the device, once an epoch
        self.check_labels()
        mixtures = [fit for part in self.method.parts() for fit in part.task.mixtures]
        return {
            **({"schema": SCHEMA, "privileges": self.facts["privileges"]} if epoch == 0 else {}),
            "epoch": epoch,
            "train_loss": loss if np.isfinite(loss) else None,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "samples_trained": sum(net.samples_trained for net in self.counted),
            "samples_inferred": sum(net.samples_inferred for net in self.counted),
            **({"mixtures": mixtures} if mixtures else {}),
            "train_seconds": time.perf_counter() - start,
        }

    def check_labels(self) -> None:
        """Raise RuntimeError where a part of the method has written into its labels, which no
        checkpoint keeps.
        """
        lent = self.labels.noisy[self.shown]
        for part in self.method.parts():
            if not np.array_equal(part.task.noisy_labels.cpu().numpy(), lent):
                raise RuntimeError(
                    "training changed task.noisy_labels: write into a buffer of the method's own "
                    "instead"
                )

    def evaluate(self) -> dict[str, Any]:
        start = time.perf_counter()
        with untouched(self.method):
            record = self.figures()
        # it may predict otherwise by then
        if not self.judged or self.method.epoch + 1 == self.spec.recipe.epochs:
            self.judged = True
            self.judge()
        return record | {"eval_seconds": time.perf_counter() - start}

    def figures(self) -> dict[str, Any]:
        """Predict validation and test images; return the figures of these predictions."""
        self.validation = self.predict(self.validating)
        probabilities = {name: self.predict(pixels) for name, (pixels, _) in self.tests.items()}
        self.test = probabilities["test"]
        guesses, validation = self.validation.argmax(1), self.labels.validation
        return {
            "noisy_val_accuracy": float((guesses == self.labels.noisy[validation]).mean()),
            "clean_val_accuracy": clean_validation(guesses, self.labels.truth[validation]),
            **{
                f"{name}_accuracy": float((found.argmax(1) == self.tests[name][1]).mean())
                for name, found in probabilities.items()
            },
            **(self.scores() if np.isfinite(self.test).all() else {}),
            "val_predictions": pack_classes(guesses),
        }

    @torch.inference_mode()
    def judge(self) -> None:
        """Check on a few images that what is predicted of one does not depend on the others."""
        self.method.eval()
        images = self.validating(
            _tensor(np.arange(min(TRIED, len(self.validating))), self.spec.device)
        )
        fewer = images[: min(PART, (len(images) + 1) // 2)]
        with self.method.task.autocast():
            whole, part = (self.method.predict(few).float() for few in (images, fewer))
        check_alike(whole, part, self.spec.precision)

    def scores(self) -> dict[str, float | None]:
        """How sure the method is with what right, and how it fares with wrong labels where somebody
        knows which are.
        """
        found: dict[str, float | None] = {}
        found["calibration_error"] = scoring.calibration_error(self.test, self.dataset.test_labels)
        found["worst_class_accuracy"] = scoring.worst_class_accuracy(
            self.test.argmax(1), self.dataset.test_labels
        )
        if not len(self.known):
            return found
        noisy, clean = self.labels.noisy, self.labels.truth
        guesses = self.predict(self.pixels, self.number[self.probes]).argmax(1)
        probes = self.labels.train[self.probes]
        found |= scoring.memorisation(guesses, noisy[probes], clean[probes])
        samples = self.labels.train[self.known]
        per_sample = self.per_sample()
        if (probability := per_sample.get("clean_probability")) is not None:
            found |= scoring.detection(probability[self.known], noisy[samples] != clean[samples])
        if (targets := per_sample.get("soft_targets")) is not None:
            found |= scoring.correction(targets[self.known], clean[samples])
        return found

    def per_sample(self) -> dict[str, np.ndarray]:
        """Return the method's figures of each training sample, by hook, in the data set's order and
        in memory of their own.
        """
        given = {
            "clean_probability": self.method.clean_probability(),
            "soft_targets": self.method.soft_targets(),
        }
        shapes = {
            "clean_probability": (len(self.number),),
            "soft_targets": (len(self.number), self.dataset.num_classes),
        }
        return {
            hook: shaped(hook, tensor_of(hook, values), shapes[hook])[self.number]
            for hook, values in given.items()
            if values is not None
        }

    def predict(self, pixels: Pixels, positions: np.ndarray | None = None) -> np.ndarray:
        """Class probabilities (len(positions), C), of all images by default."""
        probabilities = self.evaluated("predict", self.method.predict, pixels, positions)
        check_probabilities(probabilities, self.dataset.num_classes)
        return probabilities

    @torch.inference_mode()
    def evaluated(
        self,
        name: str,
        function: Callable[[Tensor], Tensor],
        pixels: Pixels,
        positions: np.ndarray | None,
    ) -> np.ndarray:
        """Apply a method's function to images in a random order: class by class, their order would
        tell the classes.
        """
        self.method.eval()
        positions = np.arange(len(pixels)) if positions is None else positions
        order = shuffled(len(positions), self.evaluation_seed)
        batches = pixels.stream(
            _tensor(positions[order], self.spec.device).split(pixels.evaluation_batch)
        )
        with self.method.task.autocast():
            values = torch.cat([tensor_of(name, function(pixels.view(raw))) for raw in batches])
        return shaped(name, values, (len(order), *values.shape[1:]))[np.argsort(order)]

    def separation(self) -> dict[str, float | None]:
        """How far apart the first network's features of test samples lie."""
        pixels, labels = self.tests["test"]
        chosen = np.sort(np.random.default_rng(PROBES).permutation(len(labels))[: scoring.PROBES])
        return scoring.separation(self.features(pixels, chosen), labels[chosen])

    def features(self, pixels: Pixels, positions: np.ndarray) -> np.ndarray:
        """Features (len(positions), D) of the first network that predicts."""
        return self.evaluated(
            "forward_features", self.method.predictors()[0].forward_features, pixels, positions
        )

    def state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return {
            "id": self.spec.id,
            "code": code_of(self.spec.method),
            "numbering": self.numbering,
            "method": self.method.state_dict(),
            "optimizer": optimizer.state_dict(),
            "records": self.records,
        }

    def restore(self) -> torch.optim.Optimizer | None:
        """Take up the checkpoint, if there is one; returns its optimiser."""
        state = self.checkpoint.load(self.spec) if self.checkpoint else None
        if self.checkpoint and state and state.get("numbering") != self.numbering:
            self.checkpoint.warn(
                f"cannot use the checkpoint {self.checkpoint.path} (its samples have other numbers "
                "or labels than today's): the trial starts anew"
            )
            state = None
        if state is None:
            self.report([], True)
            return None
        self.records = state["records"]
        earlier = self.records[0].get("privileges", ())  # granted before the restart
        self.facts["privileges"] = sorted({*earlier, *self.facts["privileges"]})
        self.enter(self.records[-1]["epoch"])
        self.method.load_state_dict(state["method"])
        optimizer = self.new_optimizer()
        optimizer.load_state_dict(state["optimizer"])
        self.report(self.records, True)
        return optimizer

    def conclude(self, last: dict[str, Any] | None) -> None:
        """Sum up the record and, unless it ends with the epoch ``last``, which diverged, keep the
        results.
        """
        records = self.records + ([last] if last else [])
        self.facts.update(
            _sums(records, len(self.labels.train)),
            epochs=len(self.records),
            pretrain_seconds=self.facts.get("pretraining", {}).get("pretrain_seconds", 0.0),
            parameters=sum(p.numel() for net in self.method.networks for p in net.parameters()),
            peak_memory_bytes=peak_memory(self.spec.device),
        )
        if last is None:
            with untouched(self.method):
                self.keep_results()

    def keep_results(self) -> None:
        """Keep per-sample results and, on request, features and weights."""
        self.facts |= self.separation()
        self.facts["reliability"] = scoring.reliability(self.test, self.dataset.test_labels)
        if (transition := self.method.transition_matrix()) is not None:
            matrix = shaped(
                "transition_matrix", transition.double(), (self.dataset.num_classes,) * 2
            )
            self.facts["estimated_transition_matrix"] = matrix.round(6).tolist()
        self.outcome.samples = {
            "noisy_labels": self.labels.noisy,
            "train_positions": self.labels.train,
            "validation_positions": self.labels.validation,
            "validation_probabilities": self.validation.astype(np.float16),
            "test_probabilities": self.test.astype(np.float16),
            **self.per_sample(),
            **({} if self.dataset.train_names is None else {"names": self.dataset.train_names}),
        }
        if "features" in self.keep:
            self.outcome.samples |= {
                "feature_positions": (probes := self.labels.train[self.probes]),
                "features": self.features(self.pixels, self.number[self.probes]).astype(np.float16),
                "feature_truth": self.labels.truth[probes],
            }
        if "models" in self.keep:
            self.outcome.weights = nn.ModuleList(self.method.networks).state_dict()


def _sums(records: Sequence[dict[str, Any]], images: int) -> dict[str, float]:
    """What epochs took together: seconds, and passes over the training images."""
    totals = {
        key: sum(record.get(key, 0.0) for record in records)
        for key in ("train_seconds", "eval_seconds", "samples_trained", "samples_inferred")
    }
    passes = {
        f"passes_{key.partition('_')[2]}": totals.pop(key) / images
        for key in ("samples_trained", "samples_inferred")
    }
    return totals | passes


def stopped_facts(
    spec: TrialSpec,
    dataset: Dataset,
    records: Sequence[dict[str, Any]],
    pretrain_seconds: float = 0.0,
) -> dict[str, Any]:
    """The done.json of a trial that a scheduler stopped after the epochs ``records``."""
    labels = Labels.of(spec, dataset)
    privileges = records[0].get("privileges") if records else None
    if privileges is None:  # it never began, or under an earlier version
        privileges = sorted(
            {
                fact
                for part in method_for(spec).parts()
                for fact in check_privileges(part.privileges)
            }
        )
    return {
        "schema": SCHEMA,
        "status": "stopped",
        "error": None,
        "code": code_of(spec.method),
        **labels.facts(spec, dataset),
        "privileges": privileges,
        **_sums(records, len(labels.train)),
        "epochs": len(records),
        "pretrain_seconds": pretrain_seconds,
    }


def _reset_peak_memory(device: str) -> None:
    return_freed_memory()
    if device == "cuda":
        # a reused process would keep its earlier trials' memory from its neighbours
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK):
        # a reused process would report its earlier trials' peak
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str) -> int:
    """Peak memory in bytes: of the device's allocator, or resident for a CPU trial."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
