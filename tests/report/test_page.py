"""The page: what is embedded in it, and how it behaves in a real browser."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from fabricate import write_trial

from bench.errors import InputError
from bench.report.board import read_board
from bench.report.metrics import ACCURACY, ranked_by
from bench.report.page import ASSETS, embedded, write_page
from bench.report.page_data import CURVES, pack
from bench.report.published import published_section
from bench.report.sections import sections
from bench.report.tables import Entry, Section, Table

HOSTILE = (
    "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
)


def write_sweep(sweep: Path) -> Path:
    """Four methods at two rates of two kinds of noise.

    By the oracle elr is first, by noisy validation gce is.
    """
    accuracies = {"ce": (0.3, 0.5), "elr": (0.9, 0.6), "gce": (0.7, 0.8), HOSTILE: (0.1, 0.2)}
    for kind in ("symmetric", "pairflip"):
        for method, (peak, at_end) in accuracies.items():
            for rate in (0.2, 0.5):
                for seed in (0, 1):
                    test = [0.1, peak - rate / 10, at_end - rate / 10 + seed / 100]
                    write_trial(
                        sweep,
                        method,
                        test=test,
                        noisy_val=[0.1, 0.2, 0.5],
                        rate=rate,
                        seed=seed,
                        spec={"noise_kind": kind},
                        done={
                            "git_commit": "c0ffee",
                            "train_seconds": 2.0 + len(method) % 7,
                            "noise": {"label_hash": f"hash{seed}", "realised_rate": rate},
                        },
                    )
    write_trial(sweep, "elr", test=[0.2], rate=0.2, seed=2, status="diverged", recipe={"epochs": 3})
    sweep_json = {
        "git_commit": "abc123",
        "machine": {"system": "Linux"},
        "versions": {"python": "3.11"},
    }
    (sweep / "sweep.json").write_text(json.dumps(sweep_json))
    return sweep


def page_of(
    sweep: Path, track: dict[str, str] | None = None, metric=ACCURACY, published=None
) -> str:
    """The page of a sweep; ``track`` by method."""
    board = read_board([sweep], metric=metric)
    table = board.leaderboard
    table["track"] = [(track or {}).get(method, "") for method in table["method"]]
    published = published or published_section(board.published)
    return write_page(board, sections(board), published).decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("page"))
    (folder / "index.html").write_text(page_of(folder))
    return folder / "index.html"


def data_of(page: Path) -> dict:
    return json.loads(
        re.search(
            r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S
        ).group(1)
    )


def test_assets_are_those_that_the_readme_names():
    table = re.findall(r"^\| `(.+?)` .* (\w{64}) \|$", (ASSETS / "README.md").read_text(), re.M)
    assert {name for name, _ in table} == {
        path.name for path in ASSETS.iterdir() if ".min." in path.name
    }
    for name, digest in table:
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest
    assert all("</script" not in path.read_text().lower() for path in ASSETS.glob("*.js"))


def test_nothing_embedded_can_end_its_element():
    text = embedded({"name": HOSTILE, "line": "\u2028&amp;"})
    assert not set("<>&\u2028") & set(text) and json.loads(text) == {
        "name": HOSTILE,
        "line": "\u2028&amp;",
    }


def test_curves_come_back_as_they_were():
    packed = pack([np.array([0.0, 0.12345, 1.0]), np.array([]), np.array([np.nan, 0.5])])
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<u2")
    assert steps.tolist() == [0, 1234, 10000, 65535, 5000]


def test_the_page_holds_what_the_leaderboard_holds(page):
    data = data_of(page)
    assert data["methods"] and HOSTILE in data["methods"] and len(data["trials"]["id"]) == 33
    found = {
        (row["group"], row["rate"], row["rule"], data["methods"][row["method"]]): row["values"][
            "test_accuracy"
        ][0]
        for row in data["rows"]
    }
    group = next(
        number
        for number, own in enumerate(data["groups"])
        if own["facets"]["noise_kind"] == "pairflip"
    )
    assert found[group, 0, "oracle", "elr"] == pytest.approx(0.88) and found[
        group, 0, "noisy-val", "elr"
    ] == pytest.approx(0.585)
    assert data["sweeps"] == [
        {
            "name": page.parent.name,
            "git_commit": "abc123",
            "machine": {"system": "Linux"},
            "versions": {"python": "3.11"},
        }
    ]


def write_tiers(sweep: Path, best: float = 0.8) -> Path:
    """On CIFAR-10, where numbers are published; the seeds tell gce from the other two alone."""
    for method, accuracy in {"ce": 0.5, "divide_mix": 0.502, "gce": best}.items():
        for seed, shift in enumerate((0.0, 0.01, 0.013)):
            shift *= {"ce": 1, "divide_mix": -1, "gce": -0.9}[method]
            figures = {"worst_class_accuracy": [0.3 if method == "ce" else 0.1]}
            spec = {"dataset": "cifar10", "noise_kind": "symmetric-inclusive"}
            write_trial(
                sweep,
                method,
                test=[accuracy + shift],
                seed=seed,
                rate=0.5,
                spec=spec,
                epochs=figures,
            )
    return sweep


def test_the_page_holds_tiers_and_published_numbers(tmp_path):
    (tmp_path / "index.html").write_text(
        page_of(write_tiers(tmp_path), metric=ranked_by("worst_class_accuracy"))
    )
    data = data_of(tmp_path / "index.html")
    tiers = {(row["rule"], data["methods"][row["method"]]): row["tier"] for row in data["rows"]}
    assert [tiers["noisy-val", method] for method in ("gce", "divide_mix", "ce")] == [1, 2, 2]
    assert tiers["oracle", "gce"] is None, "which ranks nobody"
    assert data["metric"] == "worst_class_accuracy" and {
        own["name"] for own in data["metrics"]
    } >= {data["metric"]}
    [table] = data["published"]["tables"]
    assert table["columns"][4:6] == ["Published", "Ours"] and {row[2] for row in table["rows"]} >= {
        "ce",
        "divide_mix",
    }
    notes = " ".join(data["published"]["notes"])
    assert "no records at 20 % symmetric-inclusive noise" in notes and "clothing1m" not in notes


def test_the_page_holds_ranks_within_budgets_and_printed_ties(tmp_path):
    """Elr costs 2.5 times ce at one rate and 4 times at the other; gce ties with ce as printed."""
    for method, cost, accuracy in (("ce", 2.0, 0.5), ("gce", 2.1, 0.50001), ("elr", 5.0, 0.9)):
        for rate in (0.2, 0.5):
            done = {"train_seconds": cost + 3 * (method == "elr" and rate == 0.5)}
            write_trial(tmp_path, method, test=[accuracy], rate=rate, done=done)
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    data = data_of(tmp_path / "index.html")

    def standings(board: str, metric: str = "test_accuracy") -> dict[str, list]:
        lines = data["boards"][board]["lines"]
        return {data["methods"][line["method"]]: line["standings"].get(metric) for line in lines}

    anybody = {"elr": [1.0, 0, [1, 1]], "gce": [2.0, 0, [2, 2]], "ce": [3.0, 0, [2, 2]]}
    assert standings("0 noisy-val all any") == anybody
    at_most_3 = {"elr": [1.0, 1, [1, 0]], "gce": [1.5, 0, [2, 1]], "ce": [2.5, 0, [2, 1]]}
    assert standings("0 noisy-val all 3") == at_most_3
    assert standings("0 noisy-val all 1") == {"gce": [1.0, 0, [1, 1]], "ce": [2.0, 0, [1, 1]]}
    cheapest = {"ce": [1.0, 0, [1, 1]], "gce": [2.0, 0, [2, 2]], "elr": [3.0, 0, [0, 0]]}
    assert standings("0 noisy-val all any", "cost_seconds") == cheapest
    assert set(standings("0 oracle all any").values()) == {None}, "which ranks nobody"


@pytest.mark.parametrize("content", ["[]", "{", "5"])
def test_a_damaged_origin_is_an_error_that_names_it(tmp_path, content):
    write_trial(tmp_path)
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(
        InputError,
        match=rf"'{tmp_path}/sweep\.json' is damaged .*: delete it, or run the sweep again",
    ):
        page_of(tmp_path)


def test_no_tiers_where_there_is_one(page):
    assert {row["tier"] for row in data_of(page)["rows"] if row["rule"] == "oracle"} == {None}


def test_the_page_asks_for_nothing(page):
    text = page.read_text()
    assert not re.search(
        r"<(script|link|img|iframe)[^>]*(src|href)=(?!x)",
        re.sub(r"<script>.*?</script>", "", text, flags=re.S),
    )
    assert "default-src 'none'" in text


@pytest.fixture
def tab(browser, page):
    """The page, opened from disk; fails where it complains, or asks anybody for anything."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    complaints, requests = [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]")
    yield tab
    assert not complaints and requests == [page.as_uri()]
    tab.close()


