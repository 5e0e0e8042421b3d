"""Which code this is."""

from functools import cache
from pathlib import Path

__version__ = "0.1.0"

#: Written by setup.py into what is installed; a checkout has none, and asks git.
COMMIT_FILE = "commit.txt"


@cache
def git_commit() -> str | None:
    """The commit of the code, with a mark where files were changed since; None where nobody knows
    it.
    """
    folder = Path(__file__).resolve().parents[1]
    if (built := folder / COMMIT_FILE).is_file():
        return built.read_text().strip() or None
    return checkout_commit(folder.parent)


def checkout_commit(root: Path) -> str | None:
    """The commit of a checkout, marked -dirty where its files differ; None outside of one, and
    without git.
    """
    import subprocess

    if not (root / ".git").exists():
        return None
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
