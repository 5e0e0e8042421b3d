"""Types of options that hold a path, all of which understand ~.

The shell leaves ~ as it is where it does not begin a word, as in ``--out=~/x``.
"""

import os
from pathlib import Path
from typing import Any

import click

from bench.common.importing import ROOT
from bench.errors import InputError, unknown

#: Reference boards, which a checkout has and an installed wheel lacks.
BOARDS = ROOT / "results" / "reference"


def expanded(path: str) -> str:
    """Replace a leading ~ or ~user by the home folder.

    Raises:
        ValueError: where there is no such user, no home folder is known, or no path is like this.
    """
    if "\0" in path:
        raise ValueError(f"{path!r} holds a null byte, which no path does: leave it out")
    if not path.startswith("~"):
        return path
    full = os.path.expanduser(path)
    if full.startswith("~"):
        user = path.partition("/")[0]
        raise ValueError(
            f"there is no home folder {user!r}: write the whole path, or ./{path} for a name that "
            "begins with ~"
        )
    return full


def reference_board(board: str, option: str) -> Path:
    """Return the folder of a reference board by its name, or a path as it is.

    Args:
        board: the name or path.
        option: option that it comes from, for messages.

    Raises:
        InputError: where there is neither, or this installation has no reference boards.
    """
    if not board:
        raise InputError(
            f"{option} is empty: give a folder, an archive or the name of a reference board"
        )
    if Path(board).exists():
        return Path(board)
    places = {path.parent.name: path.parent for path in BOARDS.glob("*/records.tar.gz")}
    if not places:
        raise InputError(
            f"{option} is {board!r}, but there is no such folder or archive, and this "
            "installation has no reference boards: give the path of a records.tar.gz from "
            "results/reference of the repository"
        )
    if board not in places:
        error = unknown("folder, archive or reference board", board, places)
        raise InputError(f"{option}: {error}")
    return places[board]


class UserPath(click.Path):
    """A file or folder, as a ``Path``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_expand(self, os.fspath(value), param, ctx), param, ctx)


class Place(click.ParamType):
    """A folder, or the address of a store, as text."""

    name = "place"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _expand(self, value, param, ctx)


class NameOrFile(click.ParamType):
    """A name, or a kind and a path as in folder:~/photos."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, path = value.partition(":")
        return f"{kind}{colon}{_expand(self, path, param, ctx)}"


class RecipeName(click.ParamType):
    """Name of a recipe, or tuned-defaults: and a path."""

    name = "recipe"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from bench.common.identity import PAPER, SHARED, TUNED_DEFAULTS  # imports NumPy

        kind, _, path = value.partition(":")
        if value in (SHARED, PAPER) or (kind == TUNED_DEFAULTS and path):
            return NameOrFile().convert(value, param, ctx)
        self.fail(
            f"{value!r} is no recipe: choose {SHARED}, {PAPER} or {TUNED_DEFAULTS}:FILE", param, ctx
        )


def _expand(
    kind: click.ParamType, path: str, param: click.Parameter | None, ctx: click.Context | None
) -> str:
    try:
        return expanded(path)
    except ValueError as error:
        kind.fail(str(error), param, ctx)
