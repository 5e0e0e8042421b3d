"""Trial specifications: frozen, with a content hash, and all that a trial's result depends on."""

import contextlib
import itertools
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import msgspec

from bench.common.identity import PAPER, SHARED, neutral_values, trial_id, without_neutral
from bench.datasets import Dataset
from bench.errors import InputError, unknown
from bench.method import Method
from bench.networks.backbones import check_backbone
from bench.networks.pretrained import PretrainedNetwork, is_library_name
from bench.noise import SAMPLINGS, NoiseSpec, check_noise, check_rate, fingerprint, takes_rate
from bench.planning.inputs import check_input
from bench.planning.registry import (
    Scalar,
    build,
    canonical,
    changes,
    convert,
    display,
    load_method,
    method_names,
    neutral_hparams,
    resolve,
    split_name,
)
from bench.planning.searches import SEARCH
from bench.recipe import (
    HEADS,
    RECIPE_FIELDS,
    Recipe,
    default_recipe,
    finetune_recipe,
    head_recipe,
    paper_recipe,
)
from bench.records.schema import SpecFile, Specification

#: Fields of a specification that are mappings themselves.
_NESTED = ("recipe", "hparams", "pretrained")

DEVICES = ("cpu", "cuda")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class TrialSpec(Specification[Recipe, PretrainedNetwork]):
    """Specification of one trial, checked.

    Equal specifications give equal records, to the bit on one machine's CPU. ``id`` is a hash of
    all fields, with content in place of paths: see ``bench.common.identity``.
    """

    # None in imported trials alone, which are no trial to run.
    validation_share: float
    threads: int

    def __post_init__(self) -> None:
        for name, allowed in (
            ("device", DEVICES),
            ("precision", PRECISIONS),
            ("noise_sampling", SAMPLINGS),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}: choose from {', '.join(allowed)}"
                )
        if self.threads < 1:
            raise InputError(f"a trial has {self.threads} threads: give at least 1")
        for name in ("noise_seed", "split_seed", "train_seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a whole number from 0")
        if not 0 < self.validation_share < 1:
            raise InputError(
                f"validation_share is {self.validation_share:g}: give a number between 0 and 1"
            )
        if not 0 <= self.told < math.inf:
            raise InputError(
                f"the noise rate is told times {self.told:g}: give a number of at least 0"
            )
        check_rate(self.noise_kind, self.noise_rate)  # the kind's file is read once, by the plan

    @cached_property
    def id(self) -> str:
        """Name of the trial's folder."""
        return trial_id(self.to_json())

    @property
    def noise_spec(self) -> NoiseSpec:
        """Label noise as one value."""
        return NoiseSpec(
            self.noise_kind, self.noise_rate, self.noise_seed, self.noise_sampling, self.noise_hash
        )

    @property
    def noise(self) -> str:
        """Kind and rate, for people."""
        return (
            self.noise_kind if self.noise_rate is None else f"{self.noise_kind} {self.noise_rate:g}"
        )

    @property
    def label(self) -> str:
        """One line for people."""
        settings = "".join(
            f" {key}={value}" for key, value in changes(self.method, self.hparams).items()
        )
        told = "" if self.told == 1 else f" · told {self.told:g} × the rate"
        why = "search" if self.is_search else f"seed {self.train_seed}"
        return f"{display(self.method)}{settings} · {self.noise}{told} · {why}"

    @property
    def is_search(self) -> bool:
        """True for a trial of a search, which is no row of a leaderboard."""
        return self.stage.startswith(SEARCH)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as in ``spec.json``.

        A field at its default is left out, and so is a younger field of the method or the
        recipe (``bench.common.identity.added``) where it is neutral: a field added later changes no
        earlier trial's id.
        """
        values = asdict(self)
        for field in fields(self):
            if field.default is not MISSING and values[field.name] == field.default:
                del values[field.name]
        if self.pretrained:
            values["pretrained"] = msgspec.to_builtins(self.pretrained)
        values["recipe"]["milestones"] = list(self.recipe.milestones)
        values["recipe"] = without_neutral(values["recipe"], neutral_values(Recipe))
        values["hparams"] = without_neutral(values["hparams"], neutral_hparams(self.method))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "TrialSpec":
        """Return the specification that ``to_json`` wrote, all of it checked again.

        Raises:
            InputError: where it is none, or has a field that this version does not know.
        """
        try:
            if "imported" in values:
                raise InputError(
                    "this trial is imported: other people ran it, and its settings are not on "
                    "record; run its method with python -m bench.run"
                )
            _refuse_unknown(values, [field.name for field in fields(cls)], "")
            _refuse_unknown(values["recipe"], RECIPE_FIELDS, "recipe.")
            recipe = _recipe_fields({**neutral_values(Recipe), **values["recipe"]})
            hparams = {**neutral_hparams(values["method"]), **values["hparams"]}
            plain = {
                key: value if key in _NESTED else _converted(cls, key, value)
                for key, value in values.items()
            }
            if network := values.get("pretrained"):
                plain["pretrained"] = msgspec.convert(network, PretrainedNetwork)
            spec = cls(
                **{
                    **plain,
                    "recipe": Recipe(**recipe),
                    "method": canonical(values["method"]),
                    "hparams": resolve(values["method"], hparams),
                }
            )
            check_backbone(spec.recipe.backbone)
        except (TypeError, KeyError, AttributeError, msgspec.ValidationError) as error:
            raise InputError(
                f"this is no trial specification ({error}): take one from a sweep's "
                "trials/*/spec.json"
            ) from error
        return spec


def _refuse_unknown(values: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    if surplus := sorted(values.keys() - set(known)):
        raise InputError(
            f"the specification has {prefix}{surplus[0]}, which this version does not know: run "
            "the trial with the version that wrote it"
        )


#: Types of the fields of a class, each read once: an archive has thousands of specifications.
_hints = cache(typing.get_type_hints)


def _converted(owner: type, name: str, value: Any) -> Any:
    hints = _hints(owner)
    # The constructor refuses names that are no fields.
    return convert(name, value, hints[name]) if name in hints else value


def _recipe_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value if key == "milestones" else _converted(Recipe, key, value)
        for key, value in values.items()
    }


def _changed(recipe: Recipe, overrides: Mapping[str, Any]) -> str:
    """Return the overrides that change a recipe, as text."""
    return "".join(
        f", {key}={value}"
        for key, value in sorted(overrides.items())
        if getattr(recipe, key) != value
    )


def record_of(spec: TrialSpec) -> SpecFile:
    """Return the content of a trial's spec.json."""
    return SpecFile(spec=spec.to_json(), config=changes(spec.method, spec.hparams))


