"""Contents of the site's pages: all boards, each method over all boards, each data set."""

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.common.identity import short_name
from bench.errors import InputError
from bench.planning.registry import REFERENCE, method_names, summary
from bench.planning.selection import DEFAULT_RULE
from bench.records.verdict import CONSISTENT, VERIFIED
from bench.report import latex
from bench.report.columns import COST
from bench.report.leaderboard import methods_in_order
from bench.report.site.html import (
    Links,
    escaped,
    file_name,
    items,
    navigation,
    page,
    paragraphs,
    section,
    table,
)
from bench.report.site.overview import standings
from bench.report.site.sources import Source
from bench.report.tables import Entry, Table, entries
from bench.report.verdicts import rerun_lines
from bench.report.verdicts import summary as verdict_summary
from bench.report.wording import (
    BETTER,
    NONE,
    WORSE,
    decimal,
    half_interval,
    percent,
    rate_title,
    signed,
)

TITLE = "lnl-bench: learning with noisy labels"
AUTHORS = "The lnl-bench authors"

_RANKS = (
    f"Ranks are by the rule {DEFAULT_RULE}: the epoch of best accuracy on noisy validation labels. "
    "A cell is a data set with a kind and a rate of noise, on one board. A method has further rows "
    "where its settings were tuned or it reads the truth: elr (tuned), unicon (oracle)."
)
_VERDICTS = (
    f"{VERIFIED.capitalize()}: trials were run again, and agree with the records. "
    f"{CONSISTENT.capitalize()}: nothing contradicts the records, but no new run of the same "
    "code was compared with them."
)
_MARKS = (
    f"{BETTER} better than {REFERENCE}: the 95 % interval of the difference, paired over seeds, "
    f"lies above 0; {WORSE} worse."
)


def board_address(source: Source) -> str:
    """Return the address of a board's page; a board that changes gets another page."""
    return f"boards/{file_name(source.name).removesuffix('.html')}-{source.version}.html"


def method_address(name: str) -> str:
    """Return the address of a method's page."""
    return f"methods/{file_name(name)}"


def dataset_address(name: str) -> str:
    """Return the address of a data set's page."""
    return f"datasets/{file_name(name)}"


def index_page(sources: Sequence[Source], rows: pd.DataFrame) -> bytes:
    """Return the page of all boards.

    Args:
        rows: from ``overview.overview``.
    """
    about = (
        f"{len(sources)} boards, {rows['name'].nunique()} methods, {rows['dataset'].nunique()} "
        f"data sets, {sum(source.verdict.trials for source in sources):,} trials. Everything here "
        "comes from records that python -m bench.verify has checked."
    )
    body = [
        section("Boards", paragraphs(_RANKS, _VERDICTS), _table_of_boards(sources, rows)),
        section("Methods", paragraphs(*_about_standings()), _table_of_methods(rows)),
        section("Data sets", _table_of_datasets(sources, rows)),
        section(
            "Versions and citation",
            paragraphs(
                "A board is frozen under a hash of its records, sweep.json and verdict, which is "
                "in its address: where one of them changes, it gets another page, and a page that "
                "was cited stays as it is. Each board says how to cite it. Cite the methods that "
                "you compare, too."
            ),
        ),
    ]
    return page(TITLE, body, about=about)


def _about_standings() -> tuple[str, str]:
    return (
        "Standing: mean place among the rows of a cell, from 0 % (first) to 100 % (last). "
        "Boards hold different methods, so that a method of few cells stands among others.",
        "First: cells in which no row prints higher. Better and worse: cells in which the 95 % "
        f"interval of the paired difference to {REFERENCE} lies on one side of 0. Cost: median "
        f"multiple of the training time of {REFERENCE}.",
    )


def _table_of_boards(sources: Sequence[Source], rows: pd.DataFrame) -> str:
    lines, addresses = [], []
    for position, source in enumerate(sources):
        for _, group in rows[rows["board"] == position].groupby("group", sort=False):
            first = group.iloc[0]
            best = methods_in_order(group)[0]
            rates = ", ".join(map(rate_title, sorted(set(group["noise_rate"]))))
            line = entries(source.name, _dataset(first["dataset"]), first["noise_kind"], rates)
            line += entries(group["name"].nunique(), best, source.verdict.outcome, source.version)
            lines.append(line)
            addresses.append(board_address(source))
    columns = ["Board", "Data set", "Noise", "Rates", "Methods", "First by average rank"]
    links: Links = {
        0: addresses,
        1: _dataset_links(rows),
        5: _method_links(rows),
    }
    return table(Table("", [*columns, "Verdict", "Version"], lines), links)


