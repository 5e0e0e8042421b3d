"""How long a large report takes, and its page to open: measured and printed, as machines differ.

pytest -s -m "slow or browser" tests/test_budgets.py
"""

import time
from itertools import product
from pathlib import Path

import pytest
from fabricate import write_trial
from test_page import browser  # noqa: F401

from bench.leaderboard import write_report

METHODS, RATES, EPOCHS = 20, (0.1, 0.2, 0.4, 0.6, 0.8), 100


def write_sweep(sweep: Path, seeds: int) -> int:
    """A hundred trials a seed; returns how many there are."""
    cells = list(product(range(METHODS), RATES, range(seeds)))
    for method, rate, seed in cells:
        height = 0.9 - rate / 2 - method / 100 + seed % 7 / 1000
        curve = [height * (1 - 0.95 ** (epoch + 1)) for epoch in range(EPOCHS)]
        write_trial(sweep, f"method_{method}", test=curve, rate=rate, seed=seed)
    return len(cells)


@pytest.mark.slow
def test_a_report_of_ten_thousand_trials(tmp_path):
    trials = write_sweep(tmp_path / "sweep", seeds=100)
    start = time.perf_counter()
    report = write_report([tmp_path / "sweep"], tmp_path / "out", plots=False)
    print(f"\nreport of {trials} trials of {EPOCHS} epochs: {time.perf_counter() - start:.1f} s; the budget is 10 s")
    assert report.leaderboard.query("rule == 'last'")["seeds"].sum() == trials


@pytest.mark.browser
def test_a_page_of_five_thousand_trials(browser, tmp_path):  # noqa: F811
    trials = write_sweep(tmp_path / "sweep", seeds=50)
    write_report([tmp_path / "sweep"], tmp_path, plots=False)
    tab = browser.new_page()
    start = time.perf_counter()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    print(f"\npage of {trials} trials: open after {time.perf_counter() - start:.1f} s; the budget is 2 s")
    assert f"of {trials} trials" in tab.inner_text("#trials")
    tab.close()
