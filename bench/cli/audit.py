"""Running of an audit: data, embeddings, trials, files, and what is printed."""

import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench.audit.assemble import assemble
from bench.audit.audit import Audit
from bench.audit.check import Check, check_audit, check_lines
from bench.audit.decisions import Review
from bench.audit.files import SUMMARY, write_files
from bench.audit.images import image_issues
from bench.audit.page import THUMBNAILS, write_page
from bench.audit.pool import Pool, pool_of
from bench.audit.report import headline, report
from bench.audit.reviewed import Reviewed, is_own, unlistable
from bench.audit.samples import own_order, root_of, samples_of, trained_on
from bench.audit.similar import find_similar
from bench.audit.trials import plan_trials, read_judgements
from bench.audit.verdicts import read_verdicts
from bench.cli.audited import LabelOptions, audited
from bench.cli.commands import writable
from bench.cli.network import load_encoder
from bench.cli.plan import check_command, resolve_device
from bench.cli.progress import Display, duration
from bench.cli.terminal import console, echo, line
from bench.common.files import write_atomically
from bench.datasets import Dataset, check_dataset
from bench.datasets.images.cache_folder import keep_library_caches
from bench.embedding import embed
from bench.errors import InputError
from bench.networks.pretrained import Pretrained, is_library_name
from bench.planning.registry import display
from bench.planning.spec import Plan, TrialSpec
from bench.records.trials import check_own, read_begun
from bench.sweep.run import SweepResult, run_sweep
from bench.sweep.work import Resources, Settings

#: Network that embeds images where no option names one, and the side of its input.
NETWORK, SIZE = "timm:tf_efficientnet_lite0.in1k", 160

#: Name of --backbone for pixels as vectors, and the side up to which images are taken so.
PIXELS, TINY = "pixels", 16

#: Folder of the labels without flagged samples.
DROPPED = "dropped"

#: What an audit writes and other commands, or users, write as well.
_FILES = {"report.md", "suspects.csv", "weights.csv", SUMMARY, "tasks.json", "clean.html"}
_WRITTEN = _FILES | {DROPPED, THUMBNAILS}


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    dataset: str
    data_dir: str
    image_size: int | None
    subset: int | None
    noise: float | None
    noise_kind: str | None
    noise_seed: int
    methods: list[str] | None
    seeds: int
    backbone: str | None
    weights: str | None
    network_size: int | None
    views: int
    device: str
    max_concurrent: int | None
    address: str | None
    storage: str | None
    out: Path | None
    check: bool
    reviewed_test: Path | None
    drop_flagged: bool
    no_plots: bool

    @property
    def kind(self) -> str | None:
        """Kind of noise of the audited labels; None where they are as delivered."""
        return self.noise_kind or ("symmetric" if self.noise is not None else None)

    @property
    def of_labels(self) -> LabelOptions:
        """Options that the audited samples and labels depend on."""
        return LabelOptions(
            data_dir=self.data_dir,
            image_size=self.image_size,
            subset=self.subset,
            noise=self.noise,
            noise_kind=self.kind,
            noise_seed=self.noise_seed,
        )