def methods(tab) -> list[str]:
    return [text.strip() for text in tab.locator("#board tbody td.first").all_inner_texts()]


def column(tab, number: int) -> list[str]:
    return [
        text.split()[0]
        for text in tab.locator(f"#board tbody td:nth-child({number})").all_inner_texts()
    ]


@pytest.mark.browser
def test_sorting_by_mouse_and_by_keyboard(tab):
    assert methods(tab) == ["gce", "elr", "ce", HOSTILE], "by rank"
    head = tab.locator("#board thead th", has_text="20 %")
    for direction in ("descending", "ascending"):
        head.click()
        tab.wait_for_selector(f"#board th[aria-sort={direction}]:has-text('20 %')")
        assert column(tab, 2) == sorted(
            column(tab, 2), key=float, reverse=direction == "descending"
        )
    first = tab.locator("#board thead th", has_text="Method")
    first.locator("[tabindex='0'], [role=button]").first.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#board th[aria-sort=ascending]:has-text('Method')")
    assert [name for name in methods(tab) if name != HOSTILE] == ["ce", "elr", "gce"]


@pytest.mark.browser
def test_filtering(tab):
    tab.fill("#filter", "el")
    assert methods(tab) == ["elr"]
    tab.fill("#filter", "nobody")
    assert "No method matches." in tab.inner_text("#board")
    tab.fill("#trial-filter", "diverged")
    assert "No trial matches" in tab.inner_text("#trials")
    tab.select_option("#facet-noise_kind", "symmetric")
    assert tab.locator("#trials tbody tr").count() == 1


