"""Notebooks, run from top to bottom."""

import re
import shutil
import tarfile
from pathlib import Path

import nbformat
import pytest
from fabricate import write_trial
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Function that runs a notebook of a checkout and returns its outputs."""

    def run(name: str, checkout: Path = ROOT) -> list:
        notebook = nbformat.read(checkout / "notebooks" / name, as_version=4)
        monkeypatch.setenv("PYTHONPATH", str(checkout))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(checkout / "notebooks")}}
        ).execute()
        outputs = [
            output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
        ]
        assert not [
            output
            for output in outputs
            if output.output_type == "stream" and output.name == "stderr"
        ]
        return outputs

    return run


def markdown(outputs: list) -> str:
    return "\n".join(output.data.get("text/markdown", "") for output in outputs if "data" in output)


def pictures(outputs: list) -> int:
    return sum("data" in output and "image/png" in output.data for output in outputs)


def test_the_leaderboard_and_its_figures(execute, tmp_path, monkeypatch):
    sweep = tmp_path / "sweep"
    for method, gain in (("ce", 0.0), ("softmix", 0.2)):
        for seed in (0, 1):
            write_trial(sweep, method, test=[0.1, 0.4 + gain + seed / 50], seed=seed)
    monkeypatch.setenv("LNL_SWEEP", str(sweep))
    outputs = execute("leaderboard.ipynb")
    text = markdown(outputs)
    assert "| softmix | **61.0 ± 12.7**" in text and "| ce | <u>41.0 ± 12.7</u> |" in text
    assert pictures(outputs) == 4


def test_a_fresh_clone_shows_the_reference(execute, tmp_path, monkeypatch):
    monkeypatch.delenv("LNL_SWEEP", raising=False)
    checkout = tmp_path / "checkout"
    for folder in ("bench", "methods"):
        (checkout / folder).parent.mkdir(exist_ok=True)
        (checkout / folder).symlink_to(ROOT / folder)
    shutil.copytree(ROOT / "notebooks", checkout / "notebooks")
    (checkout / "results" / "reference" / "digits").mkdir(parents=True)
    write_trial(tmp_path / "sweep", "softmix", test=[0.1, 0.4])
    with tarfile.open(
        checkout / "results" / "reference" / "digits" / "records.tar.gz", "w:gz"
    ) as records:
        records.add(tmp_path / "sweep" / "trials", "trials")
    assert "| softmix | **40.0** |" in markdown(execute("leaderboard.ipynb", checkout))


@pytest.mark.slow
def test_noise_and_memorisation(execute):
    assert pictures(execute("noise_and_memorisation.ipynb")) == 6


@pytest.mark.slow
def test_an_audit_ends_as_better_labels(execute, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for folder in ("bench", "methods", "search_spaces"):
        (checkout / folder).symlink_to(ROOT / folder)
    shutil.copytree(ROOT / "notebooks", checkout / "notebooks")
    outputs = execute("find_wrong_labels.ipynb", checkout)
    results = "".join(output.data.get("text/plain", "") for output in outputs if "data" in output)
    before, after = re.search(r"review: ([\d.]+)% and ([\d.]+)%", results).groups()
    assert float(before) < 81 and float(after) > 98
    assert pictures(outputs) == 3
    assert "labels reviewed: 9" in markdown(outputs)
    assert (checkout / "results" / "find-wrong-labels" / "audit" / "clean.html").exists()


@pytest.mark.slow
def test_a_method_is_added_and_compared(execute, tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("bench", "methods", "search_spaces", "tests", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    outputs = execute("add_a_method.ipynb", checkout)
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert " passed" in printed
    assert "| trimmed |" in markdown(outputs)
    assert pictures(outputs) >= 5
    assert not list(checkout.glob("*/trimmed.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
