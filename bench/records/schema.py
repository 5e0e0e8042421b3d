"""Schema of what a sweep leaves on disk: each JSON key and each status is written here, once.

A field without a value is ``UNSET`` and absent from its file; ``None`` is null there, and stands
for a figure that is undefined. The order of fields is the order of keys. Files of earlier versions
lack younger fields, so nearly all may be absent when a file is read.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

#: Version of the format of records.
SCHEMA = 1

#: Statuses of a trial that is over.
FINISHED = "finished"  # trained to the last epoch
STOPPED = "stopped"  # ended early by the scheduler of a search
DIVERGED = "diverged"  # the loss or the predictions were no longer finite
FAILED = "failed"  # the method raised an error
TIMEOUT = "timeout"  # it took longer than --trial-timeout
#: Ended by its machine (a killed worker, a lost node, a full disk): the next run repeats it.
LOST = "lost"

#: Statuses with results to rank.
SUCCEEDED = (FINISHED, STOPPED)
#: Statuses that are results; ``RETRIED`` are those that ``--retry-failed`` runs again.
COMPLETED = (*SUCCEEDED, DIVERGED)
RETRIED = (FAILED, TIMEOUT)
STATUSES = (*COMPLETED, *RETRIED, LOST)

#: Keys of the figures over epochs that select and rank.
TEST_ACCURACY = "test_accuracy"
NOISY_VAL_ACCURACY = "noisy_val_accuracy"
PREDICTION_CHANGES = "prediction_changes"

Figure = float | UnsetType | None
#: Bounded by what 64 bits hold, since other programs may have written the record.
Count = Annotated[int, msgspec.Meta(le=2**63 - 1)] | UnsetType | None

#: Type of a specification's recipe: as it is planned, or as readers of records need it.
RecipeT = TypeVar("RecipeT")
#: Type of the identity of its pretrained network, likewise.
NetworkT = TypeVar("NetworkT")


class Imported(msgspec.Struct, frozen=True):
    """Origin of a trial that other people ran with their own code; "" where it is not stated."""

    source: str  # people or paper
    code: str = ""  # repository and commit
    licence: str = ""  # of the curves


@dataclass(frozen=True)
class Specification(Generic[RecipeT, NetworkT]):
    """Specification of one trial: all that its result depends on.

    Its id is a hash of these values as they are on disk (``bench.common.identity``).
    ``bench.planning.spec.TrialSpec`` checks and writes them. An imported trial knows few of them:
    its recipe holds ``RecipeFacts`` alone, its three seeds are the one of its source, its
    ``hparams`` are empty, and other values that are not known are "" or None.
    """

    method: str  # canonical name, such as "rmd+ce"
    hparams: dict[str, Any]  # all of them, namespaced by part
    dataset: str
    data_hash: str
    subset: int | None
    image_size: int | None
    noise_kind: str
    noise_hash: str | None  # of the file that the kind reads, if it reads one
    noise_rate: float | None  # None where the noise came with the data
    noise_sampling: str
    noise_seed: int
    split_seed: int
    train_seed: int
    validation_share: float | None
    # "shared" or "paper", and what the command line changed in it; "imported"
    protocol: str
    recipe: RecipeT
    device: str
    precision: str
    threads: int | None
    # Fields with a default are younger than the records of others: at their default they are
    # left out of spec.json.
    # "" for a requested trial, "search ..." for a trial of a search, "tuned" for a search's pick
    stage: str = ""
    told: float = 1.0  # factor on the noise rate that a method with that privilege reads
    graphs: bool = False  # steps on a GPU are replayed as CUDA graphs, which rounds otherwise
    pretrained: NetworkT | None = None  # that the trial fine-tunes, or reads features of
    imported: Imported | None = None  # of a trial that this package did not run


class RecipeFacts(msgspec.Struct, frozen=True):
    """Fields of a recipe that a report reads; ``bench.recipe.Recipe`` declares all of them."""

    backbone: str
    epochs: int


class NetworkFacts(msgspec.Struct, frozen=True):
    """Fields of a pretrained network that a report reads; ``bench.networks`` declares all."""

    network: str
    weights: str  # SHA-256 of the file
    data: str  # what it was trained on
    size: int  # side of its input in pixels
    frozen: bool
    views: int = 0


#: Beginning of the name of the data set in trials of an audit; the audited set's name follows.
AUDIT_OF = "audit of "

#: Specification as a report reads it.
Recorded = Specification[RecipeFacts, NetworkFacts]


class Origin(msgspec.Struct, frozen=True):
    """Part of a specification that says which search a trial is of; the rest may be unreadable."""

    method: Any = None
    stage: Any = ""


class SpecFile(msgspec.Struct, frozen=True, kw_only=True):
    """Content of ``spec.json``."""

    schema: int | UnsetType = UNSET  # of version 2 and later
    #: Specification as it is on disk: ids and comparisons of whole specifications are of these
    #: values, fields of other versions among them.
    spec: dict[str, Any]
    config: dict[str, Any]  # hyper-parameters that are not at their default
    draw: int | UnsetType = UNSET  # configurations that the trial's search had drawn before it


class Epoch(msgspec.Struct, kw_only=True):
    """Line of ``epochs.jsonl``. Accuracies are fractions; samples count passes of networks."""

    schema: Count = UNSET  # of the first epoch
    privileges: list[str] | UnsetType = UNSET  # of the first epoch
    epoch: int
    train_loss: Figure = UNSET
    learning_rate: Figure = UNSET
    samples_trained: Count = UNSET  # forward and backward
    samples_inferred: Count = UNSET  # forward only
    mixtures: list[str] | UnsetType = UNSET  # fits of mixture models, as text
    train_seconds: Figure = UNSET
    noisy_val_accuracy: Figure = UNSET
    clean_val_accuracy: Figure = UNSET  # None where no true label is known
    test_accuracy: Figure = UNSET
    #: Figures with names of their own: the accuracy on each further test set, as NAME_accuracy.
    others: dict[str, Any] = {}
    calibration_error: Figure = UNSET
    worst_class_accuracy: Figure = UNSET
    memorised_clean: Figure = UNSET
    memorised_wrong: Figure = UNSET
    recovered_wrong: Figure = UNSET
    detection_auc: Figure = UNSET
    detection_precision: Figure = UNSET
    detection_recall: Figure = UNSET
    label_correction_accuracy: Figure = UNSET
    #: Number of ``Done.compared_images`` that are predicted otherwise than in the epoch before;
    #: absent in the first epoch.
    prediction_changes: Count = UNSET
    method_figures: dict[str, Figure] | UnsetType = UNSET  # ``Method.figures``, where it has any
    val_predictions: str | UnsetType = UNSET  # classes (V,), packed by ``pack_numbers``
    eval_seconds: Figure = UNSET

    def figure(self, name: str) -> float:
        """Return a figure by its key; NaN where it is undefined or absent."""
        return number(
            getattr(self, name) if name in self.__struct_fields__ else self.others.get(name)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the keys and values of the line."""
        values: dict[str, Any] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name == "others":
                values |= value
            elif value is not UNSET:
                values[name] = value
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Epoch":
        """Return the epoch of a line.

        Raises:
            msgspec.ValidationError: where it is none.
        """
        known = {key: value for key, value in values.items() if key in cls.__struct_fields__}
        others = {key: value for key, value in values.items() if key not in known}
        return msgspec.convert(known | {"others": others}, cls)