@pytest.mark.browser
def test_switching_rule_noise_and_metric(tab):
    assert column(tab, 2)[:2] == ["78.5", "58.5"] and not tab.is_visible("#track"), (
        "there is one track"
    )
    tab.select_option("#rule", "oracle")
    assert "not for ranking" in tab.inner_text("#warning")
    assert (
        "Average rank" not in tab.inner_text("#board thead")
        and column(tab, 2)[methods(tab).index("elr")] == "88.0"
    )
    assert tab.locator("#board b, #board u").count() == 0, "the oracle crowns nobody"
    tab.select_option("#rule", "noisy-val")
    tab.select_option("#facet-noise_kind", "symmetric")
    assert "symmetric noise" in tab.inner_text("#title")
    assert column(tab, 2)[methods(tab).index("elr")] == "42.3", (
        "(58 + 59 + a failure at chance) / 3"
    )
    tab.select_option("#metric", "cost_seconds")
    assert column(tab, 2) == sorted(column(tab, 2), key=float), "the cheapest first"
    tab.select_option("#metric", "peak_memory_mb")
    assert set(column(tab, 2)) == {"500.0"}


@pytest.mark.browser
def test_tiers_metrics_and_published_numbers(browser, tmp_path):
    (tmp_path / "index.html").write_text(page_of(write_tiers(tmp_path)))
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert tab.locator("#board tbody .tier").all_inner_texts() == ["①", "②", "②"]
    assert "tiers" in tab.inner_text("#legend")
    tab.select_option("#metric", "worst_class_accuracy")
    assert (
        methods(tab)[0] == "ce"
        and column(tab, 2)[0] == "30.0"
        and not tab.locator("#board .tier").count()
    )
    assert tab.inner_text("#published-title") == "Against what was published"
    lines = tab.locator("#published tbody tr")
    before = lines.count()
    assert before > 1 and "cifar10" in lines.first.inner_text()
    tab.locator("#published thead th", has_text="Ours").click()
    tab.wait_for_selector("#published th[aria-sort]:has-text('Ours')")
    ours = [
        float(text) for text in tab.locator("#published tbody td:nth-child(6)").all_inner_texts()
    ]
    assert ours == sorted(ours) or ours == sorted(ours, reverse=True)
    assert not tab.is_visible("#published-notes li")
    tab.locator("#published-notes summary").click()
    assert tab.is_visible("#published-notes li")
    tab.close()


