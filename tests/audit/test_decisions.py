"""Decisions of a reviewer: what is read, and what is refused."""

import numpy as np
import pytest
from audits import CLASSES
from reviews import HEADER, write_decisions

from bench.audit.decisions import Review, read_decisions, read_flagged, summary
from bench.audit.samples import Samples
from bench.errors import InputError

SAMPLES = Samples(
    CLASSES,
    ("cat/1.png", "dog/2.png", "fox/3.png", '=cmd|"x", y.png'),
    np.array(["train"] * 3 + ["test"]),
    np.array([0, 1, 2, 0]),
    np.array([0, 1, 2, 0]),
)


def test_decisions_of_every_kind_are_read(tmp_path):
    lines = "cat/1.png,cat,relabel,dog", "dog/2.png,dog,keep,dog", "fox/3.png,fox,drop,"
    hostile = '"=cmd|""x"", y.png",cat,skip,'
    path = write_decisions(tmp_path / "decisions.csv", SAMPLES, *lines, hostile)
    with pytest.warns(UserWarning, match="formulas"):
        review = read_decisions(path, SAMPLES)
    assert review == Review({0: 1, 1: 1}, frozenset([2]), frozenset([3]))
    assert summary(review, SAMPLES) == (
        "labels: 1 kept, 1 changed; samples: 1 dropped, 1 undecided"
    )


def test_a_spreadsheets_line_ends_and_mark_are_read(tmp_path):
    path = write_decisions(tmp_path / "decisions.csv", SAMPLES, "cat/1.png,cat,keep,cat")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_decisions(path, SAMPLES).labels == {0: 0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../cat/1.png,cat,keep,cat", "leads out of the data set"),
        ("/etc/passwd,cat,keep,cat", "leads out of the data set"),
        ("cat/9.png,cat,keep,cat", "not in the data set"),
        ("cat/1.png,dog,keep,dog", "given label is 'dog'"),
        ("cat/1.png,cat,relabel,cow", "no class"),
        ("cat/1.png,cat,relabel,", "no class"),
        ("cat/1.png,cat,relabel,cat", "write keep"),
        ("cat/1.png,cat,keep,dog", "write relabel"),
        ("cat/1.png,cat,drop,dog", "leave the label"),
        ("cat/1.png,cat,delete,", "decision 'delete'"),
        ("cat/1.png,cat,keep", "5 fields for 6 columns"),
        ("dog/2.png,dog,drop,", "as line 2"),
    ],
)
def test_lines_that_do_not_fit_are_refused(tmp_path, line, message):
    path = write_decisions(tmp_path / "decisions.csv", SAMPLES, "dog/2.png,dog,keep,dog", line)
    with pytest.raises(InputError, match=message) as error:
        read_decisions(path, SAMPLES)
    assert "line 3" in str(error.value)


@pytest.mark.parametrize("length", range(len(HEADER) - 5, 170, 7))
def test_half_a_file_is_refused(tmp_path, length):
    lines = "cat/1.png,cat,relabel,dog", '"dog/2.png",dog,keep,dog', "fox/3.png,fox,drop,"
    path = write_decisions(tmp_path / "decisions.csv", SAMPLES, *lines)
    assert length < len(path.read_bytes()) - 1
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError):
        read_decisions(path, SAMPLES)


def test_decisions_of_other_data_are_refused(tmp_path):
    other = Samples(CLASSES, SAMPLES.names, SAMPLES.split, SAMPLES.index, np.array([0, 1, 2, 1]))
    path = write_decisions(tmp_path / "decisions.csv", other, "cat/1.png,cat,keep,cat")
    with pytest.raises(InputError, match="other data"):
        read_decisions(path, SAMPLES)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"path;given_label\n", b'a,"b\n'])
def test_files_of_other_kinds_are_refused(tmp_path, content):
    path = tmp_path / "decisions.csv"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_decisions(path, SAMPLES)
    with pytest.raises(InputError):
        read_decisions(tmp_path, SAMPLES)


def test_flagged_samples_are_read_from_suspects(tmp_path):
    path = tmp_path / "suspects.csv"
    path.write_text("rank,path,given_label,flagged\n1,dog/2.png,dog,True\n2,cat/1.png,cat,False\n")
    assert read_flagged(path, SAMPLES) == {1}
    path.write_text("path,given_label,flagged\ndog/2.png,dog,perhaps\n")
    with pytest.raises(InputError, match="'perhaps'"):
        read_flagged(path, SAMPLES)
