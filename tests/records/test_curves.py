"""Reading of other people's curves, and the sentence for each thing that can be wrong."""

import gzip

import pytest
from curves import COLUMNS, SOURCE, run_rows, write_curves

from bench.errors import InputError
from bench.records.curves import Point, RunKey, read_curves, uneven

KEY = RunKey("fixmatch", "digits", "symmetric", 0.5, 0)
ROW = "fixmatch,digits,symmetric,0.5,0"


def test_a_run_is_read_in_the_order_of_its_epochs(tmp_path):
    second, first = run_rows().split("\n")[:2]
    path = write_curves(tmp_path / "a.csv", f"{first}\n\n{second}\n")
    curves = read_curves(path, {})
    assert curves.runs == {KEY: [Point(0.5, 0.5, None, None), Point(0.75, 0.75, None, None)]}
    assert curves.header == {"source": "A. Nybody, 2024"}


def test_percent_seconds_passes_and_a_header_are_read(tmp_path):
    rows = run_rows(test=(50, 93.1), more={"seconds": (2, ""), "passes": (2, 4)})
    header = f"{SOURCE}#unit : percent\n# licence: MIT\n"
    columns = f"{COLUMNS},seconds,passes"
    curves = read_curves(write_curves(tmp_path / "a.csv", rows, header=header, columns=columns), {})
    assert curves.runs[KEY] == [Point(0.5, 0.5, 2, 2), Point(0.931, 0.931, None, 4)]
    assert curves.header["licence"] == "MIT"


def test_a_network_of_a_library_is_a_backbone(tmp_path):
    path = write_curves(tmp_path / "a.csv", run_rows(), header=f"{SOURCE}# backbone: timm:vit\n")
    assert read_curves(path, {}).header["backbone"] == "timm:vit"


def test_options_go_before_the_header(tmp_path):
    path = write_curves(tmp_path / "a.csv", run_rows())
    assert read_curves(path, {"source": "B"}).header == {"source": "B"}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_compressed_file_and_any_line_end_is_read(tmp_path, ends):
    text = (SOURCE + COLUMNS + "\n" + run_rows()).replace("\n", ends)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode("utf-8-sig")))
    assert list(read_curves(tmp_path / "a.csv.gz", {}).runs) == [KEY]


@pytest.mark.parametrize("missing", ["", "nan", "NaN"])
def test_validation_may_be_missing_at_single_epochs(tmp_path, missing):
    path = write_curves(tmp_path / "a.csv", run_rows(noisy_val=(missing, 0.5)))
    assert read_curves(path, {}).runs[KEY][0].noisy_val_accuracy is None


def test_seeds_of_other_lengths_are_named(tmp_path):
    rows = run_rows(), run_rows(test=(0.1,), seed=1), run_rows("other")
    [sentence] = uneven(read_curves(write_curves(tmp_path / "a.csv", *rows), {}).runs)
    assert sentence.endswith("fixmatch on digits, symmetric 0.5 differ in length: 1 and 2 epochs")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "it has no rows: give it one an epoch"),
        (
            run_rows(test=(50, 75)),
            "line 3: noisy_val_accuracy is 50: give a number from 0 to 1, or the",
        ),
        (run_rows(test=(-0.1,)), "line 3: noisy_val_accuracy is -0.1: give a number from 0"),
        (run_rows(test=("inf",)), "line 3: noisy_val_accuracy is inf"),
        (run_rows(test=("high",)), "line 3: noisy_val_accuracy is 'high'"),
        (run_rows(test=(0.5, "nan")), "line 4: test_accuracy is missing"),
        (run_rows(test=(0.5, "")), "line 4: test_accuracy is missing"),
        (run_rows(noisy_val=("", "nan")), "seed 0 has no noisy_val_accuracy"),
        (f"{ROW},1,0.5,0.5\n", "begins at epoch 1: count epochs from 0"),
        (f"{ROW},0,0.5,0.5\n{ROW},2,0.5,0.5\n", "seed 0 lacks epoch 1: give all epochs"),
        (f"{ROW},0,0.5,0.5\n" * 2, "line 4: it repeats epoch 0 of fixmatch on digits"),
        (f"{ROW},0.0,0.5,0.5\n", "line 3: epoch is '0.0': give a whole number"),
        (f"{ROW},,0.5,0.5\n", "line 3: epoch is missing"),
        (run_rows(seed=""), "line 3: seed is missing: give a whole number from 0"),
        (run_rows(seed=-1), "line 3: seed is '-1': give a whole number from 0"),
        (run_rows("=cmd"), "line 3: method is '=cmd': give a name"),
        (run_rows(""), "line 3: method is ''"),
        (run_rows(cell="folder:x,symmetric,0.5"), "line 3: dataset is 'folder:x'"),
        (run_rows(cell="digits,symmetric,50"), "line 3: noise_rate is 50: give a fraction"),
        (f"{ROW},0,0.5\n", "line 3 has 7 values for 8 columns"),
        (f'{ROW},0,0.5,"0.5\n', "is no CSV (unexpected end of data): save the table"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, message):
    path = write_curves(tmp_path / "a.csv", rows)
    with pytest.raises(InputError) as error:
        read_curves(path, {})
    assert message in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        (SOURCE, COLUMNS.replace(",seed", ""), "it has no column seed: give it method"),
        (
            SOURCE,
            f"{COLUMNS},second",
            "there is no column of curves 'second': did you mean seconds",
        ),
        (SOURCE, f"{COLUMNS},seed", "it has two columns seed"),
        (SOURCE, "", "it is empty: give it the columns method"),
        ("", COLUMNS, "it does not say who ran this: add # source: NAME, or give --source"),
        ("# source:\n", COLUMNS, "it does not say who ran this"),
        (SOURCE * 2, COLUMNS, "# source is given twice"),
        ("# sauce: A\n", COLUMNS, "there is no key of a header line 'sauce': did you mean source?"),
        ("# A. Nybody\n", COLUMNS, "is no header line: write # key: value"),
        (f"{SOURCE}# unit: points\n", COLUMNS, "there is no unit of accuracies 'points'"),
        (f"{SOURCE}# backbone: =1+1\n", COLUMNS, "backbone is '=1+1': give a name of letters"),
        (f"{SOURCE}# unit: percent\n", COLUMNS, "reach 0.75 %, which looks like fractions"),
    ],
)
def test_bad_heads_are_named(tmp_path, header, columns, message):
    rows = run_rows() if columns else ""
    path = write_curves(tmp_path / "a.csv", rows, header=header, columns=columns)
    with pytest.raises(InputError) as error:
        read_curves(path, {})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "it is empty"),
        ("a.csv", "# source: \xc5".encode("latin-1"), "is no text in UTF-8: save it as UTF-8"),
        ("a.csv.gz", b"method", "is no whole gzip file"),
        ("a.csv.gz", gzip.compress(SOURCE.encode() * 99, mtime=0)[:-9], "is no whole gzip file"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_curves(tmp_path / name, {})
    assert message in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.csv.*: give a CSV file"):
        read_curves(tmp_path / "nowhere.csv", {})
