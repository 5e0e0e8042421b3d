"""Walk through every file below a folder, in an order equal on all file systems and locales."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from bench.datasets.folder.image_formats import UNOPENABLE

HIDDEN = "hidden"
ASIDE = "left by thumbnailers, editors or systems"
OUTPUT = "output of this package"
DEAD_LINK = "dead links"
CIRCULAR = "circular links"
REPEATED_FOLDER = "links to a folder read already"
REPEATED_FILE = "links to a file read already"
SPECIAL = "pipes, sockets and devices"

#: Folders and files that programs leave beside images, in lower case.
_FOLDERS = {
    *"@eadir @__thumb @recycle #recycle $recycle.bin lost+found __macosx __pycache__".split(),
    *"thumbnails thumbs _thumbnails _thumbs _vti_cnf".split(),
    "system volume information",
}
_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
_ENDINGS = ("~", ".bak", ".orig", ".tmp", ".part", ".partial", ".crdownload", ".download")

_IMAGES = {"plots", "clean-thumbnails"}
#: Files of a sweep, a report and an audit, and the folders beside them that are no classes.
_OUTPUT = {
    "sweep.json": _IMAGES | {"trials", "checkpoints", "encoders"},
    "leaderboard.md": _IMAGES,
    "clean.html": _IMAGES,
}


@dataclass
class File:
    """A file below a folder."""

    name: str  # path below the folder
    place: str  # real path of the folder that holds the file, with the file's own name
    linked: bool = False
    reason: str | None = None  # why it is passed over, whatever it contains


@dataclass(frozen=True)
class Folder:
    """A folder to be read."""

    name: str  # path below the root, "" for the root
    place: str  # real path
    reason: str | None = None  # why all its files are passed over


def order(name: str) -> bytes:
    """Return the sort key of a path: its bytes, equal in every locale."""
    return os.fsencode(name)


def walk(root: str) -> tuple[list[File], list[str]]:
    """Return all files below the folder, and the names of the folders that were read, both sorted.

    Links to folders are followed once: first all real folders are read, then links, in order.
    """
    return _Walk(root).run()


class _Walk:
    """Reads a tree of folders."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: list[File] = []
        self.folders: list[str] = []
        self.links: list[tuple[str, str]] = []  # links to folders: name, place
        self.visited: set[tuple[int, int]] = set()  # device and inode of folders

    def run(self) -> tuple[list[File], list[str]]:
        self._read(Folder("", os.path.realpath(self.root)))
        while self.links:
            links, self.links = self.links, []
            for name, place in sorted(links, key=lambda link: order(link[0])):
                self._follow(name, place)
        self._pass_over_repeated_files()
        self.files.sort(key=lambda file: order(file.name))
        return self.files, sorted(self.folders, key=order)

    def _pass_over_repeated_files(self) -> None:
        """Pass over links to files that are used under their own names."""
        usable = [file for file in self.files if file.reason is None]
        real = {file.place for file in usable if not file.linked}
        for file in usable:
            if file.linked and os.path.realpath(file.place) in real:
                file.reason = REPEATED_FILE

    def _read(self, start: Folder) -> None:
        """Read a folder and the real folders below it."""
        stack = [start]  # no recursion: folders can lie deeper than Python's stack
        while stack:
            stack += self._list(stack.pop())

    def _list(self, folder: Folder) -> Iterator[Folder]:
        """Note the files of one folder; yield the folders in it."""
        path = os.path.join(self.root, folder.name)
        try:
            if folder.reason is None:
                status = os.stat(path)
                identity = status.st_dev, status.st_ino
                if identity in self.visited:  # a followed link has led here before
                    self.files.append(File(folder.name, folder.place, True, REPEATED_FOLDER))
                    return
                self.visited.add(identity)
            with os.scandir(path) as entries:
                listed = list(entries)
        except OSError:
            self.files.append(File(folder.name, folder.place, reason=folder.reason or UNOPENABLE))
            return
        if folder.name and folder.reason is None:
            self.folders.append(folder.name)
        output = set().union(*(_OUTPUT.get(entry.name, ()) for entry in listed))
        for entry in listed:
            name = os.path.join(folder.name, entry.name)
            place = os.path.join(folder.place, entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            reason = folder.reason or _set_aside(entry.name, is_folder)
            if is_folder:
                if entry.name in output:
                    reason = reason or OUTPUT
                yield Folder(name, place, reason)
            elif entry.is_symlink():
                self._note_link(name, place, reason)
            else:
                regular = entry.is_file(follow_symlinks=False)
                reason = reason or (None if regular else SPECIAL)
                self.files.append(File(name, place, reason=reason))

    def _note_link(self, name: str, place: str, reason: str | None) -> None:
        is_folder, fault = _target(os.path.join(self.root, name))
        reason = reason or fault
        if reason is None and is_folder:
            self.links.append((name, place))
        else:
            self.files.append(File(name, place, True, reason))

    def _follow(self, name: str, place: str) -> None:
        """Read the folder that a link leads to, unless that was read or holds the link itself."""
        target = os.path.realpath(os.path.join(self.root, name))
        if os.path.join(os.path.dirname(place), "").startswith(os.path.join(target, "")):
            self.files.append(File(name, place, True, CIRCULAR))
        else:
            self._read(Folder(name, target))


def _set_aside(name: str, is_folder: bool) -> str | None:
    """Return why a name is passed over, whatever it contains."""
    if name.startswith("."):
        return HIDDEN
    lower = name.lower()
    # Editors leave such files while a file is open.
    saved = lower.startswith("~$") or (len(lower) > 1 and lower[0] == lower[-1] == "#")
    backup = not is_folder and (saved or lower in _FILES or lower.endswith(_ENDINGS))
    return ASIDE if backup or lower in _FOLDERS else None


def _target(path: str) -> tuple[bool, str | None]:
    """Return True if a link leads to a folder, and what is wrong with the link."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        reasons = {errno.ELOOP: CIRCULAR, errno.EACCES: UNOPENABLE, errno.EPERM: UNOPENABLE}
        return False, reasons.get(error.errno or 0, DEAD_LINK)
    is_folder = stat.S_ISDIR(mode)
    return is_folder, None if is_folder or stat.S_ISREG(mode) else SPECIAL