def _table_of_methods(rows: pd.DataFrame) -> str:
    lines = []
    for name, line in standings(rows).iterrows():
        lines.append(
            entries(name, int(line["boards"]), int(line["cells"]))
            + entries(
                percent(line["standing"]), *(int(line[k]) for k in ("first", "better", "worse"))
            )
            + entries(decimal(line["cost"]))
        )
    columns = ["Method", "Boards", "Cells", "Standing (%)", "First", "Better", "Worse"]
    content = Table("", [*columns, f"Cost (×{REFERENCE})"], lines)
    return table(content, {0: _method_links(rows)})


def _table_of_datasets(sources: Sequence[Source], rows: pd.DataFrame) -> str:
    lines = []
    for dataset, members in rows.groupby("dataset", sort=False):
        kinds = ", ".join(sorted(set(members["noise_kind"])))
        boards = ", ".join(sources[position].name for position in sorted(set(members["board"])))
        lines.append(entries(_dataset(dataset), kinds, members["name"].nunique(), boards))
    columns = ["Data set", "Noise", "Methods", "Boards"]
    return table(Table("", columns, lines), {0: _dataset_links(rows)})


def _dataset(name: object) -> str:
    return short_name(str(name))


def _method_links(rows: pd.DataFrame, root: str = "") -> dict[str, str]:
    """Return the address of each row's method by the row's label."""
    return {
        label: root + method_address(name)
        for label, name in zip(rows["method"], rows["name"], strict=True)
    }