class Noise(msgspec.Struct, kw_only=True):
    """Noise of a trial as it was drawn."""

    nominal_rate: Figure = UNSET  # as requested; None where the noise came with the data
    realised_rate: Figure = UNSET  # None unless every true label is known
    training_rate: Figure = UNSET  # of the training samples alone; None as above
    transition_matrix: list[list[float]] | UnsetType | None = UNSET  # (C, C), rows are true classes
    label_hash: str | UnsetType | None = UNSET
    known_labels: Count = UNSET
    wrong_of_known: Count = UNSET
    openset_images: Count = UNSET


class Pretraining(msgspec.Struct, kw_only=True):
    """Quality and cost of the pretrained encoder; accuracies are votes of nearest neighbours."""

    knn_accuracy_noisy_before: Figure = UNSET
    knn_accuracy_noisy: Figure = UNSET
    knn_accuracy_clean_before: Figure = UNSET
    knn_accuracy_clean: Figure = UNSET
    spread: Figure = UNSET  # 1 is healthy, 0 collapsed
    loss: Figure = UNSET
    pretrain_seconds: Figure = UNSET


class PretrainedFacts(msgspec.Struct, kw_only=True):
    """Facts of the pretrained network of a trial, beside its identity in the specification."""

    licence: str
    embedding_seconds: Figure = UNSET  # of all images of the data set, by a frozen network
    features_checksum: str | UnsetType = UNSET  # SHA-256 of all features


class Done(msgspec.Struct, kw_only=True):
    """Content of ``done.json``: how a trial ended. Seconds are those of the device's machine."""

    git_commit: str | UnsetType | None = UNSET
    schema: Count = UNSET
    status: str
    error: str | None = None
    code: Any = UNSET  # hashes of the code by part; see ``bench.records.code``
    #: Machine and libraries, by name; see ``bench.records.build``. Absent where more than one
    #: machine may have taken part.
    build: dict[str, str] | UnsetType = UNSET
    classes: Count = UNSET
    noise: Noise | UnsetType = UNSET
    train_images: Count = UNSET
    compared_images: Count = UNSET  # training images whose predictions are compared over epochs
    validation_images: Count = UNSET
    validation_truth: str | UnsetType | None = UNSET
    test_images: Count = UNSET
    tested_classes: Count = UNSET  # present where test images show fewer than all classes
    noisy_test: bool | UnsetType = UNSET
    privileges: list[str] | UnsetType = UNSET
    pretraining: Pretraining | UnsetType = UNSET
    pretrained: PretrainedFacts | UnsetType = UNSET
    train_seconds: Figure = UNSET
    eval_seconds: Figure = UNSET
    passes_trained: Figure = UNSET  # forward and backward, over the training images
    passes_inferred: Figure = UNSET  # forward only
    epochs: Count = UNSET
    pretrain_seconds: Figure = UNSET
    parameters: Count = UNSET
    traceback: str | UnsetType = UNSET  # of a trial that failed
    peak_memory_bytes: Count = UNSET
    feature_silhouette: Figure = UNSET
    feature_knn_accuracy: Figure = UNSET
    reliability: dict[str, list[float | None]] | UnsetType = UNSET
    estimated_transition_matrix: list[list[float | None]] | UnsetType = UNSET
    work_seconds: Figure = UNSET


class Ending(msgspec.Struct, kw_only=True):
    """Part of ``done.json`` that says whether a trial is over; the rest may be of any version."""

    status: str
    code: Any = UNSET
    epochs: Any = UNSET


def present(value: Any, default: Any = None) -> Any:
    """Return a field's value, or the default where it is absent."""
    return default if value is UNSET else value


def number(value: Figure) -> float:
    """Return a figure, or NaN where it is undefined or absent."""
    return math.nan if value is None or value is UNSET else float(value)


def amount(value: Figure) -> float:
    """Return a figure to be summed; 0 where it is undefined or absent."""
    return 0.0 if value is None or value is UNSET else value
