"""The options of ``python -m bench.run`` as one frozen value, under the headings of ``--help``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from bench.errors import InputError

#: Options whose name is a word of Python, or of click.
_RENAMED: dict[str, str] = {"settings": "set"}

Part = TypeVar("Part", "Data", "Noise", "Methods", "Training", "Tuning", "Resources", "Output")


@dataclass(frozen=True)
class Data:
    """Images and labels before any noise, and their split."""

    dataset: str
    data_dir: str
    image_size: int | None
    subset: int | None
    split_seed: int | None


@dataclass(frozen=True)
class Noise:
    """Noise of the labels."""

    noise: list[float] | None
    noise_kind: str | None
    noise_sampling: str
    noise_seed: int | None
    misspecify: list[float] | None


@dataclass(frozen=True)
class Methods:
    """Methods and their hyper-parameters."""

    methods: list[str] | None
    reference: str
    k: list[str] | None
    temperature: list[str] | None
    weight: list[str] | None
    settings: dict[str, list[str]]  # "part.name" or "recipe.name" -> values

    @property
    def names(self) -> list[str]:
        """All methods to run, the reference first."""
        methods = self.methods or []
        return methods if self.reference == "none" else [self.reference, *methods]

    @property
    def axes(self) -> dict[str, list[str]]:
        """Values of the options that several methods share."""
        return {
            "k": self.k or [],
            "temperature": self.temperature or [],
            "weight": self.weight or [],
        }

    @property
    def hparams(self) -> dict[str, list[str]]:
        """Values of hyper-parameters set by --set."""
        return {k: v for k, v in self.settings.items() if not k.startswith("recipe.")}

    @property
    def recipe_fields(self) -> dict[str, list[str]]:
        """Values of recipe fields set by --set."""
        return {
            key.removeprefix("recipe."): values
            for key, values in self.settings.items()
            if key.startswith("recipe.")
        }


@dataclass(frozen=True)
class Training:
    """Seeds, recipe and arithmetic of every trial."""

    seeds: int
    recipe: str
    epochs: int | None
    batch_size: int | None
    backbone: str | None
    weights: str | None
    network_size: int | None
    freeze: bool
    head: str | None
    views: int | None
    device: str
    precision: str
    graphs: bool


@dataclass(frozen=True)
class Tuning:
    """Search for hyper-parameters."""

    tune: int | None
    tune_seconds: float | None
    tune_for: str
    scheduler: str
    sampler: str
    start_from: str | None
    transfer: bool


@dataclass(frozen=True)
class Resources:
    """Processors, machines and the handling of interruptions."""

    cpus_per_trial: int
    gpus_per_trial: float | None
    max_concurrent: int | None
    address: str | None
    storage: str | None
    checkpoint_seconds: float
    trial_timeout: float | None
    retry_failed: bool


@dataclass(frozen=True)
class Output:
    """Files and tables that a sweep leaves."""

    out: str | None
    save_models: bool
    save_features: bool
    track: list[str] | None
    no_plots: bool
    details: bool
    dry_run: bool


@dataclass(frozen=True)
class Request:
    """One sweep as the user asks for it; each part has the options of one heading."""

    data: Data
    noise: Noise
    methods: Methods
    training: Training
    tuning: Tuning
    resources: Resources
    output: Output
    optional_graphs: bool = False  # by the environment variable, for all commands of a machine

    @classmethod
    def of(cls, values: Mapping[str, Any], optional_graphs: bool = False) -> "Request":
        """Sort the values of the options, by parameter name, into the parts.

        Raises:
            InputError: where no method is named, or a value makes no sense by itself.
        """
        if not values["methods"]:
            raise InputError(
                "there is nothing to compare: name methods with --methods, or see them with --list"
            )
        if values["seeds"] < 1:
            raise InputError(f"--seeds is {values['seeds']}: give at least 1")
        if values["out"] == "":
            raise InputError("--out names no folder: write for example --out results/mine")

        def part(kind: type[Part]) -> Part:
            return kind(**{name: values[name] for name in kind.__dataclass_fields__})

        return cls(
            part(Data),
            part(Noise),
            part(Methods),
            part(Training),
            part(Tuning),
            part(Resources),
            part(Output),
            optional_graphs,
        )

    def options(self) -> dict[str, Any]:
        """Return all options that have a value, by name, as ``--config`` reads them."""
        return {
            _RENAMED.get(name, name.replace("_", "-")): value
            for part in asdict(self).values()
            if isinstance(part, dict)
            for name, value in part.items()
            if not (value is None or value is False or value == {} or name == "dry_run")
        }
