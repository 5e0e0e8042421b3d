"""Folder of caches: where it is, and folders that cannot be used."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from image_sets import own_set

from bench.datasets import load_dataset
from bench.datasets.images import cache_folder, decoded_cache
from bench.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def places(monkeypatch, tmp_path: Path, **variables: str | None) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir(exist_ok=True)
    for name in ("LNL_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)


def test_where_caches_are(tmp_path, monkeypatch):
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    places(monkeypatch, tmp_path)
    assert cache_folder.cache_folder() == own and not (tmp_path / "home").exists(), (
        "no home folder is made"
    )
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    (tmp_path / "home").mkdir()
    assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "lnl-bench"
    places(monkeypatch, tmp_path, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert cache_folder.cache_folder() == tmp_path / "xdg" / "lnl-bench"
    for relative in ("caches", "./caches", ""):
        places(monkeypatch, tmp_path, XDG_CACHE_HOME=relative)
        assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "lnl-bench", (
            "the specification has it ignored"
        )
    places(monkeypatch, tmp_path, XDG_CACHE_HOME="~/xdg")
    assert cache_folder.cache_folder() == tmp_path / "home" / "xdg" / "lnl-bench"
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE="~/mine")
    assert cache_folder.cache_folder() == tmp_path / "home" / "mine"
    monkeypatch.chdir(tmp_path)
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE="here")
    assert cache_folder.cache_folder() == tmp_path / "here", (
        "also for processes that start elsewhere"
    )
    (tmp_path / "file").touch()
    places(monkeypatch, tmp_path, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert cache_folder.cache_folder() == own
    places(monkeypatch, tmp_path, LNL_BENCH_CACHE=str(tmp_path / "file"))
    with pytest.raises(
        InputError,
        match=r"cannot keep files in .*file' \(.+\): name another folder in LNL_BENCH_CACHE",
    ):
        cache_folder.cache_folder()


@pytest.mark.parametrize("trap", ["open to all", "a link", "a file", "somebody else's"])
def test_a_temporary_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch, trap):
    places(monkeypatch, tmp_path)
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    if trap == "open to all":
        own.mkdir()
        own.chmod(0o777)
    elif trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        own.symlink_to(tmp_path / "elsewhere")
    elif trap == "a file":
        own.touch()
    else:
        own.mkdir(mode=0o700)
        uid = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
        own.rename(own.with_name(f"lnl-bench-{uid + 1}"))
    with pytest.raises(
        InputError, match="name a folder in the environment variable LNL_BENCH_CACHE"
    ) as error:
        cache_folder.cache_folder()
    assert "\n" not in str(error.value)


def test_a_user_whom_the_system_does_not_know(tmp_path, monkeypatch):
    places(monkeypatch, tmp_path, HOME=None)

    def unknown(*_):
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    own = tmp_path / "tmp" / f"lnl-bench-{os.getuid()}"
    assert cache_folder.cache_folder() == own
    for variable in ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(variable, "x")  # so that it is put back
        monkeypatch.delenv(variable)
    cache_folder.keep_library_caches()
    assert os.environ["MPLCONFIGDIR"] == str(own / "matplotlib")
    images = own_set(tmp_path / "d")
    assert len(load_dataset(f"folder:{images}").train_images) == 16 and list(
        own.glob("images-*/images.u8")
    )
    monkeypatch.setenv("LNL_BENCH_CACHE", "~/mine")
    with pytest.raises(
        InputError,
        match="LNL_BENCH_CACHE is '~/mine', but there is no home folder: give a path without ~",
    ):
        cache_folder.cache_folder()


@pytest.mark.parametrize("explicit", [True, False])
def test_a_read_only_cache_is_read_and_what_it_lacks_goes_elsewhere(
    tmp_path, monkeypatch, explicit
):
    root, other = own_set(tmp_path / "d"), own_set(tmp_path / "other", each=6)
    variables = (
        {"LNL_BENCH_CACHE": str(tmp_path / "kept")}
        if explicit
        else {"XDG_CACHE_HOME": str(tmp_path / "kept")}
    )
    places(monkeypatch, tmp_path, **variables)
    whole = np.array(load_dataset(f"folder:{root}").train_images)
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not str(path).startswith(str(tmp_path / "kept")) and access(path, mode),
    )
    with monkeypatch.context() as patch:
        patch.setattr(decoded_cache, "decode", lambda *_, **__: pytest.fail("decoded again"))
        patch.setattr(decoded_cache, "locked", lambda *_: pytest.fail("opened for writing"))
        np.testing.assert_array_equal(load_dataset(f"folder:{root}").train_images, whole)
        cache_folder.keep_library_caches()
    if explicit:
        with pytest.raises(
            InputError,
            match=r"cannot keep files in .*kept' \(it is read-only\): name another folder",
        ):
            load_dataset(f"folder:{other}")
    else:
        assert len(load_dataset(f"folder:{other}").test_images) == 2
        assert list((tmp_path / "tmp").glob("lnl-bench-*/images-*/images.u8"))


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        InputError,
        match=r"cannot keep decoded images in .*cache' \(No space left on device\): .*"
        r"LNL_BENCH_CACHE",
    ):
        load_dataset(f"folder:{own_set(tmp_path / 'd')}")


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become a user whom the system does not know"
)
def test_a_container_without_a_home_folder():
    code = (
        "import os, sys, bench.datasets.images.cache_folder as c\n"
        "for name in ('HOME', 'XDG_CACHE_HOME', 'LNL_BENCH_CACHE'): os.environ.pop(name, None)\n"
        "os.setuid(54321)\n"
        "c.keep_library_caches(); print(c.cache_folder())\n"
    )
    with tempfile.TemporaryDirectory() as place:  # those of tmp_path are its user's alone
        Path(place).chmod(0o777)
        env = {**os.environ, "TMPDIR": place}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
        )
    assert done.stdout == f"{Path(place) / 'lnl-bench-54321'}\n", done.stderr


def test_a_path_in_a_home_folder_that_is_not_there(tmp_path):
    with pytest.raises(
        InputError, match="there is no home folder for '~nobody-here/d': write the path without ~"
    ):
        load_dataset("folder:~nobody-here/d")