def method_for(spec: TrialSpec) -> Method:
    """Return the trial's method, not yet set up, with the recipe in each of its parts."""
    method = build(spec.method, spec.hparams)
    for part in method.parts():
        part.recipe = spec.recipe
    return method


def grace_of(spec: TrialSpec) -> int:
    """Return the number of epochs of warm-up, before which a trial is not judged."""
    return min(max(part.grace() for part in method_for(spec).parts()), spec.recipe.epochs - 1)


def relative_cost(spec: TrialSpec) -> float:
    """Return the rough time of an epoch, in epochs of plain cross-entropy.

    It follows from the passes that the parts of the method declare.
    """
    passes = [load_method(part).passes for part in split_name(spec.method)]
    # a backward pass takes twice a forward one
    return sum(trained + inferred / 3 for trained, inferred in passes)


def expand_hparams(
    methods: Sequence[str],
    axes: Mapping[str, Sequence[str]],
    settings: Mapping[str, Sequence[str]],
    tuned: Mapping[str, Mapping[str, Scalar]] | None = None,
) -> list[tuple[str, dict[str, Scalar]]]:
    """Return all configurations to run, as (canonical method, hyper-parameters), each once.

    Args:
        axes: the sweep's axes, such as {"k": ["1", "4"]}. Each goes to every part that has it, the
            same value to all.
        settings: "part.name" -> values, for the methods that have the part.
        tuned: settings in place of defaults, by canonical method; axes and settings replace them.

    Raises:
        InputError: where an axis or a setting fits none of the methods.
    """
    names = list(dict.fromkeys(canonical(name) for name in methods))
    parts = {part for name in names for part in split_name(name)}
    for axis, values in axes.items():
        if values and not any(axis in load_method(part).axes for part in parts):
            raise InputError(
                f"--{axis} is given, but none of {', '.join(map(display, names))} has that axis: "
                "leave it out"
            )
    for key in settings:
        part, dot, _ = key.partition(".")
        if not dot:
            raise InputError(f"--set {key} names no part: write method.{key}=value")
        if part not in parts:
            raise unknown("part among the requested methods", part, parts)
    configurations = {}
    for name in names:
        choices: list[list[dict[str, str]]] = []
        for axis, values in axes.items():
            keys = [
                f"{p}.{load_method(p).axes[axis]}"
                for p in split_name(name)
                if axis in load_method(p).axes
            ]
            if keys and values:
                if repeated := sorted(settings.keys() & set(keys)):
                    raise InputError(f"{repeated[0]} is set by --{axis} and by --set: use either")
                choices.append([dict.fromkeys(keys, value) for value in values])
        for key, values in settings.items():
            if key.partition(".")[0] in split_name(name):
                choices.append([{key: value} for value in values])
        for choice in itertools.product(*choices):
            chosen = {key: value for assignment in choice for key, value in assignment.items()}
            hparams = resolve(name, {**(tuned or {}).get(name, {}), **chosen})
            configurations[name, json.dumps(hparams)] = (name, hparams)
    return list(configurations.values())


