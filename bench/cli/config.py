"""A sweep as a file: the options of ``python -m bench.run`` in YAML, or a sweep's sweep.json.

Values are read as the words that they are written in, so that ``epochs: 010`` or ``out: no`` mean
in a file what they mean on the command line, whose types then check them.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from bench.cli.values import CommaList
from bench.errors import InputError, first_line, unknown

_TRUE_OR_FALSE = ("true", "false", "yes", "no", "on", "off")

#: Parameters that only list names, and are no part of a sweep.
_LISTS = ("list_what", "list_format")

#: Keys of a sweep.json, which no file of options has.
_RECORD = ("schema", "runs")


def read_config(ctx: click.Context, path: Path) -> None:
    """Make the options of the file the defaults of the command.

    Raises:
        InputError: where the file cannot be read, or an option has no such name or value.
    """
    try:
        content = _parse(path)
        ctx.default_map = _words(ctx, _options(ctx, content))
    except InputError as error:
        raise InputError(f"--config {str(path)!r}: {error}") from error


def _parse(path: Path) -> Any:
    """Return the content of a YAML or JSON file, all scalars as text but null."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror}): give a YAML file") from error
    except UnicodeDecodeError:
        raise InputError("the file is no text in UTF-8: save it as UTF-8") from None
    return _parse_json(text) if text.lstrip().startswith("{") else _parse_yaml(text)


def _parse_json(text: str) -> Any:
    """Parse JSON by its own rules: YAML has no pairs of surrogates."""
    try:
        return json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_mapping
        )
    except json.JSONDecodeError:
        return _parse_yaml(text)  # a mapping that YAML, too, writes in braces
    except RecursionError:
        raise _nested() from None


def _parse_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Loader that resolves no type but null, and refuses a key that is given twice."""

        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            pairs = [
                (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
                for key, value in node.value
            ]
            return _mapping(pairs)

    try:
        return yaml.load(text, Loader)
    except InputError:
        raise
    except yaml.constructor.ConstructorError as error:
        raise InputError(
            f"the file is not valid YAML: {error.problem}{_line(error)}: write plain texts, lists "
            "and mappings, without tags and references to themselves"
        ) from error
    except yaml.MarkedYAMLError as error:
        # "expected a single document in the stream", "but found another document"
        context = f"{error.context}, " if str(error.problem).startswith("but ") else ""
        raise InputError(
            f"the file is not valid YAML: {context}{error.problem}{_line(error)}: write each "
            "option on its own line, as epochs: 10"
        ) from error
    except RecursionError:
        raise _nested() from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(
            f"the file is not valid YAML: {first_line(error)}: save it as plain text"
        ) from error


def _line(error: Any) -> str:
    return f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""


def _nested() -> InputError:
    return InputError("the file is nested too deeply: write each option as name: value")


def _mapping(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise InputError(f"{key!r} is no name of an option: write name: value")
        if key in mapping:
            raise InputError(f"{key!r} is given twice: give it once")
        mapping[key] = value
    return mapping


def _options(ctx: click.Context, content: Any) -> dict[str, Any]:
    """Return the options of a file: of a sweep.json those of the last run."""
    if not isinstance(content, dict):
        raise InputError("the file holds no options: write each on its own line, as epochs: 10")
    if "imported" in content and "schema" in content:
        raise InputError(
            "the trials of this sweep.json are imported, and no command can run them again: write "
            "the options of a sweep to a YAML file"
        )
    if not all(key in content for key in _RECORD):
        return content
    options, command = content.get("options"), content.get("command")
    if isinstance(options, dict):
        return options
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise InputError(
            "the sweep.json is damaged: it names neither options nor command; write the options "
            "to a YAML file"
        )
    # Earlier versions wrote the command alone.
    values, _, params = ctx.command.make_parser(ctx).parse_args([*command])
    return {param.opts[0]: values[param.name] for param in params}


def _words(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options by parameter name, each as words of a command line that click accepts."""
    params = {
        param.opts[0].removeprefix("--"): param
        for param in ctx.command.get_params(ctx)
        if isinstance(param, click.Option) and param.expose_value and param.name not in _LISTS
    }
    words: dict[str, Any] = {}
    for key, value in options.items():
        name = key.removeprefix("--").replace("_", "-")
        if name not in params:
            raise unknown("option", key, params)
        param = params[name]
        if param.name in words:
            raise InputError(f"{name} is given twice: give it once")
        if value is None:  # such an option keeps its default
            continue
        words[str(param.name)] = _words_of(param, name, value)
        try:
            param.process_value(ctx, words[str(param.name)])
        except click.BadParameter as error:
            raise InputError(f"{name}: {error.message}") from error
    return words


def _words_of(param: click.Option, name: str, value: Any) -> Any:
    if param.multiple:
        return _settings(name, value)
    if isinstance(value, list):
        if not isinstance(param.type, CommaList):
            raise InputError(f"{name} is a list: give one value")
        return ",".join(_text(name, item) for item in value)
    text = _text(name, value)
    if param.is_flag and text.lower() not in _TRUE_OR_FALSE:
        raise InputError(f"{name} is {text!r}: write true or false")
    return text


def _settings(name: str, value: Any) -> list[str]:
    """Return settings as words, from a mapping, a list of words or one word."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict):
                example = f"{key}.{next(iter(item), 'weight')}"
                raise InputError(f"{key} has a mapping: write each setting as {example}: value")
        lists = {key: item if isinstance(item, list) else [item] for key, item in value.items()}
        return [
            f"{key}={','.join(_text(key, item) for item in items)}" for key, items in lists.items()
        ]
    return [_text(name, item) for item in (value if isinstance(value, list) else [value])]


def _text(name: str, value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    kind = {dict: "a mapping", list: "a list in a list", type(None): "an empty value"}
    raise InputError(f"{name} has {kind.get(type(value), 'no text')}: give a text or a number")
