"""Build hook: writes the commit of the code into what is built, where there is no checkout to ask
any more.
"""

import os
import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
VERSION = runpy.run_path(str(ROOT / "bench" / "common" / "version.py"))


def write_commit(package: Path) -> None:
    """Write the commit into a built package; LNL_BENCH_COMMIT names it where .git is left out, as
    in a container.
    """
    commit = os.environ.get("LNL_BENCH_COMMIT") or VERSION["checkout_commit"](ROOT)
    if commit:
        (package / VERSION["COMMIT_FILE"]).write_text(f"{commit}\n")


class BuildWithCommit(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a checkout asks git
            write_commit(Path(self.build_lib) / "bench")


class SourceWithCommit(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(Path(base_dir) / "bench")


setup(cmdclass={"build_py": BuildWithCommit, "sdist": SourceWithCommit})
