"""Archives of records: what is read from them, and what is refused."""

import io
import tarfile
from pathlib import Path

import pytest
from fabricate import write_trial

from bench.errors import InputError
from bench.records.archive import opened, source_of
from bench.records.trials import check_sweep, read_trials


@pytest.fixture
def sweep(tmp_path) -> Path:
    for seed in range(20):
        write_trial(tmp_path / "sweep", test=[0.1, 0.2], seed=seed)
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    return tmp_path / "sweep"


def packed(sweep: Path, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in ("sweep.json", "trials"):
            archive.add(sweep / name, f"./{name}")
    return path


def with_member(path: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    """Write an archive of one member."""
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 2 * (kind == tarfile.REGTYPE)
        archive.addfile(member, io.BytesIO(b"{}"))
    return path


def test_an_archive_reads_as_its_folder(sweep, tmp_path):
    archive = packed(sweep, tmp_path / "board" / "records.tar.gz")
    for place in (archive, archive.parent):
        trials = list(read_trials(place))
        assert [trial.id for trial in trials] == [trial.id for trial in read_trials(sweep)]
        assert [trial.epochs for trial in trials] == [trial.epochs for trial in read_trials(sweep)]
    folder = opened(archive)
    assert folder.name == "board" and source_of(folder) == archive
    assert opened(archive) is folder and (folder / "sweep.json").exists()


def test_a_folder_with_records_of_its_own_is_read_in_place(sweep):
    packed(sweep, sweep / "records.tar.gz")
    assert opened(sweep) is sweep and source_of(sweep) is sweep


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../outside", tarfile.REGTYPE, ""),
        ("trials/../../outside", tarfile.REGTYPE, ""),
        ("/outside", tarfile.REGTYPE, ""),
        ("trials/a", tarfile.SYMTYPE, "/etc"),
        ("trials/a", tarfile.LNKTYPE, "sweep.json"),
        ("trials/a", tarfile.FIFOTYPE, ""),
        ("trials/a", tarfile.GNUTYPE_SPARSE, ""),
    ],
)
def test_paths_outside_and_links_are_refused(tmp_path, name, kind, target):
    archive = with_member(tmp_path / "records.tar.gz", name, kind, target)
    with pytest.raises(InputError, match="is a link or sparse, or leads out of the archive"):
        check_sweep(archive)
    assert not list(tmp_path.rglob("outside")) and not Path("/outside").exists()


def test_an_archive_that_grows_too_much_is_refused(sweep, tmp_path, monkeypatch):
    archive = packed(sweep, tmp_path / "records.tar.gz")
    check_sweep(archive)
    (sweep / "trials" / "zeros").write_bytes(bytes(1 << 20))
    monkeypatch.setattr("bench.records.archive._SMALL", 1 << 16)
    with pytest.raises(InputError, match="unpacks to more than"):
        check_sweep(packed(sweep, archive))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_a_torn_archive_is_one_sentence(sweep, tmp_path, share):
    archive = packed(sweep, tmp_path / "records.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"damaged \(.+\): get it again") as error:
        check_sweep(archive)
    assert "\n" not in str(error.value)


def test_a_changed_byte_is_noticed(sweep, tmp_path):
    archive = packed(sweep, tmp_path / "records.tar.gz")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        check_sweep(archive)


def test_files_that_are_no_sweep_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(InputError, match="no archive of records"):
        check_sweep(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="holds no sweep: pack one"):
        check_sweep(with_member(tmp_path / "other.tar.gz", "readme.md"))
