"""Import of suspects.csv into FiftyOne, by the code of the audit's README.

The package itself needs a database and is no dependency. Without it, the code runs against types
with the fields that FiftyOne documents (docs.voxel51.com/user_guide/import_datasets.html).
"""

import importlib.util
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from audits import fabricated

from bench.audit.files import write_files

README = Path(__file__).resolve().parents[2] / "bench" / "audit" / "README.md"


@dataclass
class Classification:
    label: str | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        assert isinstance(self.label, str)
        assert self.confidence is None or 0 <= self.confidence <= 1


@dataclass
class Sample:
    filepath: str
    tags: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def __setitem__(self, name: str, value: Any) -> None:
        assert isinstance(value, str | int | float | Classification)
        self.fields[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


class Dataset(list):
    """Samples in the order of their adding, as FiftyOne iterates over them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def add_samples(self, samples: list[Sample]) -> None:
        self.extend(samples)


@pytest.fixture(params=["documented", "installed"])
def fiftyone(request, monkeypatch):
    if request.param == "documented":
        types = SimpleNamespace(Classification=Classification, Sample=Sample, Dataset=Dataset)
        monkeypatch.setitem(sys.modules, "fiftyone", types)
    elif importlib.util.find_spec("fiftyone") is None:
        pytest.skip("fiftyone is not installed")


def test_suspects_become_samples_with_both_labels(fiftyone, tmp_path, monkeypatch):
    audit = fabricated()
    write_files(audit, tmp_path, {})
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    exec(compile(code, str(README), "exec"), names)
    samples = list(names["dataset"])
    assert len(samples) == len(audit.names)
    for sample, position in zip(samples, audit.order, strict=True):
        assert Path(sample.filepath).parts[-3:] == ("photos", *Path(audit.names[position]).parts)
        assert list(sample.tags) == [audit.parts[position], *audit.issues[position]]
        assert sample["ground_truth"].label == audit.classes[audit.given[position]]
        assert sample["suggestion"].label == audit.classes[audit.suggested[position]]
        assert sample["p_wrong"] == pytest.approx(audit.p_wrong[position], abs=1e-4)
