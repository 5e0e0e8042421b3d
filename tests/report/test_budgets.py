"""Time of a large report, and of its page to open: measured and printed, as machines differ.

The records are as large as real ones of the digits: every figure of an epoch, and what the network
makes of the validation images. The report is the one of --no-plots.

pytest -s -m "slow or browser" tests/report/test_budgets.py
"""

import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from fabricate import CLASSES, write_trial

from bench.records.packing import pack_numbers
from bench.report.writer import write_report

METHODS, RATES, EPOCHS = 20, (0.1, 0.2, 0.4, 0.6, 0.8), 100
VALIDATION = 144  # images, of the digits
#: What an epoch's line holds of bench/training/trial.py and bench/training/scoring.py, beside
#: accuracies and predictions.
FIGURES = [
    "train_loss",
    "learning_rate",
    "train_seconds",
    "eval_seconds",
    "clean_val_accuracy",
    "worst_class_accuracy",
]
FIGURES += [
    "calibration_error",
    "memorised_clean",
    "memorised_wrong",
    "recovered_wrong",
    "detection_auc",
]
FIGURES += ["detection_precision", "detection_recall", "label_correction_accuracy"]


def write_sweep(sweep: Path, seeds: int) -> int:
    """Write a hundred trials a seed; return how many there are."""
    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES, size=VALIDATION)
    other = rng.integers(CLASSES, size=VALIDATION)
    guesses = [
        pack_numbers(np.where(rng.random(VALIDATION) < right, truth, other))
        for right in np.linspace(0.2, 0.9, EPOCHS)
    ]
    counts = {"samples_trained": [1293] * EPOCHS, "samples_inferred": [1293] * EPOCHS}
    bins = np.linspace(0.1, 0.9, 15).tolist()
    done = {
        "validation_truth": pack_numbers(truth),
        "validation_images": VALIDATION,
        "train_images": 1293,
    }
    done["reliability"] = {"count": [24] * 15, "confidence": bins, "accuracy": bins}
    cells = list(product(range(METHODS), RATES, range(seeds)))
    for method, rate, seed in cells:
        height = 0.9 - rate / 2 - method / 100 + seed % 7 / 1000
        curve = [height * (1 - 0.95 ** (epoch + 1)) for epoch in range(EPOCHS)]
        figures = {
            name: [value * (1 - place / 20) for value in curve]
            for place, name in enumerate(FIGURES)
        }
        epochs = {**figures, **counts, "val_predictions": guesses}
        write_trial(
            sweep, f"method_{method}", test=curve, rate=rate, seed=seed, epochs=epochs, done=done
        )
    size = (
        sum(path.stat().st_size for path in sweep.glob("trials/*/epochs.jsonl"))
        / len(cells)
        / EPOCHS
    )
    print(f"\nlines of {size:.0f} bytes")
    return len(cells)


@pytest.mark.slow
def test_a_report_of_ten_thousand_trials(tmp_path):
    trials = write_sweep(tmp_path / "sweep", seeds=100)
    for what in ("the first report, which makes the index", "every later one"):
        start = time.perf_counter()
        report = write_report([tmp_path / "sweep"], tmp_path / "out", plots=False)
        print(
            f"\nreport of {trials} trials of {EPOCHS} epochs, {what}: "
            f"{time.perf_counter() - start:.1f} s; the budget is 10 s"
        )
    assert report.leaderboard.query("rule == 'last'")["seeds"].sum() == trials


@pytest.mark.browser
def test_a_page_of_five_thousand_trials(browser, tmp_path):
    trials = write_sweep(tmp_path / "sweep", seeds=50)
    write_report([tmp_path / "sweep"], tmp_path, plots=False)
    tab = browser.new_page()
    start = time.perf_counter()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    print(
        f"\npage of {trials} trials: open after {time.perf_counter() - start:.1f} s; the budget is "
        "2 s"
    )
    assert f"of {trials:,} trials" in tab.inner_text("#trials")
    tab.close()