@pytest.mark.browser
def test_why_there_are_no_tiers(browser, tmp_path):
    tab = browser.new_page()

    def legend(name: str) -> str:
        (tmp_path / f"{name}.html").write_text(page_of(tmp_path / name))
        tab.goto((tmp_path / f"{name}.html").as_uri())
        tab.wait_for_selector("html[data-ready]")
        assert not tab.locator("#board .tier").count()
        return tab.inner_text("#legend")

    write_tiers(tmp_path / "alike", best=0.505)
    assert "the seeds tell no method from the best" in legend("alike")
    # The third scatters so much that it may equal the first: the second, which surely does not,
    # shares their tier.
    for method, accuracies in {
        "gce": (0.7, 0.8, 0.9),
        "elr": (0.6, 0.701, 0.799),
        "ce": (0.2, 0.95, 0.5),
    }.items():
        for seed, accuracy in enumerate(accuracies):
            write_trial(tmp_path / "between", method, test=[accuracy], seed=seed)
    assert "the seeds tell 1 of 2 from the best" in legend("between")
    for seed in (0, 1):
        write_trial(tmp_path / "apart", "ce", test=[0.5 + seed / 10], seed=seed)
        write_trial(tmp_path / "apart", "elr", test=[0.8 + seed / 10], seed=seed)
    assert "no method shares two seeds with the best, or all differ from it by the same" in legend(
        "apart"
    )
    tab.close()


@pytest.mark.browser
def test_a_page_of_trials_that_failed_before_an_epoch(browser, tmp_path):
    write_trial(
        tmp_path,
        "ce",
        test=[],
        status="failed",
        done={"classes": None, "noise": None, "train_seconds": None},
    )
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab, complaints = browser.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert not tab.is_visible("#curves")
    tab.locator("#trials [data-trial]").first.click()
    tab.wait_for_selector("#trial-chart .empty")
    assert "No epoch was recorded." in tab.inner_text("#trial-chart") and not complaints
    tab.close()


@pytest.mark.browser
def test_a_rate_where_validation_and_test_disagree_is_marked(browser, tmp_path):
    rising = [0.1 + epoch / 20 for epoch in range(10)]
    write_trial(tmp_path, "ce", test=rising, noisy_val=rising, rate=0.2)
    write_trial(tmp_path, "ce", test=rising, noisy_val=rising[::-1], rate=0.5)
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    heads = [text.strip() for text in tab.locator("#board thead th").all_inner_texts()]
    assert heads[1:3] == ["20 %", "50 % ‡"]
    tab.close()


@pytest.mark.browser
def test_print_shows_all_published_numbers_and_whole_curves(browser, tmp_path):
    lines = [[Entry(text) for text in ("cifar10", str(number))] for number in range(40)]
    published = Section(
        "Published", "", [Table("", ["Data set", "Ours"], lines)], ["40 comparisons"]
    )
    (tmp_path / "index.html").write_text(page_of(write_tiers(tmp_path), published=published))
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.wait_for_selector("#chart canvas")
    count, width = (
        tab.locator("#published tbody tr").count,
        "document.querySelector('#chart canvas').offsetWidth",
    )
    on_screen = tab.evaluate(width)
    assert count() == 25
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_function(f"{width} === 640")
    assert count() == 40
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.wait_for_function(f"{width} === {on_screen}")
    assert count() == 25
    tab.close()


