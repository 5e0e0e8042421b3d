"""Command ``python -m bench.study``: several sweeps that answer one question together."""

import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli import options
from bench.cli.commands import Command, execute
from bench.cli.run import run
from bench.cli.terminal import echo
from bench.common.importing import module_command
from bench.errors import InputError, unknown
from bench.planning.registry import (
    REFERENCE,
    estimated_settings,
    load_method,
    method_names,
)


@dataclass(frozen=True)
class Study:
    """A question, and the sweeps that answer it."""

    question: str
    # arguments of python -m bench.run, without --out; words in capitals: see _with_names
    sweeps: tuple[str, ...]
    seeds: int | None = None  # where the command line gives none
    # two variants to compare, each as its folder and its further arguments
    sides: tuple[tuple[str, str], ...] = ()
    # all sweeps with one seed, then all with two: an interrupted study has compared every method;
    # methods of the user's choice, which are few, get all seeds at once
    by_seed: bool = False
    ray: bool = True  # False: one trial after the other, in this process


_ALL = "--methods METHODS"

#: Privileged methods without their privileges, with estimates in place of fixed defaults, and with
#: their privileges.
_VARIANTS = (
    "--methods PRIVILEGED",
    "--methods ESTIMATING ESTIMATES",
    "--methods PRIVILEGED ORACLES",
)

#: Fashion-MNIST without crops and flips, with which cross-entropy memorises 4 % of the wrong
#: labels alone, so that nothing is left to repair.
_FASHION = (
    "--dataset fashion_mnist --image-size 14 --subset 4000 --noise 0.5 "
    "--set recipe.augmentation=none --epochs 20"
)

#: One method of each family: a plain loss, targets that follow predictions, neighbours, mixtures,
#: relations to an encoder.
_FAMILIES = "--methods ce,elr,softmix,divide_mix,rmd"

#: The same with two plain losses more, of which one fits targets to each sample.
_SEVEN = "--methods ce,elr,gce,softmix,rmd,divide_mix,sop"

#: Heads on features of CIFAR-10, each image embedded once. No method is left out: an MLP head
#: takes all of them. Strong views are dropout there, and the teacher of ``rmd`` is the features
#: themselves. After 10 epochs ``ce`` has memorised 9 of 10 wrong labels; a trial takes 10 seconds
#: of a core, so that a new method's thirty (six cells, five seeds) are a matter of minutes.
_FEATURES = (
    f"--dataset cifar10n {_ALL} --freeze --backbone timm:tf_efficientnet_lite0.in1k "
    "--network-size 160 --head mlp --epochs 10 --precision bf16 --no-plots"
)

