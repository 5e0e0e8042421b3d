"""Exact files of fixed records: a change here changes tables that users have printed.

Where a change is meant, ``python tests/support/golden_tables.py`` writes them anew.
"""

import pytest
from golden_tables import FILES, FOLDER, files_of, write_sweep


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, bytes]:
    sweep = tmp_path_factory.mktemp("golden")
    write_sweep(sweep)
    return files_of(sweep)


@pytest.mark.parametrize("name", FILES)
def test_files_are_what_they_were(made, name):
    assert made[name].decode() == (FOLDER / name).read_text(encoding="utf-8")