def misspecified(specs: Sequence[TrialSpec], factors: Sequence[float]) -> list[TrialSpec]:
    """Return the trials, with one for each factor of those whose method reads the noise rate.

    Args:
        factors: factors on the noise rate that the method reads.

    Raises:
        InputError: where no method reads the rate, or a factor makes it 1 or more.
    """
    trials = []
    for spec in specs:
        reads = reads_rate(spec.method, spec.hparams)
        for factor in factors if reads else [1.0]:
            if spec.noise_rate is not None and spec.noise_rate * factor >= 1:
                raise InputError(
                    f"--misspecify {factor:g} at noise {spec.noise_rate:g} tells "
                    f"{display(spec.method)} a rate of {spec.noise_rate * factor:g}: give smaller "
                    "factors"
                )
            trials.append(replace(spec, told=float(factor)))
    if not any(reads_rate(spec.method, spec.hparams) for spec in specs):
        names = list(dict.fromkeys(spec.method for spec in specs))
        settings = [key for name in method_names() for key in _rate_settings(name)]
        raise InputError(
            f"--misspecify is given, but none of {', '.join(map(display, names))} reads the noise "
            "rate: add a method that does, as "
            f"{' or '.join(f'--set {key}=oracle' for key in settings) or 'none here can'}"
        )
    return trials


def reads_rate(method: str, hparams: Mapping[str, Scalar]) -> bool:
    """Return whether the method reads the true noise rate with these hyper-parameters."""
    return any("noise_rate" in part.privileges for part in build(method, hparams).parts())


def _rate_settings(method: str) -> list[str]:
    """Return the hyper-parameters whose value "oracle" makes the method read the noise rate."""
    settings = []
    with contextlib.suppress(InputError):  # a broken method has none to offer
        for key in resolve(method, {}):
            with contextlib.suppress(InputError):  # "oracle" is no value of this setting
                if reads_rate(method, {key: "oracle"}):
                    settings.append(key)
    return settings


class Seeds(NamedTuple):
    """Seeds of a sweep's replicas."""

    replicas: Sequence[int]  # each sets noise, split and training of one replica
    noise: int | None = None  # the same noise in every replica
    split: int | None = None  # the same split in every replica


