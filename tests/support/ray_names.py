"""Private names of Ray in Python files, found in their syntax trees."""

import ast
import re
from collections.abc import Iterator

#: Variables of the environment that Ray documents for its users.
PUBLIC = {
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_USE_TLS",
}

#: Attributes that Ray's documentation shows of its trials, in callbacks and schedulers.
OF_TRIALS = {"config", "trial_id", "last_result"}

_VARIABLE = re.compile(r"(?:RAY|TUNE)_\w+")


def private_names(source: str) -> Iterator[str]:
    """Yield what a file uses of Ray that is private, as a text with its line.

    That is names with an underscore behind Ray's own, attributes of a ``trial`` beside the
    documented ones, changes of Ray's modules, and variables that Ray does not document.
    """
    tree = ast.parse(source)
    names = set(_names(tree))
    for node in ast.walk(tree):
        for name in _private(node, names):
            yield f"{name} (line {node.lineno})"


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that the file's imports bind to something of Ray."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _of_ray(alias.name):
                    yield alias.asname or "ray"
        elif isinstance(node, ast.ImportFrom) and _of_ray(node.module or ""):
            for alias in node.names:
                yield alias.asname or alias.name


def _of_ray(module: str) -> bool:
    return module.split(".")[0] == "ray"


def _private(node: ast.AST, names: set[str]) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names if _inside(alias.name))
        case ast.ImportFrom(module=str()):
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (path for path in paths if _inside(path))
        case ast.Attribute() if path := _path(node):
            root, *parts = path.split(".")
            changed = not isinstance(node.ctx, ast.Load)
            of_trial = names and root == "trial" and not _shown(parts[0])
            if of_trial or (root in names and (changed or _hidden(parts[-1]))):
                yield path
        case ast.Call() if (_path(node.func) or "").split(".")[0] in names:
            keywords = [keyword.arg or "" for keyword in node.keywords]
            yield from (keyword for keyword in keywords if _hidden(keyword))
        case ast.Call(func=ast.Name(id="getattr" | "setattr" | "delattr")):
            if (_path(node.args[0]) or "").split(".")[0] in {*names, "trial"}:
                yield ast.unparse(node)
        case ast.Constant(value=str(text)):
            if _inside(text) or (_VARIABLE.fullmatch(text) and text not in PUBLIC):
                yield text


def _inside(path: str) -> bool:
    """Return whether a dotted name is one of Ray's with a private part."""
    return bool(re.fullmatch(r"ray(\.\w+)+", path)) and any(map(_hidden, path.split(".")))


def _hidden(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _shown(attribute: str) -> bool:
    """Return whether an attribute of a trial is a documented one, of Ray Tune or of Optuna."""
    return attribute in OF_TRIALS or attribute.startswith("suggest_")


def _path(node: ast.AST) -> str | None:
    """Return the dotted name of attributes of a variable."""
    if isinstance(node, ast.Attribute):
        return f"{path}.{node.attr}" if (path := _path(node.value)) else None
    return node.id if isinstance(node, ast.Name) else None
