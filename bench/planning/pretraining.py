"""Pretrained encoders that trials need, each named by a hash of what determines it."""

import hashlib
import json
from dataclasses import asdict, dataclass

from bench.common.identity import noise_identity
from bench.errors import InputError
from bench.networks.pretrained import PretrainedNetwork
from bench.planning.spec import TrialSpec, method_for
from bench.recipe import SimSiam
from bench.records.schema import SCHEMA


@dataclass(frozen=True)
class PretrainJob:
    """Encoder to be trained; ``key`` names it in the cache."""

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

    pretrained: PretrainedNetwork | None = None  # that training starts from

    @property
    def key(self) -> str:
        """Content hash."""
        facts = {key: value for key, value in asdict(self).items() if key != "pretrained"}
        if self.pretrained:
            facts["pretrained"] = asdict(self.pretrained)
        content = json.dumps([SCHEMA, facts], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """One line for people."""
        return f"SimSiam, {self.settings.epochs} epochs · seed {self.seed}"


def pretrain_job(spec: TrialSpec) -> PretrainJob | None:
    """Return the encoder that the trial's method needs, or None.

    Raises:
        InputError: where the parts of the method need different ones.
    """
    settings = {s for part in method_for(spec).parts() if (s := part.pretraining())}
    if len(settings) > 1:
        raise InputError(
            f"the parts of {spec.method} ask for different pretrained encoders: choose one of them"
        )
    return job_for(spec, settings.pop()) if settings else None


def job_for(spec: TrialSpec, settings: SimSiam) -> PretrainJob:
    """Return the encoder of these settings for a trial's images."""
    openset = None
    if spec.noise_spec.replaces_images:
        kind = noise_identity(spec.noise_kind, None)
        openset = (kind, spec.noise_rate, spec.noise_seed, spec.noise_sampling)
    return PretrainJob(
        settings=settings,
        data_hash=spec.data_hash,
        backbone=spec.recipe.backbone,
        augmentation=spec.recipe.augmentation,
        seed=spec.train_seed,
        device=spec.device,
        precision=spec.precision,
        threads=spec.threads,
        openset=openset,
        pretrained=spec.pretrained,
    )