@dataclass(frozen=True)
class Plan:
    """Properties that all trials of a sweep share."""

    subset: int | None = None
    image_size: int | None = None
    noise_kind: str = "symmetric"
    noise_sampling: str = "exact"
    recipe: str = SHARED
    overrides: tuple[tuple[str, Any], ...] = ()  # fields of the recipe
    validation_share: float = 0.1
    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 1
    graphs: bool = False
    pretrained: PretrainedNetwork | None = None
    head: str | None = None  # of trials on vectors; by default "mlp"

    def specs(
        self,
        data: Dataset,
        configurations: Sequence[tuple[str, dict[str, Scalar]]],
        rates: Sequence[float | None],
        seeds: Sequence[int],
        noise_seed: int | None = None,
        split_seed: int | None = None,
    ) -> list[TrialSpec]:
        """Return all trials, seed by seed: early results of a sweep already compare every method.

        Args:
            configurations: pairs of canonical method and hyper-parameters.
            rates: noise rates, None for noise that came with the data.
            seeds: each sets noise, split and training of its replica.
            noise_seed: the same noise in every replica.
            split_seed: the same split in every replica.

        Raises:
            InputError: where the recipe, the noise or a method refuses the plan.
        """
        if self.recipe not in (SHARED, PAPER):
            raise unknown("recipe", self.recipe, [SHARED, PAPER])
        for key, _ in self.overrides:
            if key not in RECIPE_FIELDS:
                raise unknown("field of the recipe", key, RECIPE_FIELDS)
        self._check_noise(data, rates)
        if not takes_rate(self.noise_kind):
            rates = [None]  # a rate of 0 for clean labels says nothing
        overrides = _recipe_fields(dict(self.overrides))  # 1 for 1.0 would be another trial
        recipes = [self.recipe_of(data, name, hparams) for name, hparams in configurations]
        pairs = list(zip(configurations, recipes, strict=True))
        specs = []
        for seed, ((name, hparams), planned), rate in itertools.product(seeds, pairs, rates):
            recipe = planned.override(overrides)
            check_backbone(recipe.backbone)
            check_input(recipe, data.on_vectors, self.pretrained)
            specs.append(
                TrialSpec(
                    method=name,
                    hparams=hparams,
                    dataset=data.name,
                    data_hash=data.content_hash,
                    subset=self.subset,
                    image_size=self.image_size,
                    noise_kind=self.noise_kind,
                    noise_hash=self._noise_hash,
                    noise_rate=None if rate is None else float(rate),
                    noise_sampling=self.noise_sampling,
                    noise_seed=seed if noise_seed is None else noise_seed,
                    split_seed=seed if split_seed is None else split_seed,
                    train_seed=seed,
                    validation_share=self.validation_share,
                    protocol=self.recipe + _changed(planned, overrides),
                    recipe=recipe,
                    device=self.device,
                    precision=self.precision,
                    threads=self.threads,
                    graphs=self.graphs,
                    pretrained=self._network_of(recipe),
                )
            )
        return specs

    @cached_property
    def _noise_hash(self) -> str | None:
        return fingerprint(self.noise_kind)

    @cached_property
    def _checked(self) -> set[tuple[str, float | None]]:
        """Content hashes of data sets, and rates, that the noise was checked with."""
        return set()

    def _check_noise(self, data: Dataset, rates: Sequence[float | None]) -> None:
        """Check the noise once for each data set and rate: a search plans trial by trial."""
        for rate in rates:
            if (data.content_hash, rate) not in self._checked:
                check_noise(self.noise_kind, rate, data)
                self._checked.add((data.content_hash, rate))

    def _network_of(self, recipe: Recipe) -> PretrainedNetwork | None:
        """Return the pretrained network of a recipe.

        By the recipes of papers, some trials of a sweep may start from it, and others, of another
        backbone, from random weights.
        """
        network = self.pretrained
        starts = network and (network.frozen or is_library_name(recipe.backbone))
        return network if starts else None

    def recipe_of(self, data: Dataset, name: str, hparams: Mapping[str, Scalar]) -> Recipe:
        """Return the recipe of a configuration, which is checked on the way, without overrides."""
        privileges = {fact for part in build(name, hparams).parts() for fact in part.privileges}
        if privileges and not data.knows_truth:
            raise InputError(
                f"{display(name)} reads {', '.join(sorted(privileges))}, which nobody knows of "
                f"{data.name}: use other settings"
            )
        network = self.pretrained
        if data.on_vectors or (network and network.frozen):
            if self.recipe == PAPER:
                raise InputError(
                    "no paper's recipe is for a head on vectors: leave --recipe paper out"
                )
            return head_recipe(self.head or HEADS[0])
        recipe = default_recipe(data.name, data.side, len(data.train_labels))
        if network and self.recipe != PAPER:
            return finetune_recipe(network.network, recipe)
        if self.recipe != PAPER:
            return recipe
        base = split_name(name)[-1]
        method = load_method(base)
        paper = method.papers.get(data.name, method.paper)
        return paper_recipe(base, _recipe_fields(paper), recipe)
