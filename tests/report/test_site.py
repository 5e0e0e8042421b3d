"""The site: its pages, links and versions, and how it behaves in a browser."""

import html.parser
from pathlib import Path
from urllib.parse import unquote

import pytest
from fabricate import write_trial
from verdicts import write_verdict

from bench.cli.site import main
from bench.records.verdict import REJECTED
from bench.report.site.html import escaped, file_name
from bench.report.site.overview import overview, standings
from bench.report.site.pages import citation, index_page, method_page
from bench.report.site.sources import read_sources

HOSTILE = "</td><script>document.title='run'</script><img src=x onerror=alert(1)>"


def write_board(folder: Path, accuracies: dict[str, float], dataset: str = "digits") -> Path:
    for method, accuracy in accuracies.items():
        for rate in (0.2, 0.5):
            for seed in (0, 1):
                test = [0.1, accuracy - rate / 10 + seed * len(method) / 1000]
                write_trial(
                    folder, method, test=test, rate=rate, seed=seed, spec={"dataset": dataset}
                )
    write_verdict(folder)
    return folder


@pytest.fixture(scope="module")
def boards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    write_board(folder / "first", {"ce": 0.5, "gce": 0.7, "elr": 0.6})
    write_board(folder / "second", {"ce": 0.6, "gce": 0.5, HOSTILE: 0.4}, f"npz:{HOSTILE}")
    return folder


@pytest.fixture(scope="module")
def site(boards, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    make(boards, out)
    return out


def make(boards: Path, out: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(boards), "-o", str(out)])
    assert not end.value.code


def test_the_first_of_a_board_is_at_all_its_rates(tmp_path):
    folder = write_board(tmp_path / "b" / "board", {"ce": 0.5, "gce": 0.7})
    write_trial(folder, "disc", test=[0.1, 0.9], rate=0.5)
    write_verdict(folder)
    make(tmp_path / "b", tmp_path / "site")
    row = (
        (tmp_path / "site" / "index.html").read_text().partition("<tbody>")[2].partition("</tr>")[0]
    )
    assert ">gce<" in row and ">disc<" not in row


