"""Version and git commit of the code."""

from functools import cache
from pathlib import Path

__version__ = "0.1.0"

#: File with the commit, which setup.py writes into an installed package; a checkout has none.
COMMIT_FILE = "commit.txt"


@cache
def git_commit() -> str | None:
    """Return the commit of the code, marked -dirty after changes; None where it is not known."""
    folder = Path(__file__).resolve().parents[1]
    if (built := folder / COMMIT_FILE).is_file():
        return built.read_text().strip() or None
    return checkout_commit(folder.parent)


def checkout_commit(root: Path) -> str | None:
    """Return the commit of a checkout, marked -dirty after changes; None without one, or git."""
    # Not above: ``bench`` imports this module before its search path is in order.
    import subprocess

    if not (root / ".git").exists():
        return None
    describe = "describe --always --dirty --abbrev=40 --exclude=*".split()
    try:
        return subprocess.run(
            ["git", "-C", str(root), *describe], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
