"""Golden tables: exact files that a report makes of fixed records.

``python tests/support/golden_tables.py`` writes ``tests/report/golden`` anew. Do that only where a
change is meant to move tables, and say so in its commit.
"""

import tempfile
from pathlib import Path

from fabricate import write_trial

from bench.report.analysis import analyse, analysis_sections
from bench.report.latex import to_latex
from bench.report.leaderboard import (
    CONFIGURATION_COLUMNS,
    LEADERBOARD_COLUMNS,
    chosen_rows,
    configurations,
    leaderboard,
    load_rows,
    to_csv,
)
from bench.report.tables import sections, to_markdown

FOLDER = Path(__file__).parents[1] / "report" / "golden"
FILES = [
    "leaderboard.csv",
    "configs.csv",
    "leaderboard.md",
    "leaderboard.tex",
    "analysis.md",
    "statistics.csv",
    "rules.csv",
    "agreement.csv",
    "variance.csv",
]


def write_sweep(sweep: Path) -> None:
    """Write trials of four methods at two rates with three seeds.

    One method is swept, one is slow, one is privileged and diverges once.
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
    rows = load_rows([sweep])
    board, tried = leaderboard(rows), configurations(rows)
    analysis = analyse(rows, chosen_rows(rows, board), board, tried)
    # Not the published numbers, to which people may add.
    about_cells = [
        section
        for section in analysis_sections(analysis, board)
        if "published" not in section.title
    ]
    return {
        "leaderboard.csv": to_csv(board, LEADERBOARD_COLUMNS),
        "configs.csv": to_csv(tried, CONFIGURATION_COLUMNS),
        "leaderboard.md": to_markdown(
            sections(rows, board, "ce", flagged=analysis.flagged()), []
        ).encode(),
        "leaderboard.tex": to_latex(board, flagged=analysis.flagged()).encode(),
        "analysis.md": to_markdown(about_cells, [], "Analysis").encode(),
        **{name: to_csv(table, columns) for name, (table, columns) in analysis.tables().items()},
    }


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
