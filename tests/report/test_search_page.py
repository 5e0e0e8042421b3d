"""Parallel coordinates of the page, in a real browser."""

import pytest
from fabricate import write_trial
from search_records import board_of, random_configurations, weight_matters, write_search

from bench.report.page import write_page
from bench.report.searches import importance
from bench.report.sections import sections


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "RESAMPLES", 2)
    for rate in (0.2, 0.5):
        configurations = random_configurations(12)
        accuracy = weight_matters(configurations)
        write_search(tmp_path, configurations, accuracy, accuracy, rate=rate)
        write_trial(tmp_path, "ce", rate=rate)
    board = board_of(tmp_path)
    path = tmp_path / "index.html"
    path.write_bytes(write_page(board, sections(board)))
    return path


def test_a_page_without_searches_has_no_part_for_them(tmp_path):
    write_trial(tmp_path, "ce")
    board = board_of(tmp_path)
    text = write_page(board, sections(board)).decode()
    assert "searches-section" not in text and "search-data" not in text


@pytest.mark.browser
def test_a_range_of_an_axis_leaves_its_configurations(browser, page):
    tab, complaints = browser.new_page(viewport={"width": 1100, "height": 800}), []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.locator("#search option").all_inner_texts() == [
        "elr (tuned), 20 %",
        "elr (tuned), 50 %",
    ]
    tab.select_option("#search", "1")
    assert tab.locator("#parallel polyline").count() == 12
    assert tab.locator("#configuration").inner_text().startswith("12 configurations. Pick: ")
    grip = tab.locator("#parallel .grip").nth(-1)
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    middle = box["x"] + box["width"] / 2
    tab.mouse.move(middle, box["y"] + 1)
    tab.mouse.down()
    tab.mouse.move(middle, box["y"] + box["height"] / 2)
    tab.mouse.up()
    outside = tab.locator("#parallel .outside").count()
    assert 0 < outside < 12
    text = tab.locator("#configuration").inner_text()
    assert text.startswith(f"{12 - outside} of 12 configurations")
    tab.click("#all-configurations")
    assert tab.locator("#parallel .outside").count() == 0
    assert not complaints
    tab.close()