class Links(html.parser.HTMLParser):
    """Addresses and elements of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.elements: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src")]
        self.anchors |= {value for name, value in attrs if name == "id"}


def test_every_board_method_and_data_set_has_a_page(site):
    names = {path.parent.name: [] for path in site.glob("*/*.html")}
    for path in site.glob("*/*.html"):
        names[path.parent.name].append(path.name)
    assert len(names["boards"]) == 2 and len(names["datasets"]) == 2
    assert len(names["methods"]) == 4 and {"ce.html", "gce.html"} <= set(names["methods"])


def test_every_link_leads_to_a_page_of_the_site(site):
    count = 0
    for page in site.rglob("*.html"):
        for address in Links(page).addresses:
            path, _, anchor = unquote(address).partition("#")
            target = page.parent / path
            assert target.resolve().is_relative_to(site.resolve()) and target.is_file(), address
            assert not anchor or anchor in Links(target).anchors
            count += 1
    assert count > 30


def test_text_of_records_is_text(site):
    for page in [site / "index.html", *site.glob("methods/*"), *site.glob("datasets/*")]:
        assert Links(page).elements.isdisjoint({"script", "img"}), page.name
        assert escaped(HOSTILE) in page.read_text() or HOSTILE not in page.read_text()
    assert any(escaped(HOSTILE) in page.read_text() for page in site.glob("methods/*"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "A b", "é", "x" * 300, HOSTILE])
def test_a_page_has_a_safe_name_of_its_own(name):
    file = file_name(name)
    assert file == Path(file).name and len(file) < 100 and file.isascii()
    assert file != file_name(f"{name} ")


def test_standings_are_those_of_the_cells(boards):
    rows = overview(list(read_sources([boards / "first", boards / "second"])))
    table = standings(rows)
    # gce is first of three and better than ce twice, and second of three and worse twice.
    assert table.loc["gce", ["boards", "cells", "first"]].tolist() == [2, 4, 2]
    assert table.loc["gce", "standing"] == pytest.approx((0 + 0 + 0.5 + 0.5) / 4)
    assert table.loc["elr", "standing"] == pytest.approx(0.5)
    assert table.loc["gce", ["better", "worse"]].tolist() == [2, 2]
    assert rows["rank_last"].tolist() == rows["rank"].tolist()


def test_a_method_page_says_where_it_wins(site):
    text = (site / "methods" / "gce.html").read_text()
    assert "First in 2 of 4 cells; mean standing 25.0 %." in text
    assert "First on first: digits, symmetric noise, 20 %" in text
    assert "1 of 3" in text and "2 of 3" in text


def test_other_records_get_another_page_and_the_cited_one_stays(tmp_path):
    boards, out = tmp_path / "boards", tmp_path / "site"
    board = write_board(boards / "mine", {"ce": 0.5, "gce": 0.7})
    make(boards, out)
    [cited] = out.glob("boards/*.html")
    content = cited.read_bytes()
    write_trial(board, "elr", test=[0.1, 0.9])
    write_verdict(board)
    make(boards, out)
    pages = set(out.glob("boards/*.html"))
    assert len(pages) == 2 and cited.read_bytes() == content
    [current] = pages - {cited}
    index = (out / "index.html").read_text()
    assert current.name in index and cited.name not in index
    version = current.stem.rpartition("-")[2]
    assert f"@misc{{lnl-bench-mine-{version}" in current.read_text()


def test_a_citation_is_latex(tmp_path):
    [source] = read_sources([write_board(tmp_path / "my_board", {"ce": 0.5})])
    text = citation(source)
    assert r"board my\_board, version" in text and f"records {source.verdict.records}" in text


def test_records_without_an_accepting_verdict_are_left_out(boards, tmp_path, capsys):
    for name in ("none", "rejected", "other"):
        write_board(tmp_path / name, {"ce": 0.5})
    (tmp_path / "none" / "verdict.json").unlink()
    write_verdict(tmp_path / "rejected", outcome=REJECTED)
    write_trial(tmp_path / "other", "gce")
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path), "-o", str(tmp_path / "site")])
    errors = capsys.readouterr().err
    assert end.value.code == 2 and errors.count("left out: ") == 3
    assert "no records" in errors and not (tmp_path / "site").exists()


def test_rows_of_a_method_are_counted_apart(tmp_path):
    """A tuned or privileged row is neither a cell nor a method more."""
    write_trial(tmp_path, "ce", test=[0.1, 0.5])
    write_trial(tmp_path, "unicon", test=[0.1, 0.6])
    write_trial(
        tmp_path, "unicon", test=[0.1, 0.9], done={"privileges": ["noise_kind"]}, config={"x": 1}
    )
    write_verdict(tmp_path)
    sources = list(read_sources([tmp_path]))
    rows = overview(sources)
    table = standings(rows)
    assert table["cells"].to_dict() == {"ce": 1, "unicon": 1, "unicon (oracle)": 1}
    assert table["first"].to_dict() == {"ce": 0, "unicon": 0, "unicon (oracle)": 1}
    page = method_page("unicon", sources, rows).decode()
    assert "<li>First in 0 of 1 cells" in page and "<li>unicon (oracle): First in 1 of 1" in page
    assert page.count("First on ") == 1 and "among 3 rows" in page
    assert "2 methods" in index_page(sources, rows).decode()


def test_a_page_that_is_there_stays_as_it_is(tmp_path):
    """A new verdict and another sweep.json, with equal records, get a page of their own."""
    boards, out = tmp_path / "boards", tmp_path / "site"
    board = write_board(boards / "mine", {"ce": 0.5})
    make(boards, out)
    [cited] = out.glob("boards/*.html")
    cited.write_text("as it was cited")
    make(boards, out)
    assert cited.read_text() == "as it was cited"
    write_verdict(board, version="9.9.9")
    make(boards, out)
    (board / "sweep.json").write_text('{"git_commit": "c0ffee"}')
    make(boards, out)
    assert len(list(out.glob("boards/*.html"))) == 3 and cited.read_text() == "as it was cited"


def test_boards_of_one_name_have_pages_of_their_own(tmp_path):
    mine = write_board(tmp_path / "mine", {"ce": 0.5})
    write_board(mine / "mine", {"ce": 0.5, "gce": 0.7})
    make(mine, tmp_path / "site")
    links = Links(tmp_path / "site" / "index.html").addresses
    assert len({address for address in links if address.startswith("boards/")}) == 2


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("verdict.json", "{"),
        ("verdict.json", '{"schema": 99}'),
        ("sweep.json", '{"runs": [1]}'),
        ("sweep.json", '{"runs": {"a": 1}}'),
        ("records.tar.gz", "damaged"),
    ],
)
def test_a_damaged_board_is_left_out(tmp_path, capsys, file, content):
    boards, out = tmp_path / "boards", tmp_path / "site"
    for name in ("good", "bad"):
        write_board(boards / name, {"ce": 0.5})
    (boards / "bad" / file).write_text(content)
    if file == "records.tar.gz":
        (boards / "bad" / "trials").rename(tmp_path / "trials")
    make(boards, out)
    assert f"left out: {boards / 'bad'}: " in capsys.readouterr().err
    assert [path.name.rpartition("-")[0] for path in out.glob("boards/*")] == ["good"]


def test_a_board_without_finished_trials_is_left_out(tmp_path, capsys):
    write_board(tmp_path / "good", {"ce": 0.5})
    (tmp_path / "bad" / "trials").mkdir(parents=True)
    write_verdict(tmp_path / "bad")
    make(tmp_path, tmp_path / "site")
    assert f"left out: {tmp_path / 'bad'}: " in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_records_is_refused(tmp_path, folder, capsys):
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path / folder), "-o", str(tmp_path / "site")])
    assert end.value.code == 2 and "Error: " in capsys.readouterr().err


def test_a_page_that_is_not_the_sites_is_kept(boards, tmp_path, capsys):
    (tmp_path / "index.html").write_text("a page of somebody")
    with pytest.raises(SystemExit) as end:
        main([str(boards), "-o", str(tmp_path)])
    assert end.value.code == 2 and "choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "a page of somebody"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_without_errors_or_network(browser, site, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    for path in sorted(site.rglob("*.html")):
        tab, messages, requests = context.new_page(), [], []
        tab.on("console", lambda message, to=messages: to.append(message.text))
        tab.on("pageerror", lambda error, to=messages: to.append(str(error)))
        tab.on("request", lambda request, to=requests: to.append(request.url))
        tab.goto(path.as_uri(), wait_until="load")
        assert not messages and requests == [path.as_uri()]
        assert tab.title() != "run"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.close()
    context.close()
