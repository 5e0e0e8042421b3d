"""Types of options that hold numbers, lists or hyper-parameter settings."""

import math
from collections.abc import Sequence
from typing import Any

import click


class Finite(click.FloatRange):
    """A number of a range, without nan and inf, which pass through any range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if not math.isfinite(number := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is no number to count with", param, ctx)
        return number


class CommaList(click.ParamType):
    """Values separated by commas, without repetition; an empty list is an error."""

    name = "list"

    def __init__(self, kind: type = str) -> None:
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        if isinstance(value, list):
            return value
        items = [item.strip() for item in value.split(",")]
        if not all(items):
            where = "is empty" if not any(items) else "has an empty item"
            self.fail(f"the list {where}: give values separated by commas", param, ctx)
        try:
            return list(dict.fromkeys(self.kind(item) for item in items))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers: write for example 0.2,0.5", param, ctx)


def parse_settings(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each hyper-parameter that words such as ``elr.weight=3,7`` set."""
    settings: dict[str, list[str]] = {}
    for word in words:
        key, equals, items = word.partition("=")
        if not equals or not key or not all(item.strip() for item in items.split(",")):
            raise click.BadParameter(
                f"{word!r} is no setting: write part.name=value or part.name=v1,v2"
            )
        if key in settings:
            raise click.BadParameter(f"{key} is set twice: give all its values in one list")
        settings[key] = [item.strip() for item in items.split(",")]
    return settings
