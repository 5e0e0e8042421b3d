"""The notebook runs from top to bottom on a sweep's records."""

from pathlib import Path

import nbformat
import pytest
from fabricate import write_trial
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "leaderboard.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    sweep = tmp_path_factory.mktemp("sweep")
    for method, gain in (("ce", 0.0), ("softmix", 0.2)):
        for seed in (0, 1):
            write_trial(sweep, method, test=[0.1, 0.4 + gain + seed / 50], seed=seed)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LNL_SWEEP", str(sweep))
        patch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return notebook


def test_it_shows_the_leaderboard_and_the_figures(executed):
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "\n".join(output.data.get("text/markdown", "") for output in outputs if "data" in output)
    assert "| softmix | **61.0 ± 12.7**" in text and "| ce | 41.0 ± 12.7 |" in text
    images = [output for output in outputs if "data" in output and "image/png" in output.data]
    assert len(images) == 4
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]


def test_no_outputs_are_committed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