def run_audit(**values: object) -> int:
    """Audit a data set, write all files, and return the exit status."""
    given = Options(**values)  # type: ignore[arg-type]  # click has checked the types
    keep_library_caches()
    check_command()
    check_dataset(given.dataset, given.image_size)
    if given.reviewed_test and not given.check:
        raise InputError("--reviewed-test is for --check: add --check, or leave it out")
    device, precision = resolve_device(given.device, "auto", given.address)
    dataset, labels = audited(given.dataset, given.of_labels)
    _check_names(dataset, given.drop_flagged)
    if given.check and not dataset.knows_truth:
        raise InputError(f"the true labels of {given.dataset} are not known: leave --check out")
    verdicts = _verdicts(given, dataset)
    network, pool = _pool(given, dataset, labels, device)
    training_set = pool.training_set()
    plan = Plan(
        device=device,
        precision="fp32" if training_set.on_vectors else precision,
        overrides=() if training_set.on_vectors else (("backbone", str(given.backbone)),),
    )
    specs = plan_trials(pool, training_set, given.methods or [], given.seeds, plan)
    name = given.dataset.partition(":")[0]
    out = given.out or Path("results") / f"clean-{name}-{pool.samples.data_hash[:8]}"
    _check_folder(out, pool.samples.data_hash, specs[0])
    if given.drop_flagged:
        _check_dropped(out / DROPPED)
    writable(out)
    result = _run(given, specs, training_set, out, device)
    if result.missing or result.failures:
        echo(f"{len(result.missing) + len(result.failures)} trials are missing or failed", err=True)
    audit = assemble(
        pool,
        read_judgements(out, specs, pool),
        find_similar(pool.vectors, network is not None),
        image_issues(dataset),
    )
    check = check_audit(audit, pool, verdicts) if given.check else None
    _write(given, audit, check, dataset, network, out)
    _print(audit, check, out)
    if given.drop_flagged:
        _drop(audit, dataset, out)
    return 1 if result.missing or result.failures else 0


def _check_folder(out: Path, data_hash: str, spec: TrialSpec) -> None:
    """Raise InputError where a folder holds files of something else, or an audit of other labels.

    The folder of an audit that was interrupted has records of trials, but no summary yet.

    Args:
        data_hash: that of the samples.
        spec: a trial of the audit.
    """
    if not out.is_dir():
        return
    if folders := [name for name in sorted(_FILES) if (out / name).is_dir()]:
        raise InputError(
            f"{str(out / folders[0])!r} is a folder, and an audit writes a file of this name: "
            "choose another --out"
        )
    try:
        audited = json.loads((out / SUMMARY).read_text(encoding="utf-8"))["data_hash"]
    except FileNotFoundError:
        trials = [file.spec for _, file, _ in read_begun(out)]
        # Another --backbone changes the hash of the trials' data, and another spelling the name.
        of_this = all(
            trial.get("data_hash") == spec.data_hash or trial.get("dataset") == spec.dataset
            for trial in trials
        )
        if not of_this or (not trials and {path.name for path in out.iterdir()} & _WRITTEN):
            raise InputError(
                f"{str(out)!r} holds files that are not of this audit: choose another --out"
            ) from None
        if not trials:
            check_own(out)
        return
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        audited = None
    if audited != data_hash:
        raise InputError(f"{str(out)!r} holds another audit's files: choose another --out")


def _check_names(dataset: Dataset, drop_flagged: bool) -> None:
    """Warn of names that no list of labels can hold; raise InputError where one is asked for."""
    samples = samples_of(dataset)
    if root_of(dataset) is None or not (sentence := unlistable(samples.names, samples.classes)):
        return
    if drop_flagged:
        raise InputError(sentence)
    warnings.warn(f"decisions on this audit cannot be applied: {sentence}", stacklevel=2)


def _check_dropped(folder: Path) -> None:
    """Raise InputError where --drop-flagged would replace files that are not its own."""
    if os.path.lexists(folder) and not is_own(folder):
        raise InputError(
            f"{str(folder)!r} holds files that --drop-flagged did not write: move it away, or "
            "choose another --out"
        )


def _verdicts(given: Options, dataset: Dataset) -> np.ndarray | None:
    """Return for each test label whether people found it wrong, (M,); None without a file."""
    if given.reviewed_test is None:
        return None
    return read_verdicts(given.reviewed_test, dataset.test_labels)


