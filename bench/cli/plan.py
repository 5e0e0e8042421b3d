"""From the options of a sweep to its trials: names, data, noise, specifications, searches."""

import hashlib
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.cli.network import check_options, load_network
from bench.cli.paths import reference_board
from bench.cli.request import Request
from bench.cli.terminal import echo
from bench.common.identity import PAPER, SHARED, TUNED_DEFAULTS, plain_id
from bench.common.text import encodable
from bench.datasets import (
    Dataset,
    ImageFiles,
    check_dataset,
    in_memory,
    open_dataset,
    warn_of_copies,
)
from bench.datasets.images.cache_folder import keep_library_caches
from bench.errors import InputError, unknown
from bench.networks import cpu
from bench.networks.pretrained import Pretrained
from bench.noise import check_noise, default_noise, prepare, rehearse, rounding_note, takes_rate
from bench.planning.registry import (
    Scalar,
    canonical,
    convert,
    display,
    load_method,
    resolve,
    split_name,
)
from bench.planning.selection import DEFAULT_RULE
from bench.planning.spec import Plan, Seeds, TrialSpec, expand_hparams, misspecified
from bench.planning.trial_checks import check_trials
from bench.planning.tuned_defaults import read_tuned_defaults
from bench.recipe import RECIPE_FIELDS, Recipe
from bench.sweep.environment import prepare_environment
from bench.sweep.stopping import TuneStopper
from bench.sweep.trackers import check_trackers
from bench.sweep.work import Resources
from bench.tuning.plan import Tuning, plan_tuning
from bench.tuning.search import Settings, check_sampler
from bench.tuning.spaces import check_space
from bench.tuning.start import Source, read_source
from bench.tuning.study import LEARNING


@dataclass(frozen=True)
class PlannedSweep:
    """Trials of a sweep, the searches that go before, and where they run."""

    request: Request
    data: Dataset
    specs: list[TrialSpec]
    tuning: Tuning | None
    folder: Path
    resources: Resources
    network: Pretrained | None = None  # that trials fine-tune, or whose features they read


def plan_sweep(request: Request) -> PlannedSweep:
    """Check all that a sweep is made of, and return its trials.

    Names and numbers are checked before data are read, which may take minutes.

    Raises:
        InputError: where an option is wrong, or two contradict each other.
    """
    keep_library_caches()
    _check_names(request)
    methods, training = request.methods, request.training
    configurations = expand_hparams(
        methods.names,
        methods.axes,
        methods.hparams,
        _tuned_defaults(training.recipe, methods.names),
    )
    fixed = _fixed_hparams(request, configurations)
    settings = _search_settings(request)
    if settings:
        for name, hparams in configurations:
            given = {key: hparams[key] for key in fixed if key in hparams}
            if check_space(name, hparams, given):
                check_sampler(settings.sampler, name, given)
    address = request.resources.address
    device, precision = resolve_device(training.device, training.precision, address)
    _check_graphs(request, device)
    _warn_of_emulation(device, precision, address)
    overrides = _recipe_overrides(request)
    network = load_network(training) if training.backbone else None
    image_size = _image_size(request, network)
    data, noise_kind, rates = _load_data(request, image_size)
    plan = Plan(
        subset=request.data.subset,
        image_size=image_size,
        noise_kind=noise_kind,
        noise_sampling=request.noise.noise_sampling,
        recipe=training.recipe if training.recipe == PAPER else SHARED,
        overrides=overrides,
        device=device,
        precision=precision,
        threads=request.resources.cpus_per_trial,
        graphs=training.graphs and device == "cuda",
        pretrained=network.network if network else None,
        head=training.head,
    )
    check_options(training, data.on_vectors)
    if not training.backbone:
        backbones = {
            str(dict(overrides).get("backbone", plan.recipe_of(data, *each).backbone))
            for each in configurations
        }
        if network := load_network(training, backbones):
            plan = replace(plan, pretrained=network.network)
    seeds = Seeds(range(training.seeds), request.noise.noise_seed, request.data.split_seed)
    specs = plan.specs(data, configurations, rates, *seeds)
    check_trials(specs)
    _rehearse_noise(specs, data)
    if request.noise.misspecify:
        specs = misspecified(specs, request.noise.misspecify)
    folder = Path(request.output.out) if request.output.out else default_folder(specs)
    tuning = None
    if settings:
        if settings.source:
            _check_source(settings.source, folder)
        rates = sorted({spec.noise_rate for spec in specs}, key=str)
        tuning = plan_tuning(plan, data, configurations, fixed, rates, seeds, settings, TuneStopper)
        for remark in tuning.remarks:
            echo(remark, err=True)
    return PlannedSweep(request, data, specs, tuning, folder, _resources(request, device), network)


