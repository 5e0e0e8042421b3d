"""From fixed records to exact files: what changes here changes what people have printed.

Where a change is meant, ``PYTHONPATH=tests/support python tests/report/test_golden.py`` writes the
files in tests/report/golden anew; look at the difference.
"""

import tempfile
from pathlib import Path

import pytest
from fabricate import write_trial

from bench.report.analysis import analysis_sections
from bench.report.board import read_board
from bench.report.latex import to_latex
from bench.report.markdown import to_markdown
from bench.report.sections import sections
from bench.report.writer import csv_files

FOLDER = Path(__file__).parent / "golden"
FILES = [
    "leaderboard.csv",
    "configs.csv",
    "leaderboard.md",
    "leaderboard.tex",
    "analysis.md",
    "statistics.csv",
    "rules.csv",
]
FILES += ["agreement.csv", "variance.csv"]


def write_sweep(sweep: Path) -> None:
    """Four methods at two rates with three seeds; one of them tuned, one slow, one privileged and
    once diverged.
    """
    for rate in (0.2, 0.5):
        for seed in range(3):
            at = {
                "rate": rate,
                "seed": seed,
                "epochs": {"clean_val_accuracy": [0.2, 0.5 + rate, 0.9 - rate]},
            }
            low = [0.3, 0.62 - rate / 5 + seed / 50, 0.5 - rate / 3 + seed / 40]
            write_trial(sweep, "ce", test=low, noisy_val=[0.2, 0.5, 0.4], **at)
            write_trial(
                sweep,
                "elr",
                test=[0.3, 0.66 - rate / 7 + seed / 60, 0.7 - rate / 8],
                noisy_val=[0.2, 0.4, 0.45],
                **at,
            )
            for k in (1, 4):
                config = {"softmix.k": k} if k > 1 else {}
                test = [0.2, 0.6 - seed / 90 + k / 50, 0.61 + k / 70 - rate / 9]
                fields = {
                    "config": config,
                    "defaults": {"softmix.k": 1},
                    "done": {"train_seconds": 3.5, "passes_trained": 4.5, "passes_inferred": 1.5},
                }
                write_trial(
                    sweep,
                    "softmix",
                    test=test,
                    noisy_val=[0.3, 0.4 + k / 100, 0.42],
                    **fields,
                    **at,
                )
            done = {
                "privileges": ["noise_rate"],
                "train_seconds": 9.0,
                "peak_memory_bytes": 750_000_000,
            }
            status = "diverged" if seed == 2 and rate == 0.5 else "finished"
            write_trial(
                sweep,
                "co_teaching",
                test=[0.4, 0.7, 0.72 - seed / 30],
                status=status,
                done=done,
                **at,
            )
    for train_seed in (5, 6):  # seeds that varied apart
        write_trial(
            sweep,
            "ce",
            test=[0.3, 0.5, 0.1 * train_seed],
            rate=0.2,
            spec={"train_seed": train_seed},
        )


def files_of(sweep: Path) -> dict[str, bytes]:
    board = read_board([sweep])
    # Not the published numbers, to which people may add.
    about_cells = [
        section for section in analysis_sections(board) if "published" not in section.title
    ]
    return {
        **csv_files(board),
        "leaderboard.md": to_markdown(sections(board), []).encode(),
        "leaderboard.tex": to_latex(board).encode(),
        "analysis.md": to_markdown(about_cells, [], "Analysis").encode(),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, bytes]:
    sweep = tmp_path_factory.mktemp("golden")
    write_sweep(sweep)
    return files_of(sweep)


@pytest.mark.parametrize("name", FILES)
def test_files_are_what_they_were(made, name):
    assert made[name].decode() == (FOLDER / name).read_text(encoding="utf-8")


def main() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as sweep:
        write_sweep(Path(sweep))
        for name, content in files_of(Path(sweep)).items():
            if name in FILES:
                (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