STUDIES = {
    "sanity": Study(
        "does every method do its work: digits without noise, at 50 and 80 % symmetric, at 40 % "
        "asymmetric noise",
        (f"{_ALL} --noise 0,0.5,0.8", f"{_ALL} --noise-kind asymmetric --noise 0.4"),
    ),
    "sanity-fashion": Study(
        "the same on 4,000 images of Fashion-MNIST at 14x14, at 50 % symmetric noise",
        (f"{_ALL} {_FASHION}",),
    ),
    "softmix-neighbours": Study(
        "how many neighbours, where they come from, and which mixture weighs them (digits, 50 %)",
        (
            "--methods softmix --noise 0.5 --k 1,2,4,8 --set softmix.scope=batch,dataset",
            "--methods softmix --noise 0.5 --set softmix.mixture=gmm,bmm",
        ),
    ),
    "rmd-hosts": Study(
        "what relation distillation adds to each method that it can wrap (digits, 50 %)",
        ("--methods HOSTS --noise 0.5",),
    ),
    "rmd-parts": Study(
        "which relation, how strong, at which temperature, over how many neighbours, with how much "
        "pretraining (digits, 50 %)",
        (
            "--methods rmd --noise 0.5 --weight 1,10,30,100 --set rmd.relation=kl,ega,rkd",
            "--methods rmd --noise 0.5 --temperature 0.1,0.5,1 --k 0,4,16",
            "--methods rmd --noise 0.5 --set rmd.node_weight=0,1 --set rmd.edge_weight=0,0.3,1",
            "--methods rmd --noise 0.5 --set rmd.pretrain_epochs=0,80,800",
        ),
    ),
    "features": Study(
        "what wrong labels do to features, drawn by true and by noisy label (digits, 50 %)",
        (f"{_FAMILIES} --noise 0.5 --save-features",),
    ),
    "privileges": Study(
        "what it is worth to know the noise, to methods that can read it, and what an estimate of "
        "it is worth (digits, 50 % symmetric and 40 % asymmetric)",
        tuple(
            f"{each} {noise}"
            for noise in ("--noise 0.5", "--noise-kind asymmetric --noise 0.4")
            for each in _VARIANTS
        ),
    ),
    "precision": Study(
        "what bfloat16 does to accuracy: five methods on digits, two on 4,000 images of "
        "Fashion-MNIST, five seeds (50 %)",
        (f"{_FAMILIES} --noise 0.5", f"--methods ce,softmix {_FASHION}"),
        seeds=5,
        sides=(("fp32", "--precision fp32"), ("bf16", "--precision bf16")),
    ),
    "cifar10n-features": Study(
        "who wins under people's own errors, and who under synthetic noise: all methods on frozen "
        "features of CIFAR-10N, five seeds",
        (
            f"{_FEATURES} --noise-kind human-worst",
            f"{_FEATURES} --noise-kind human-aggregate",
            f"{_FEATURES} --noise-kind human-random1",
            f"{_FEATURES} --noise-kind symmetric --noise 0.5,0.8",
            f"{_FEATURES} --noise-kind asymmetric --noise 0.4",
        ),
        seeds=5,
        by_seed=True,
    ),
    "cifar10n-pixels": Study(
        "the same question on the pixels of CIFAR-10N: seven methods from scratch with a small "
        "network, two seeds, in about four hours of two CPU cores",
        tuple(
            f"--dataset cifar10n {_SEVEN} --noise-kind {kind} --backbone small_cnn --epochs 10 "
            "--precision bf16 --no-plots"
            for kind in ("human-worst", "human-aggregate")
        ),
        seeds=2,
        by_seed=True,
    ),
    "cifar10n-resnet18": Study(
        "the same five families on the pixels of CIFAR-10N, from scratch, in ten minutes of a GPU",
        (
            f"--dataset cifar10n {_FAMILIES} --noise-kind human-worst --backbone resnet18 "
            "--epochs 15 --device cuda --no-plots",
        ),
        seeds=1,
        ray=False,
    ),
}


#: Study with options of its own, which runs no sweeps; see audit_study.py.
AUDIT = "audit"
_AUDIT_QUESTION = (
    "how well does bench.clean find wrong labels, beside cleanlab's scores, SimiFeat and votes "
    "of neighbours (digits, 20 %)"
)


@click.command(cls=Command, name="study")
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("more", metavar="[OPTIONS OF BENCH.RUN]...", nargs=-1, type=click.UNPROCESSED)
@options.out("results/study-NAME", help="Folder of the study's sweeps and tables.")
def study(name: str | None, more: tuple[str, ...], out: Path | None) -> None:
    """Run a study, or list all studies. The same command again runs only what is missing.

    A study that compares two variants makes a sweep of each, and compares them in compare.md.
    Options after -- go to every sweep, and replace those of the study, as in: python -m bench.study
    sanity -- --seeds 1
    """
    if name is None:
        width = max(map(len, STUDIES))
        for key, listed in STUDIES.items():
            echo(f"{key:{width}}  {listed.question}")
        echo(f"{AUDIT:{width}}  {_AUDIT_QUESTION}")
        return
    if name not in (*STUDIES, AUDIT):
        raise unknown("study", name, [*STUDIES, AUDIT])
    out = out or Path("results") / f"study-{name}"
    if name == AUDIT:
        from bench.cli.audit_study import run_audit_study

        run_audit_study(more, out)
        return
    chosen = STUDIES[name]
    _, given = _options(more)
    if "--methods" in given:
        chosen = replace(chosen, by_seed=False)
    sweep = _run if chosen.ray else _run_here
    status = 0
    for arguments, folder in _sweeps(chosen, more):
        status = max(status, sweep("bench.run", [*arguments, "--out", str(out / folder)]))
    # A --dry-run makes no folders.
    if chosen.sides and all((out / folder).is_dir() for folder, _ in chosen.sides):
        first, second = (str(out / folder) for folder, _ in chosen.sides)
        status = max(status, _run("bench.report", [first, "--compare", second, "--out", str(out)]))
    if chosen.by_seed and not {"--dry-run", "--no-plots"} & {*more}:
        status = max(status, _run("bench.report", [str(out)]))
    sys.exit(status)