def _tuned_defaults(recipe: str, methods: Sequence[str]) -> Mapping[str, Mapping[str, Scalar]]:
    """Return the settings in place of methods' defaults; none where the recipe names no file.

    Methods that the file does not name are in a warning.
    """
    name, colon, place = recipe.partition(":")
    if name != TUNED_DEFAULTS or not colon:
        return {}
    tuned = read_tuned_defaults(Path(place))
    names = dict.fromkeys(map(canonical, methods))
    if absent := [display(each) for each in names if each not in tuned and resolve(each, {})]:
        warnings.warn(
            f"{place} has no settings of {', '.join(absent)}, which run at their defaults",
            stacklevel=2,
        )
    return tuned


def _check_names(request: Request) -> None:
    """Check trackers, data set and noise as far as that needs no data."""
    check_trackers(request.output.track or [])
    if request.training.backbone and not request.training.head:
        check_options(request.training)
    check_dataset(request.data.dataset, request.data.image_size)
    if (kind := request.noise.noise_kind) is not None:
        for rate in _rates(request, kind):
            check_noise(kind, rate)


def _rates(request: Request, kind: str) -> list[float | None]:
    if request.noise.noise:
        return [*request.noise.noise]
    return [0.5 if takes_rate(kind) else None]


def _image_size(request: Request, network: Pretrained | None) -> int | None:
    """Return the side of images; a folder's are as large as the network that is fine-tuned."""
    size = request.data.image_size
    fine_tuned = network is not None and not network.network.frozen
    if size is None and network and fine_tuned and request.data.dataset.startswith("folder:"):
        return network.network.size
    return size


def _load_data(request: Request, image_size: int | None) -> tuple[Dataset, str, list[float | None]]:
    """Return the data set, its images decoded, with the noise kind and rates of the sweep."""
    place, subset = request.data, request.data.subset
    data = open_dataset(place.dataset, place.data_dir, image_size)
    kind = request.noise.noise_kind
    kind = default_noise(data) if kind is None else kind
    rates = _rates(request, kind)
    return decode(data, kind, rates, subset, place.data_dir), kind, rates


def decode(
    data: Dataset,
    kind: str | None,
    rates: Sequence[float | None],
    subset: int | None,
    folder: str,
    remarks: bool = True,
) -> Dataset:
    """Return a data set with its images decoded, ready for noise, and print its remarks.

    Args:
        kind: noise kind; None where labels stay as delivered.
        subset: number of training samples that are kept; None keeps all.
        folder: folder of the data, in which the noise's files are.
        remarks: print remarks on the data, and warn of exact copies.
    """
    files = data if isinstance(data.train_images, ImageFiles) else None
    if kind is not None:
        for rate in rates:  # before images are decoded, which may take minutes
            check_noise(kind, rate, files)
    data = in_memory(data if subset is None else data.subset(subset))
    if remarks:
        warn_of_copies(data)
    if kind is not None:
        data = prepare(data, kind, folder)
    for remark in data.remarks if remarks else ():
        echo(remark, err=True)
    return data


def _rehearse_noise(specs: Sequence[TrialSpec], data: Dataset) -> None:
    """Draw the noise of each rate once, and warn where it changes too few or too many labels."""
    for spec in reversed({spec.noise_rate: spec for spec in reversed(specs)}.values()):
        rehearse(data, spec.noise_spec)
        if note := rounding_note(data, spec.noise_spec):
            warnings.warn(note, stacklevel=2)


def _search_settings(request: Request) -> Settings | None:
    """Return the settings of the searches; None where nothing is tuned."""
    tuning, address = request.tuning, request.resources.address
    if tuning.tune is None and tuning.tune_seconds is None:
        given = {
            "--tune-for": tuning.tune_for != DEFAULT_RULE,
            "--scheduler": tuning.scheduler != "none",
            "--sampler": tuning.sampler != "tpe",
            "--start-from": tuning.start_from is not None,
            "--transfer": tuning.transfer,
        }
        for name, is_set in given.items():
            if is_set:
                raise InputError(
                    f"{name} says how to tune, but nothing is tuned: add --tune N, or leave it out"
                )
        return None
    prepare_environment(address)  # search spaces import Ray Tune, for its domains
    return Settings(
        tuning.tune,
        tuning.tune_seconds,
        tuning.tune_for,
        tuning.scheduler,
        tuning.transfer,
        tuning.sampler,
        _source(request),
    )


def _source(request: Request) -> Source | None:
    """Return the trials of another sweep that searches start from; None without one."""
    tuning = request.tuning
    if tuning.start_from is None:
        return None
    if tuning.sampler not in LEARNING:
        raise InputError(
            f"--sampler {tuning.sampler} learns from no trials, so that --start-from changes "
            "nothing: use --sampler tpe or cmaes, or leave it out"
        )
    return read_source(reference_board(tuning.start_from, "--start-from"))


