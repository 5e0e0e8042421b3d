"""Tables of all methods in all cells, and of the agreement of cells."""

from fabricate import write_trial

from bench.report.all_cells import MOST, all_cells_table, cells_agreement_table
from bench.report.board import read_board
from bench.report.tables import Table

#: Accuracies of three methods under each noise.
ACCURACIES = {"ce": (0.5, 0.9), "gce": (0.7, 0.8), "elr": (0.6, 0.85)}


def table_of(sweep) -> Table:
    board = read_board([sweep])
    assert board.ranks is not None
    return all_cells_table(board.leaderboard[board.leaderboard["competes"]], board.ranks)


def texts(table: Table) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


def write_sweep(sweep, noises, accuracies=ACCURACIES, **spec) -> None:
    for method, values in accuracies.items():
        for (kind, rate), accuracy in zip(noises, values, strict=True):
            write_trial(
                sweep, method, test=[accuracy], spec={"noise_kind": kind, **spec}, rate=rate
            )


def test_it_has_a_column_for_each_cell_and_the_best_on_average_first(tmp_path):
    write_sweep(tmp_path, [("symmetric", 0.5), ("asymmetric", 0.4)])
    table = table_of(tmp_path)
    assert table.columns == ["Method", "asymmetric 40 %", "symmetric 50 %", "Average rank"]
    assert texts(table) == [
        ["ce", "90.0", "50.0", "2.00"],
        ["elr", "85.0", "60.0", "2.00"],
        ["gce", "80.0", "70.0", "2.00"],
    ]
    assert [[entry.place for entry in row[1:3]] for row in table.rows] == [[1, 0], [2, 2], [0, 1]]


def test_cells_of_several_data_sets_are_told_apart(tmp_path):
    for dataset in ("digits", "mnist"):
        write_sweep(tmp_path, [("symmetric", 0.2), ("symmetric", 0.5)], dataset=dataset)
    assert table_of(tmp_path).columns[1:-1] == [
        "digits, symmetric 20 %",
        "digits, symmetric 50 %",
        "mnist, symmetric 20 %",
        "mnist, symmetric 50 %",
    ]


def test_cells_that_noise_does_not_tell_apart_leave_the_ranks(tmp_path):
    for precision in ("fp32", "bf16"):
        write_sweep(tmp_path, [("symmetric", 0.2), ("symmetric", 0.5)], precision=precision)
    table = table_of(tmp_path)
    assert table.columns == ["Method", "Average rank"] and len(table.rows) == 3


def test_more_cells_than_a_page_is_wide_leave_the_ranks(tmp_path):
    rates = [("symmetric", (1 + number) / 20) for number in range(MOST + 1)]
    accuracies = {"ce": [0.5] * len(rates), "elr": [0.6] * len(rates), "gce": [0.7] * len(rates)}
    write_sweep(tmp_path, rates, accuracies)
    assert texts(table_of(tmp_path)) == [["gce", "1.00"], ["elr", "2.00"], ["ce", "3.00"]]


def agreement_of(sweep) -> list[list[str]] | None:
    board = read_board([sweep])
    assert board.ranks is not None
    table = cells_agreement_table(board.chosen, board.ranks)
    return texts(table) if table else None


def write_orders(sweep, orders) -> None:
    """Write a trial for each place in each order: {(noise rate, seed): methods, best first}."""
    for (rate, seed), methods in orders.items():
        for place, method in enumerate(methods.split()):
            write_trial(sweep, method, test=[0.9 - 0.1 * place], rate=rate, seed=seed)


def test_a_cell_agrees_with_itself_as_far_as_its_seeds_do(tmp_path):
    write_orders(
        tmp_path,
        {
            (0.2, 0): "ce elr gce",
            (0.2, 1): "ce gce elr",  # one of three pairs is in another order: tau is 1/3
            (0.5, 0): "gce elr ce",
            (0.5, 1): "gce elr ce",
        },
    )
    # Seed 0 at 20 % with seed 1 at 50 % is -1; seed 1 at 20 % with seed 0 at 50 % is -1/3.
    assert agreement_of(tmp_path) == [
        ["symmetric 20 %", "0.33", "−0.67"],
        ["symmetric 50 %", "−0.67", "1.00"],
    ]


def test_with_one_seed_a_cell_has_nothing_to_agree_with(tmp_path):
    write_orders(tmp_path, {(0.2, 0): "ce elr gce", (0.5, 0): "ce elr gce"})
    assert agreement_of(tmp_path) == [
        ["symmetric 20 %", "–", "1.00"],
        ["symmetric 50 %", "1.00", "–"],
    ]


def test_seeds_that_not_all_methods_have_do_not_count(tmp_path):
    orders = {(rate, seed): "ce elr gce" for rate in (0.2, 0.5) for seed in (0, 1)}
    write_orders(tmp_path, {**orders, (0.2, 2): "ce"})
    assert agreement_of(tmp_path) == [
        ["symmetric 20 %", "1.00", "1.00"],
        ["symmetric 50 %", "1.00", "1.00"],
    ]


def test_a_seed_on_which_all_methods_tie_has_no_order(tmp_path):
    write_orders(tmp_path, {(rate, 0): "ce elr gce" for rate in (0.2, 0.5)})
    write_orders(tmp_path, {(0.2, 1): "ce elr gce"})
    for method in ("ce", "elr", "gce"):
        write_trial(tmp_path, method, test=[0.1], rate=0.5, seed=1)
    assert agreement_of(tmp_path) == [
        ["symmetric 20 %", "1.00", "1.00"],
        ["symmetric 50 %", "1.00", "–"],
    ]


def test_the_best_of_a_column_is_the_best_of_those_shown(tmp_path):
    write_sweep(tmp_path, [("symmetric", 0.2), ("symmetric", 0.5)])
    write_trial(tmp_path, "mixup", test=[0.99], rate=0.2)  # and in no other cell
    assert [row[1].place for row in table_of(tmp_path).rows] == [0, 2, 1]


def test_cells_of_other_settings_are_not_told_apart_by_noise(tmp_path):
    write_sweep(
        tmp_path, [("symmetric", 0.2)] * 1, {key: (value[0],) for key, value in ACCURACIES.items()}
    )
    write_sweep(
        tmp_path,
        [("asymmetric", 0.4)],
        {key: (value[1],) for key, value in ACCURACIES.items()},
        precision="bf16",
    )
    assert table_of(tmp_path).columns == ["Method", "Average rank"]
    assert agreement_of(tmp_path) is None


def test_recipes_of_papers_are_the_methods_own(tmp_path):
    """Whichever method leads a cell."""
    for (method, values), rate in zip(ACCURACIES.items(), (0.01, 0.02, 0.03), strict=True):
        for noise, value in zip((0.2, 0.5), values, strict=True):
            write_trial(
                tmp_path,
                method,
                test=[value],
                rate=noise,
                spec={"protocol": "paper"},
                recipe={"learning_rate": rate},
            )
    assert table_of(tmp_path).columns[1:-1] == ["symmetric 20 %", "symmetric 50 %"]


def test_cells_without_names_of_their_own_are_not_compared(tmp_path):
    for precision in ("fp32", "bf16"):
        write_sweep(tmp_path, [("symmetric", 0.2), ("symmetric", 0.5)], precision=precision)
    assert agreement_of(tmp_path) is None
