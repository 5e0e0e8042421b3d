"""Labels of configurations: the settings that differ from today's defaults, unique per method."""

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bench.common.identity import neutral_values
from bench.common.text import printable
from bench.errors import InputError
from bench.planning.registry import load_method, source_of
from bench.report.cells import Facts

Settings = Mapping[str, Any]
#: Defaults of hyper-parameters, and neutral values of the younger ones.
Defaults = tuple[dict[str, Any], dict[str, Any]]

#: Prefix of a recipe's fields in the settings of a configuration whose recipe is its method's own.
RECIPE = "recipe."

#: Value of a hyper-parameter that a record lacks, where another record's is today's default.
UNSAID = "unknown"


def label_configurations(trials: Sequence[Facts]) -> None:
    """Give each trial the ``config`` of its label, with its ``is_default`` and plain ``track``.

    Records may be older or younger than this code. Where a method, or one of its settings, does not
    exist in this code, the label holds the changes that the record names.

    Args:
        trials: facts of each; ``_method`` is its method's full name, ``hparams`` its settings as
            JSON, and ``_recorded`` the changes that its record names, as JSON.
    """
    for facts in trials:
        if facts["imported"]:  # its settings are not known
            facts |= {"config": "", "is_default": True}
    trials = [facts for facts in trials if not facts["imported"]]
    recorded: dict[str, dict[str, str]] = defaultdict(dict)
    for facts in trials:
        changes, text = recorded[facts["_method"]], facts["_recorded"]
        changes[facts["hparams"]] = min(text, changes.get(facts["hparams"], text))
    labels = {method: _labels(method, changes) for method, changes in recorded.items()}
    for facts in trials:
        config = labels[facts["_method"]][facts["hparams"]]
        facts |= {"config": config, "is_default": not config}
        if facts["track"] in ("default", "given"):
            facts["track"] = "given" if config else "default"


def _labels(method: str, recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a method's configurations, by their settings as JSON.

    Args:
        recorded: changes that the records name, as JSON, by the settings.
    """
    today = _today(method)
    settings = {text: msgspec.json.decode(text) for text in recorded}
    shown: dict[str, dict[str, str]] = {}
    for text, values in settings.items():
        changes = _changes(values, msgspec.json.decode(recorded[text]), today)
        shown[text] = {key: _text(value) for key, value in changes.items()}
    while ambiguous := _ambiguous(shown):
        for texts in ambiguous:
            lacking = {text: keys for text in texts if (keys := _lacking(settings[text], today))}
            if 0 < len(lacking) < len(texts):  # today's defaults are those of the others
                for text, keys in lacking.items():
                    shown[text] |= dict.fromkeys(keys, UNSAID)
                continue
            apart = _different([settings[text] for text in texts])
            for text in texts:
                added = {key: _text(settings[text][key]) for key in apart & settings[text].keys()}
                shown[text] = added | shown[text]
            # Numbers may print alike.
            for equal in _ambiguous({text: shown[text] for text in texts}):
                for text in equal:
                    keys = apart & settings[text].keys()
                    shown[text] |= {key: _exact(settings[text], key) for key in keys}
    return {text: _joined(parts) for text, parts in shown.items()}


def _lacking(settings: Settings, today: Defaults | None) -> list[str]:
    """Return the hyper-parameters of today that a record is older than."""
    if today is None:
        return []
    defaults, neutral = today
    return sorted(defaults.keys() - neutral.keys() - settings.keys())


def _different(configurations: Sequence[Settings]) -> set[str]:
    """Return the keys in which these configurations differ."""
    keys = {key for settings in configurations for key in settings}
    return {key for key in keys if len({_exact(values, key) for values in configurations}) > 1}


def _ambiguous(shown: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """Return groups of several configurations of one label."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, parts in shown.items():
        by_label[_joined(parts)].append(text)
    return [texts for texts in by_label.values() if len(texts) > 1]


def _exact(settings: Settings, key: str) -> str:
    """Return a setting to the last digit; empty where there is none."""
    return msgspec.json.encode(settings[key]).decode() if key in settings else ""


def _changes(settings: Settings, recorded: Settings, today: Defaults | None) -> Settings:
    if today is None:
        return recorded
    defaults, neutral = today
    values = {key: value for key, value in settings.items() if not key.startswith(RECIPE)}
    if values.keys() - defaults.keys():
        return recorded
    return {key: value for key, value in (neutral | values).items() if value != defaults[key]}


def listed(settings: Settings) -> str:
    """Return settings for people, as on the command line."""
    return _joined({key: _text(value) for key, value in settings.items()})


def _joined(parts: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in sorted(parts.items()))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


# ----------------------------------------------------------------------------
# today's defaults


def _today(method: str) -> Defaults | None:
    """Return the defaults of a method and its parts; None where the method is not here."""
    defaults: dict[str, Any] = {}
    neutral: dict[str, Any] = {}
    for part in method.split("+"):
        try:
            values, younger = _written(part) or _declared(part)
        except InputError:
            return None
        defaults |= {f"{part}.{key}": value for key, value in values.items()}
        neutral |= {f"{part}.{key}": value for key, value in younger.items()}
    return defaults, neutral


def _declared(part: str) -> Defaults:
    cls = load_method(part).HParams
    return vars(cls()), neutral_values(cls)


def _written(part: str) -> Defaults | None:
    """Return the defaults as the method's file writes them; None where they are no constants.

    Running the file, as ``_declared`` does, would take seconds.
    """
    classes = [node for node in ast.parse(source_of(part)).body if isinstance(node, ast.ClassDef)]
    bodies = [node for cls in classes for node in cls.body if isinstance(node, ast.ClassDef)]
    hparams = [node for node in bodies if node.name == "HParams"]
    bases = {getattr(base, "id", "") for cls in classes for base in cls.bases}
    inherits = bool(bases - {"Method", "Wrapper"})
    if len(hparams) > 1 or any(node.bases for node in hparams) or (inherits and not hparams):
        return None
    defaults, neutral = {}, {}
    for field in (field for node in hparams for field in node.body):
        if not isinstance(field, ast.AnnAssign):
            continue
        name, value = getattr(field.target, "id", ""), field.value
        try:
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "added":
                [default, later] = [*value.args, *(word.value for word in value.keywords)]
                defaults[name], neutral[name] = ast.literal_eval(default), ast.literal_eval(later)
            else:
                # A field without a value is refused.
                defaults[name] = ast.literal_eval(value)  # type: ignore[arg-type]
        except (ValueError, TypeError):  # no constant
            return None
    return defaults, neutral
