"""Hashes of the code that computes a trial's numbers.

They are no part of a trial's identity: a change of code makes no record invalid. A record's
done.json holds them, so that reports can tell records of different code apart. Comments,
docstrings and layout do not count.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from bench.planning.registry import load_method

#: Name of the harness among the parts of a method.
HARNESS = "harness"

#: Modules that move the numbers of a trial, beside the method's own. Those that only load data are
#: missing: a trial's specification holds the hash of what they load.
NUMERICS = (
    "datasets.dataset",
    "datasets.features",
    "datasets.images.damage",
    "datasets.images.decoding",
    "datasets.images.depth",
    "datasets.images.files",
    "method",
    "networks.augment",
    "networks.auto_augment",
    "networks.backbones",
    "networks.bfloat16",
    "networks.body",
    "networks.cpu",
    "networks.library",
    "networks.lite0",
    "networks.pretrained",
    "networks.rand_augment",
    "networks.timm_networks",
    "networks.torchvision_networks",
    "noise.classifier",
    "noise.corruption",
    "noise.flips",
    "noise.kinds",
    "noise.pixels",
    "noise.spec",
    "ops.losses",
    "ops.mixing",
    "ops.mixmatch",
    "ops.mixtures",
    "ops.neighbours",
    "ops.optimizers",
    "ops.passes",
    "ops.privileges",
    "ops.selection",
    "ops.targets",
    "ops.views",
    "planning.labels",
    "recipe",
    "task.pixels",
    "task.task",
    "task.vectors",
    "training.checkpoint",
    "training.checks",
    "training.data",
    "training.encoders",
    "training.evaluation",
    "training.graphs",
    "training.isolation",
    "training.loop",
    "training.pixels",
    "training.pretrain",
    "training.scoring",
    "training.seeds",
    "training.stream",
    "training.trial",
)

#: Parts of a syntax tree that say nothing of what it computes.
_SILENT = ("ctx", "kind", "type_comment", "type_ignores")


@cache
def code_of(method: str) -> dict[str, str]:
    """Return the hash of the harness and of each part of a method, by name.

    A part is missing where its source cannot be read.
    """
    hashes = {HARNESS: harness_hash()} | {part: _method_hash(part) for part in method.split("+")}
    return {part: value for part, value in hashes.items() if value}


@cache
def harness_hash() -> str:
    """Return the hash of this package's modules that move numbers."""
    return _hash(f"bench.{name}" for name in NUMERICS)


@cache
def _method_hash(part: str) -> str:
    """Return the hash of a method's module and of the modules of its package that it imports."""
    start = load_method(part).__module__
    package, modules, waiting = start.partition(".")[0], set[str](), [start]
    while waiting:
        module = waiting.pop()
        tree = None if module in modules else _tree(module)
        if tree is not None:
            modules.add(module)
            waiting += [
                name for name in _imports(module, tree) if name.partition(".")[0] == package
            ]
    return _hash(sorted(modules)) if modules else ""


def _hash(modules: Iterable[str]) -> str:
    """Return the hash of these modules' syntax; empty where one has no source."""
    digest = hashlib.sha256()
    for module in modules:
        tree = _tree(module)
        if tree is None:
            return ""
        digest.update(f"{module.rpartition('.')[2]}:".encode())
        digest.update("".join(syntax(tree)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:12]


def syntax(node: object) -> Iterator[str]:
    """Spell out a syntax tree, the same in every version of Python.

    Texts that stand alone, such as docstrings, are left out.
    """
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name not in _SILENT and value is not None and value != []:
                yield f" {name}="
                yield from syntax(value)
        yield ";"
    elif isinstance(node, list):
        for item in node:
            if not (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                yield from syntax(item)
    else:
        yield repr(node)


def _tree(module: str) -> ast.Module | None:
    """Return the syntax of a module; None where its source cannot be read."""
    try:
        loaded = sys.modules.get(module)
        spec = None if loaded else importlib.util.find_spec(module)
        path = loaded.__file__ if loaded else spec.origin if spec else None
        return ast.parse(Path(path).read_bytes()) if path and path.endswith(".py") else None
    except (OSError, ValueError, SyntaxError, ImportError):
        return None


def _imports(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module imports: modules, and what it takes from them."""
    package = module if hasattr(sys.modules.get(module), "__path__") else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            owner = ".".join([*above, *([node.module] if node.module else [])])
            yield owner
            yield from (f"{owner}.{alias.name}" for alias in node.names)