def _dataset_links(rows: pd.DataFrame, root: str = "") -> dict[str, str]:
    return {_dataset(name): root + dataset_address(name) for name in rows["dataset"].unique()}


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a method as its table shows them: the boards in their order."""
    return rows.sort_values(["board", "noise_kind", "noise_rate"], kind="stable")


# ----------------------------------------------------------------------------
# methods


def method_page(name: str, sources: Sequence[Source], rows: pd.DataFrame) -> bytes:
    """Return the page of a method: where it wins, and its ranks and costs on all boards."""
    mine = _in_order(rows[rows["name"] == name])
    boards = [f"../{board_address(sources[board])}" for board in mine["board"]]
    body = [
        section("Where it wins", items(_wins(name, mine, sources))),
        section(
            "All boards",
            paragraphs(_RANKS, _MARKS),
            table(
                _table_of_cells(mine, sources),
                {0: boards, 1: _dataset_links(mine, "../")},
            ),
        ),
    ]
    return page(name, body, "../", _about_method(name))


def _about_method(name: str) -> str:
    """Return the summary of a method of this package, or of an installed one."""
    parts = [part for part in name.split("+") if part in method_names()]
    try:
        return " ".join(summary(part) for part in parts)
    except InputError:
        return ""


def _wins(name: str, mine: pd.DataFrame, sources: Sequence[Source]) -> Iterator[str]:
    """Yield sentences on each label of a method, the plain one first."""
    for label in sorted(mine["method"].unique(), key=lambda label: (label != name, label)):
        prefix = "" if label == name else f"{label}: "
        for sentence in _wins_of(mine[mine["method"] == label], sources):
            yield prefix + sentence


def _wins_of(rows: pd.DataFrame, sources: Sequence[Source]) -> Iterator[str]:
    """Yield sentences on the rows of one label."""
    total = standings(rows).iloc[0]
    standing = percent(total["standing"])
    yield f"First in {int(total['first'])} of {len(rows)} cells; mean standing {standing} %."
    compared = rows["significantly_better"].notna().sum()
    if compared:
        yield (
            f"Better than {REFERENCE} in {int(total['better'])} of the {compared} cells with an "
            f"interval, worse in {int(total['worse'])}."
        )
    if pd.notna(total["cost"]):
        low, high = rows[COST].min(), rows[COST].max()
        yield (
            f"Cost: {decimal(total['cost'])} times that of {REFERENCE} in the median, "
            f"{decimal(low)} to {decimal(high)} over cells."
        )
    for _, row in rows[rows["place"] == 1].iterrows():
        yield (
            f"First on {sources[row['board']].name}: {_dataset(row['dataset'])}, "
            f"{row['noise_kind']} noise, {rate_title(row['noise_rate'])}, with "
            f"{percent(row['mean'])} % among {row['contenders']} rows."
        )


def _table_of_cells(mine: pd.DataFrame, sources: Sequence[Source]) -> Table:
    """Return the cells of a method, a line for each of its rows."""
    labels = bool((mine["method"] != mine["name"]).any())
    lines = []
    for _, row in mine.iterrows():
        interval = "" if pd.isna(row["ci95"]) else percent(row["ci95"])
        apart = half_interval(row["diff_ci_low"], row["diff_ci_high"])
        line = entries(sources[row["board"]].name, _dataset(row["dataset"]), row["noise_kind"])
        line += entries(rate_title(row["noise_rate"])) + entries(row["method"]) * labels
        line.append(Entry(percent(row["mean"]), row["place"], row["mark"], interval))
        line += entries(
            _of(row["rank"], row["contenders"]), _of(row["rank_last"], row["contenders"])
        )
        line += entries(signed(row["diff_vs_reference"]) + apart, decimal(row[COST]))
        lines.append(line)
    columns = ["Board", "Data set", "Noise", "Rate", *["Row"] * labels, "Accuracy (%)", "Rank"]
    columns += ["Rank by last", f"Difference to {REFERENCE}", f"Cost (×{REFERENCE})"]
    return Table("", columns, lines)


def _of(rank: object, contenders: int) -> str:
    return NONE if pd.isna(rank) else f"{rank} of {contenders}"


# ----------------------------------------------------------------------------
# data sets and boards


def dataset_page(dataset: str, sources: Sequence[Source], rows: pd.DataFrame) -> bytes:
    """Return the page of a data set: the best methods of each of its cells."""
    mine = rows[rows["dataset"] == dataset]
    classes = sorted({f"{count:g}" for count in mine["classes"].dropna()})
    hashes = sorted({str(value) for value in mine["data_hash"] if value})
    facts = [f"{' or '.join(classes)} classes" if classes else ""]
    facts += [f"content {', '.join(hashes)}" if hashes else ""]
    body = [
        section(
            "Best methods of each cell",
            paragraphs(_RANKS),
            table(
                _table_of_best(mine, sources),
                {
                    0: [
                        f"../{board_address(sources[board])}"
                        for (board, _), _ in mine.groupby(["board", "cell"], sort=False)
                    ],
                    **{3 + n: _method_links(mine, "../") for n in (0, 2, 4)},
                },
            ),
        )
    ]
    return page(_dataset(dataset), body, "../", "; ".join(filter(None, facts)))


def _table_of_best(mine: pd.DataFrame, sources: Sequence[Source]) -> Table:
    lines = []
    for (board, _), cell in mine.groupby(["board", "cell"], sort=False):
        first = cell.iloc[0]
        line = entries(sources[board].name, first["noise_kind"], rate_title(first["noise_rate"]))
        best = cell.sort_values("rank", kind="stable").head(3)
        for _, row in best.iterrows():
            line += [Entry(row["method"]), Entry(percent(row["mean"]), mark=row["mark"])]
        line += entries(*[NONE] * (2 * (3 - len(best))))
        reference = cell.loc[cell["method"] == REFERENCE, "mean"]
        line += entries(percent(reference.iloc[0]) if len(reference) else NONE)
        line += entries(cell["name"].nunique())
        lines.append(line)
    columns = ["Board", "Noise", "Rate", "First", "%", "Second", "%", "Third", "%"]
    return Table("", [*columns, f"{REFERENCE} (%)", "Methods"], lines)


def board_frame(source: Source) -> tuple[str, str]:
    """Return the navigation of a board's page, and its section on verdict, version and citation."""
    verdict = source.verdict
    made = [
        f"version {source.software} of lnl-bench" if source.software else "",
        f"commit {source.commit}" if source.commit else "",
    ]
    facts = ", ".join(filter(None, [f"Records {verdict.records}", *made]))
    details = items([*rerun_lines(verdict), *verdict.unchecked])
    section_of_verdict = "\n".join(
        [
            '<section class="verdict" aria-label="Verdict">',
            paragraphs(verdict_summary(verdict), f"{facts}."),
            f"<details><summary>What was checked</summary>{details}</details>" if details else "",
            f"<details><summary>Cite this board</summary><pre>{escaped_lines(citation(source))}"
            "</pre></details>",
            "</section>",
        ]
    )
    return navigation("../", source.name), section_of_verdict


def escaped_lines(text: str) -> str:
    """Return lines of text, escaped."""
    return "\n".join(escaped(line) for line in text.splitlines())


def citation(source: Source) -> str:
    """Return a BibTeX entry of one version of a board."""
    key = file_name(source.name).removesuffix(".html")
    notes = [f"records {source.verdict.records}"]
    notes += [f"lnl-bench {source.software}"] * bool(source.software)
    notes += [f"commit {source.commit}"] * bool(source.commit)
    return (
        f"@misc{{lnl-bench-{key}-{source.version},\n"
        f"  author = {{{{{AUTHORS}}}}},\n"
        f"  title = {{lnl-bench, board {latex.escaped(source.name)}, version {source.version}}},\n"
        f"  year = {{{source.year}}},\n"
        f"  note = {{{', '.join(notes)}}},\n"
        "}"
    )
