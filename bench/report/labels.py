"""Labels of configurations: the settings that differ from today's defaults, different for different
configurations.
"""

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bench.common.identity import neutral_values
from bench.common.text import printable
from bench.errors import InputError
from bench.planning.registry import _source as source_of
from bench.planning.registry import load_method

Settings = Mapping[str, Any]

#: Begins the names of a recipe's fields among the settings of a configuration whose recipe is its
#: method's own.
RECIPE = "recipe."


#: Value of a hyper-parameter that a record lacks, where another record's is today's default.
UNSAID = "unknown"


def label_configurations(trials: Sequence[dict[str, Any]]) -> None:
    """Give each trial the ``config`` of its label, and set what follows from it: ``is_default``,
    and a plain ``track``.

    Records may be older or younger than this code. Where it does not know a method, or one of its
    settings, the label is what the record says itself.

    Args:
        trials: facts of each; ``_method`` is its method's full name, ``hparams`` its settings as
            JSON, and ``_recorded`` the changes that its record names, as JSON.
    """
    recorded: dict[str, dict[str, str]] = defaultdict(dict)
    for facts in trials:
        own = recorded[facts["_method"]]
        text = facts["_recorded"]
        own[facts["hparams"]] = min(text, own.get(facts["hparams"], text))
    labels = {method: _labels(method, own) for method, own in recorded.items()}
    for facts in trials:
        config = labels[facts["_method"]][facts["hparams"]]
        facts |= {"config": config, "is_default": not config}
        if facts["track"] in ("default", "given"):
            facts["track"] = "given" if config else "default"


def _labels(method: str, recorded: Mapping[str, str]) -> dict[str, str]:
    """Labels of a method's configurations, by their settings as a text; ``recorded`` likewise holds
    recorded changes.
    """
    today = _today(method)
    settings = {text: msgspec.json.decode(text) for text in recorded}
    shown: dict[str, dict[str, str]] = {}
    for text, own in settings.items():
        changes = _changes(own, msgspec.json.decode(recorded[text]), today)
        shown[text] = {key: _text(value) for key, value in changes.items()}
    labels = {text: _joined(parts) for text, parts in shown.items()}
    while twice := _alike(labels):
        for texts in twice:
            lacking = {text: keys for text in texts if (keys := _lacking(settings[text], today))}
            if 0 < len(lacking) < len(texts):  # today's defaults are those of the others
                for text, keys in lacking.items():
                    shown[text] |= dict.fromkeys(keys, UNSAID)
                    labels[text] = _joined(shown[text])
                continue
            apart = _apart([settings[text] for text in texts])
            for text in texts:
                more = {key: _text(settings[text][key]) for key in apart & settings[text].keys()}
                shown[text] = more | shown[text]
                labels[text] = _joined(shown[text])
            for alike in _alike({text: labels[text] for text in texts}):  # figures that print alike
                for text in alike:
                    shown[text] |= {
                        key: _exact(settings[text], key) for key in apart & settings[text].keys()
                    }
                    labels[text] = _joined(shown[text])
    return labels


def _lacking(settings: Settings, today: "tuple[Settings, Settings] | None") -> list[str]:
    """Hyper-parameters of today that a record of before they were there does not have."""
    if today is None:
        return []
    defaults, neutral = today
    return sorted(defaults.keys() - neutral.keys() - settings.keys())


def _apart(settings: Sequence[Settings]) -> set[str]:
    """Keys of the settings in which these configurations differ."""
    keys = {key for own in settings for key in own}
    return {key for key in keys if len({_exact(own, key) for own in settings}) > 1}


def _alike(labels: Mapping[str, str]) -> list[list[str]]:
    """Groups of several configurations of one label."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in labels.items():
        by_label[label].append(text)
    return [texts for texts in by_label.values() if len(texts) > 1]


def _exact(settings: Settings, key: str) -> str:
    """A setting to the last digit; empty where there is none."""
    return msgspec.json.encode(settings[key]).decode() if key in settings else ""


def _changes(
    settings: Settings, recorded: Settings, today: "tuple[Settings, Settings] | None"
) -> Settings:
    if today is None:
        return recorded
    defaults, neutral = today
    own = {key: value for key, value in settings.items() if not key.startswith(RECIPE)}
    if own.keys() - defaults.keys():
        return recorded
    return {key: value for key, value in {**neutral, **own}.items() if value != defaults[key]}


def listed(settings: Settings) -> str:
    """Return settings for people, as on the command line."""
    return _joined({key: _text(value) for key, value in settings.items()})


def _joined(parts: Mapping[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in sorted(parts.items()))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


# ------------------------------------------------------------------------------------------------------
# today's defaults


def _today(method: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Defaults of a method's hyper-parameters, and neutral values of the younger ones; None where
    it is not here.
    """
    defaults: dict[str, Any] = {}
    neutral: dict[str, Any] = {}
    for part in method.split("+"):
        try:
            own, younger = _written(part) or _declared(part)
        except InputError:
            return None
        defaults |= {f"{part}.{key}": value for key, value in own.items()}
        neutral |= {f"{part}.{key}": value for key, value in younger.items()}
    return defaults, neutral


def _declared(part: str) -> tuple[dict[str, Any], dict[str, Any]]:
    cls = load_method(part).HParams
    return vars(cls()), neutral_values(cls)


def _written(part: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The same read from the method's file without running it, which would take seconds; None where
    it takes that.
    """
    classes = [node for node in ast.parse(source_of(part)).body if isinstance(node, ast.ClassDef)]
    own = [
        node
        for cls in classes
        for node in cls.body
        if isinstance(node, ast.ClassDef) and node.name == "HParams"
    ]
    inherits = {getattr(base, "id", "") for cls in classes for base in cls.bases} - {
        "Method",
        "Wrapper",
    }
    if len(own) > 1 or any(node.bases for node in own) or (inherits and not own):
        return None
    defaults, neutral = {}, {}
    for field in (field for node in own for field in node.body if isinstance(field, ast.AnnAssign)):
        name, value = getattr(field.target, "id", ""), field.value
        try:
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "added":
                [default, later] = [*value.args, *(word.value for word in value.keywords)]
                defaults[name], neutral[name] = ast.literal_eval(default), ast.literal_eval(later)
            else:
                defaults[name] = ast.literal_eval(value)  # type: ignore[arg-type]  # a field without a value is refused
        except (ValueError, TypeError):  # no constant
            return None
    return defaults, neutral