def _options(more: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
    """Return the user's values by parameter, and the names of options that replace a study's."""
    context = click.Context(run)
    values, _, params = run.make_parser(context).parse_args([*more])
    if "seeds" in values:
        [seeds] = [param for param in run.params if param.name == "seeds"]
        values["seeds"] = seeds.type_cast_value(context, values["seeds"])
        if values["seeds"] < 1:
            raise InputError(f"--seeds is {values['seeds']}: give at least 1")
    return values, {name for param in params if not param.multiple for name in param.opts}


def _sweeps(chosen: Study, more: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the arguments of each sweep, without --out, and its folder.

    Args:
        more: options of the user, which replace those of the study.
    """
    values, given = _options(more)
    seeds = values.get("seeds") or chosen.seeds or 0
    counts: Iterable[int] = [seeds]
    if chosen.by_seed:
        # A dry run lists the trials of all seeds at once.
        counts = [seeds] if "--dry-run" in more else range(1, seeds + 1)
    for count in counts:
        number = ["--seeds", str(count)] if count else []
        for folder, further in chosen.sides or ((".", ""),):
            for sweep in chosen.sweeps:
                named = _with_names(sweep, values.get("methods"))
                if named is None:
                    continue
                words = shlex.split(f"{named} {further}")
                words = [*_without(words, given), *number, *_without(more, {"--seeds"})]
                yield words, folder


def _without(words: Iterable[str], names: Collection[str]) -> list[str]:
    """Return the words of a command line without these options and their values."""
    rest, dropped = [], False
    for word in words:
        if word.startswith("--"):
            dropped = word.partition("=")[0] in names
        if not dropped:
            rest.append(word)
    return rest


def _run(module: str, arguments: Sequence[str]) -> int:
    echo(f"python -m {module} {shlex.join(arguments)}")
    status = subprocess.run([*module_command(module), *arguments]).returncode
    if status < 0:  # a signal ended it
        sys.exit(128 - status)
    if status > 1:  # 1: trials failed, which is a result
        sys.exit(status)
    return status


def _run_here(module: str, arguments: Sequence[str]) -> int:
    from bench.cli.serial import run_serially

    echo(f"without Ray: python -m {module} {shlex.join(arguments)}")
    return run_serially(arguments)


def _with_names(arguments: str, methods: str | None = None) -> str | None:
    """Replace words in capitals by names of methods and their settings.

    METHODS are all methods, HOSTS those that can be wrapped, bare and wrapped, PRIVILEGED those
    that can read the truth, and ORACLES the settings with which they do. ESTIMATING are methods
    with a fixed default that can be estimated, ESTIMATES the settings.

    Args:
        methods: the user's, which take the place of the study's: settings are theirs alone.

    Returns:
        The arguments; None where the settings in them are of none of the user's methods.
    """
    from bench.method import Wrapper, takes_own_steps

    classes = {}
    for method in method_names():
        try:
            classes[method] = load_method(method)
        except InputError as error:  # a broken method file stops no study
            echo(f"warning: {method} is left out: {error}", err=True)
    bases = [method for method, cls in classes.items() if not issubclass(cls, Wrapper)]
    wrappers = [method for method in classes if method not in bases]
    hosts = [base for base in bases if not takes_own_steps(classes[base])]
    wrapped = [f"{wrapper}+{host}" for wrapper in wrappers for host in hosts]
    if not bases:
        raise InputError("there are no methods to study: put some into methods/")
    estimates = {method: estimated_settings(method) for method in classes}
    parts = set(classes) if methods is None else {*re.split(r"[,+\s]+", methods)}
    words = {
        "METHODS": ",".join(method for method in [*bases, *wrappers] if method != REFERENCE),
        "HOSTS": ",".join([*hosts, *wrapped]),
        "PRIVILEGED": ",".join(method for method, cls in classes.items() if cls.oracles),
        "ORACLES": " ".join(
            f"--set {method}.{name}=oracle"
            for method, cls in classes.items()
            if method in parts
            for name in cls.oracles
        ),
        "ESTIMATING": ",".join(method for method, names in estimates.items() if names),
        "ESTIMATES": " ".join(
            f"--set {method}.{name}=estimate"
            for method, names in estimates.items()
            if method in parts
            for name in names
        ),
    }
    named = arguments.split(" ")
    if any(word in ("ORACLES", "ESTIMATES") and not words[word] for word in named):
        return None
    return " ".join(words.get(word, word) for word in named)


main = partial(execute, study)