def _check_source(source: Source, folder: Path) -> None:
    """Refuse a start from the folder of the sweep itself."""
    if source.place.resolve() == folder.resolve():
        raise InputError(
            f"--start-from is {str(source.place)!r}, the sweep's own folder, whose trials are "
            "still to come: give another one, or leave it out, since a sweep goes on from its "
            "records"
        )


def _fixed_hparams(
    request: Request, configurations: Sequence[tuple[str, dict[str, Scalar]]]
) -> set[str]:
    """Return the hyper-parameters that an option sets, which tuning leaves alone."""
    axes = request.methods.axes
    parts = {part for name, _ in configurations for part in split_name(name)}
    swept = {
        f"{part}.{name}"
        for part in parts
        for axis, name in load_method(part).axes.items()
        if axes.get(axis)
    }
    return swept | set(request.methods.hparams)


def _recipe_overrides(request: Request) -> tuple[tuple[str, Any], ...]:
    """Return the recipe fields that options set, converted to their types."""
    names = ("epochs", "batch_size", "backbone")
    options = {name: getattr(request.training, name) for name in names}
    overrides = {name: value for name, value in options.items() if value is not None}
    if request.training.freeze:
        overrides.pop("backbone", None)  # trials train a head
    fields = request.methods.recipe_fields
    if both := sorted(overrides.keys() & fields.keys()):
        raise InputError(
            f"recipe.{both[0]} is set by --{both[0].replace('_', '-')} and by --set: use either"
        )
    for key, values in fields.items():
        if key not in RECIPE_FIELDS or key == "milestones":
            raise unknown(
                "field of the recipe", key, [name for name in RECIPE_FIELDS if name != "milestones"]
            )
        if len(values) > 1:
            raise InputError(
                f"recipe.{key} has {len(values)} values: the recipe is shared by all trials, give "
                "one"
            )
        overrides[key] = convert(f"recipe.{key}", values[0], Recipe.__annotations__[key])
    return tuple(sorted(overrides.items()))


def resolve_device(device: str, precision: str, address: str | None = None) -> tuple[str, str]:
    """Replace "auto" by the device of this machine, and by the precision that suits it.

    Raises:
        InputError: where a GPU is asked for, and this machine has none and starts no cluster.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available and not address:  # a cluster's head may have none
        raise InputError("--device is cuda, but torch sees no GPU here: use --device cpu")
    if device == "auto":
        device = "cuda" if available else "cpu"
    if precision == "auto":
        precision = "bf16" if device == "cuda" else "fp32"
    return device, precision


def _check_graphs(request: Request, device: str) -> None:
    if request.training.graphs and device != "cuda" and not request.optional_graphs:
        raise InputError(
            f"--graphs is for GPUs, but the trials run on {device}: leave it out, or use --device "
            "cuda"
        )


def _warn_of_emulation(device: str, precision: str, address: str | None) -> None:
    """Warn where bfloat16 saves no time; a cluster's other machines are unknown here."""
    if device == "cpu" and precision == "bf16" and not address and not cpu.bfloat16_units():
        echo(
            "warning: this CPU lacks units for bfloat16 (AVX512-BF16, AMX): bf16 rounds as these, "
            "and is no faster than fp32",
            err=True,
        )


def _resources(request: Request, device: str) -> Resources:
    given = request.resources
    gpus = float(device == "cuda") if given.gpus_per_trial is None else given.gpus_per_trial
    return Resources(
        cpus_per_trial=given.cpus_per_trial,
        gpus_per_trial=gpus,
        max_concurrent=given.max_concurrent,
        address=given.address,
        storage=given.storage,
        trial_timeout=given.trial_timeout,
    )


def default_folder(specs: Sequence[TrialSpec]) -> Path:
    """Return the folder of these trials, which depends on the data but not on their path.

    Earlier versions took the path's spelling into account: their folder is used where it exists.
    """
    folder = _folder_named(specs, [spec.id for spec in specs])
    earlier = _folder_named(specs, [plain_id(spec.to_json()) for spec in specs])
    return earlier if earlier.is_dir() and not folder.is_dir() else folder


def _folder_named(specs: Sequence[TrialSpec], ids: Sequence[str]) -> Path:
    digest = hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:8]
    dataset, noise = (text.partition(":")[0] for text in (specs[0].dataset, specs[0].noise_kind))
    return Path("results") / f"{dataset}-{noise}-{digest}"


def check_command() -> None:
    """Refuse words that are no UTF-8: Ray records the command that starts it, and would fail."""
    for word in sys.argv:
        if encodable(word) != word:
            raise InputError(
                f"{word!r} is no UTF-8 in this locale, and Ray does not start with it: rename it, "
                "or set LC_ALL=C.UTF-8"
            )