@pytest.mark.browser
def test_headings_stop_below_the_controls(tab):
    tab.locator("#board tbody tr", has_text="gce").locator("[data-trials]").first.click()
    boxes = "(id) => document.getElementById(id).getBoundingClientRect()"
    tops = f"['trials-section', 'controls'].map({boxes})"
    heading, controls = tab.evaluate(f"{tops}.map(({{ top, bottom }}) => [top, bottom])")
    assert heading[0] >= controls[1]


@pytest.mark.browser
def test_seeds_that_a_machine_ended_are_marked(browser, tmp_path):
    for seed in (0, 1):
        write_trial(tmp_path, "ce", test=[0.5], seed=seed)
        write_trial(tmp_path, "elr", test=[0.8], seed=seed, status="lost" if seed else "finished")
        write_trial(tmp_path, "gce", test=[0.9], seed=seed, status="lost")
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab, complaints = browser.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    cells = dict(
        zip(
            methods(tab), tab.locator("#board tbody td:nth-child(2)").all_inner_texts(), strict=True
        )
    )
    assert {name: "".join(text.split()) for name, text in cells.items()} == {
        "elr": "80.0n=1§",
        "ce": "50.0±0.0n=2",
        "gce": "–§",
    }
    assert "lost" in tab.inner_text("#trials") and not complaints
    tab.close()


@pytest.mark.browser
def test_switching_track(browser, tmp_path):
    (tmp_path / "index.html").write_text(page_of(write_sweep(tmp_path), {"elr": "tuned"}))
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    assert (
        tab.locator("#track option").all_inner_texts() == ["all", "default", "tuned"]
        and len(methods(tab)) == 4
    )
    tab.select_option("#track", "tuned")
    assert methods(tab) == ["elr"]
    tab.close()


@pytest.mark.browser
def test_switching_budget(browser, tmp_path):
    def ranks() -> dict[str, str]:
        return dict(zip(methods(tab), column(tab, 4), strict=True))

    seconds = {"ce": 2.0, "gce": 2.1, "elr": 5.0, "sop": 30.0}
    for (method, cost), accuracy in zip(seconds.items(), (0.5, 0.6, 0.9, 0.95), strict=True):
        for rate in (0.2, 0.5):
            done = {"train_seconds": cost + 3 * (method == "elr" and rate == 0.5)}
            write_trial(tmp_path, method, test=[accuracy], rate=rate, done=done)
    write_trial(tmp_path, "gce", test=[0.6], spec={"noise_kind": "pairflip"})
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.select_option("#facet-noise_kind", "symmetric")
    assert tab.locator("#budget option").all_inner_texts() == ["any", "1× ce", "3× ce", "10× ce"]
    assert ranks() == {"sop": "1.0", "elr": "2.0", "gce": "3.0", "ce": "4.0"}
    tab.select_option("#budget", "10")
    assert ranks() == {
        "elr": "1.0",
        "gce": "2.0",
        "ce": "3.0",
    } and "up to 10× ce" in tab.inner_text("#setup")
    tab.select_option("#budget", "3")
    assert ranks() == {"elr": "1.0", "gce": "1.5", "ce": "2.5"}
    assert methods(tab) == ["gce", "ce", "elr"], "what keeps to it at one rate alone comes last"
    assert column(tab, 3) == ["60.0", "50.0", "–"] and tab.locator(
        "#board b"
    ).all_inner_texts() == ["60.0", "90.0"]
    tab.select_option("#budget", "1")
    assert ranks() == {"gce": "1.0", "ce": "2.0"}, "1.05 times counts as once"
    tab.select_option("#facet-noise_kind", "pairflip")
    assert not tab.is_visible("#budget") and methods(tab) == ["gce"], "no ce, no budget"
    tab.close()


@pytest.mark.browser
def test_a_method_named_like_a_script_is_shown_and_not_run(tab):
    assert HOSTILE in methods(tab) and tab.title() == "Learning with noisy labels: leaderboard"
    tab.fill("#trial-filter", "document.title")
    tab.locator("#trials [data-trial]").first.click()
    tab.wait_for_selector("dialog[open]")
    assert (
        HOSTILE in tab.inner_text("#trial-title")
        and tab.title() == "Learning with noisy labels: leaderboard"
    )
    assert tab.locator("img").count() == 0