def _pool(
    given: Options, dataset: Dataset, labels: np.ndarray, device: str
) -> tuple[Pretrained | None, Pool]:
    """Return the frozen network, if images are embedded, and the pool of the audit."""
    backbone = given.backbone
    if backbone is None:
        backbone = PIXELS if dataset.on_vectors or dataset.side <= TINY else NETWORK
    elif dataset.on_vectors:
        raise InputError(f"{given.dataset} holds vectors already: leave --backbone out")
    if not is_library_name(backbone) or given.weights == "none":
        options = {"--weights": given.weights, "--network-size": given.network_size}
        for name, value in (options | {"--views": given.views or None}).items():
            if value is not None and value != "none":
                raise InputError(f"{name} is for timm: and torchvision: networks: leave it out")
        return None, pool_of(dataset, labels, as_vectors=backbone == PIXELS)
    size = given.network_size or (SIZE if given.backbone is None else None)
    network = load_encoder(backbone, given.weights, size, given.views)
    dataset = embed(dataset, network, device=device)
    return network, pool_of(dataset, labels, as_vectors=True)


def _run(
    given: Options, specs: Sequence[TrialSpec], data: Dataset, out: Path, device: str
) -> SweepResult:
    """Run the trials that have no record."""
    names = {spec.id: display(spec.method) for spec in specs}
    with Display(console(), names, names) as progress:
        progress.rates.clear()  # accuracies on the labels that are audited say nothing
        result = run_sweep(
            specs,
            data,
            out,
            command=sys.argv[1:],
            settings=Settings(
                resources=Resources(
                    gpus_per_trial=float(device == "cuda"),
                    max_concurrent=given.max_concurrent,
                    address=given.address,
                    storage=given.storage,
                )
            ),
            observer=progress,
        )
    if result.ran:
        line(console(), f"{result.ran} trials in {duration(result.wall_seconds)}")
    return result


def _write(
    given: Options,
    audit: Audit,
    check: Check | None,
    dataset: Dataset,
    network: Pretrained | None,
    out: Path,
) -> None:
    """Write all files of the audit."""
    facts: dict[str, object] = {"backbone": given.backbone or "default"}
    if network:
        identity = network.network
        facts = {
            "backbone": identity.network,
            "weights": identity.weights,
            "network_size": identity.size,
            "licence": network.licence,
        }
    facts["options"] = asdict(given.of_labels)
    if check:
        facts["check"] = check.to_json()
    write_files(audit, out, facts, own_order(dataset, audit.names))
    figures = {} if given.no_plots else _write_plots(audit, check, out)
    text = report(audit, figures)
    if check:
        text += "\n".join(["", "## Check against the true labels", "", *check_lines(check), ""])
    write_atomically(out / "report.md", text.encode(errors="backslashreplace"))
    write_page(audit, dataset, out)


def _write_plots(audit: Audit, check: Check | None, out: Path) -> dict[str, str]:
    """Draw the figures; return their captions by path."""
    from bench.report.plots.audit import audit_figures
    from bench.report.plots.style import FORMATS, render

    writable(out / "plots")
    reliability = (check.confidence, check.share_wrong, check.counts) if check else None
    figures = audit_figures(audit.transition, audit.classes, reliability)
    captions = {}
    for name, (figure, caption) in figures.items():
        for kind in FORMATS:
            write_atomically(out / "plots" / f"{name}.{kind}", render(figure, kind))
        captions[f"plots/{name}.png"] = caption
    return captions


def _drop(audit: Audit, dataset: Dataset, out: Path) -> None:
    """Write the labels without the flagged samples that are to train on."""
    samples = replace(samples_of(dataset), given=audit.given)
    flagged = np.flatnonzero(audit.flagged & trained_on(dataset, samples)).tolist()
    folder = out / DROPPED
    review = Review({}, frozenset(), frozenset())
    Reviewed(dataset, samples, review, flagged).write(folder, over_own=True)
    echo(f"{len(flagged):,} flagged samples are left out in {folder}")


def _print(audit: Audit, check: Check | None, out: Path) -> None:
    for sentence in [*headline(audit), *(check_lines(check) if check else [])]:
        line(console(), sentence, wrap=True)
    echo(f"suspects and report are in {out}; review them in {out / 'clean.html'}")