@pytest.mark.browser
def test_a_figure_leads_to_its_trials_and_a_trial_to_its_record(tab):
    tab.locator("#board tbody tr", has_text="gce").locator("[data-trials]").first.click()
    assert (
        tab.inner_text("#narrowed") == "gce at 20 %"
        and tab.locator("#trials tbody tr").count() == 2
    )
    tab.keyboard.press("Enter")  # the first trial has the focus
    tab.wait_for_selector("#trial-chart canvas")
    facts = tab.inner_text("#facts")
    for part in (
        "c0ffee",
        "hash1",
        "noise 1, split 1, training 1",
        "noisy-val 79.00 % (epoch 3)",
        "python 3.11",
        "1 with gradients and 0 without",
        "500 MB",
    ):
        assert part in facts
    tab.keyboard.press("Escape")
    assert not tab.locator("dialog[open]").count()
    tab.click("#all-trials")
    assert tab.locator("#trials tbody tr").count() == 16


@pytest.mark.browser
def test_curves_of_ticked_methods_are_drawn(tab):
    tab.wait_for_selector("#chart canvas")
    drawn = tab.locator("#chart .u-label").all_inner_texts()
    assert set(drawn) == {"Epoch", "gce", "elr", "ce", HOSTILE}
    tab.locator("#board tbody tr", has_text="elr").locator("input").press("Space")
    tab.wait_for_function("document.querySelectorAll('#chart .u-series').length === 4")
    tab.click("#nothing")
    tab.wait_for_selector("#chart .empty")


@pytest.mark.browser
def test_all_curves_of_a_trial_look_different(browser, tmp_path):
    write_trial(tmp_path, test=[0.3, 0.5], epochs={name: [0.2, 0.4] for name in CURVES})
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.locator("#trials [data-trial]").first.click()
    tab.wait_for_selector("#trial-chart canvas")
    markers = tab.locator("#trial-chart .u-marker line")
    found = markers.evaluate_all(
        "all => all.map((one) => [one.getAttribute('stroke'), "
        "one.getAttribute('stroke-dasharray')])"
    )
    assert len(found) == len(CURVES) == len({color for color, _ in found})
    assert len({dash for _, dash in found}) > 2
    tab.close()


@pytest.mark.browser
def test_names_break_at_underscores_on_a_phone(browser, tmp_path):
    write_trial(tmp_path, "co_teaching_plus_and_more")
    (tmp_path / "index.html").write_text(page_of(tmp_path))
    tab = browser.new_page(viewport={"width": 360, "height": 740})
    tab.goto((tmp_path / "index.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    box = tab.locator("#board input").bounding_box()
    assert box["width"] == box["height"] == 16
    for name in ("#board [data-name]", "#chart .u-series:nth-child(2) .u-label"):
        assert tab.locator(name).inner_html() == "co_<wbr>teaching_<wbr>plus_<wbr>and_<wbr>more"
    lines = tab.evaluate(
        """() => {
            const name = document.querySelector("#board [data-name]"), lines = new Map();
            for (const node of name.childNodes) for (let i = 0; i < (node.data ?? "").length; i++) {
                const range = new Range();
                range.setStart(node, i);
                range.setEnd(node, i + 1);
                const top = Math.round(range.getBoundingClientRect().top);
                lines.set(top, (lines.get(top) ?? "") + node.data[i]);
            }
            return [...lines.values()];
        }"""
    )
    assert len(lines) > 1 and all(line.endswith("_") for line in lines[:-1])
    tab.close()


@pytest.mark.browser
def test_light_and_dark_print_and_phone(tab):
    def ground() -> str:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    tab.click("#theme")
    assert ground() != light
    tab.emulate_media(media="print")
    assert (
        ground() == "rgb(255, 255, 255)"
        and not tab.is_visible("#controls")
        and tab.is_visible("#board table")
    )
    tab.emulate_media(media="screen")
    tab.set_viewport_size({"width": 360, "height": 740})
    tab.wait_for_timeout(200)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360, (
        "wide tables scroll by themselves"
    )
