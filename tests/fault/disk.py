"""
One folder on a disk that has a cache: what programs see, what the medium keeps, and what lies between.

Owns the replay of recorded calls on files (told apart by inode), folders and their names, and the two
lists of what is not durable yet, in the order it was done:

``changes``  bytes, sizes and modes of one file each. ``fsync`` of the file moves them to the medium;
             ``fdatasync`` moves all but the mode.
``namings``  what a name in a folder stands for (create, rename, unlink, mkdir, rmdir, link, symlink). Only
             an ``fsync`` of a folder moves the namings that touch it; the ``fsync`` of a new file does not
             give it a name. A rename is one naming, both names or neither.

``image()`` builds the folder from any choice of the two lists. Which choices a power cut can make is
powercut.py's matter, not this room's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from .calllog import Call, Kind
from .content import EMPTY
from .folder import DirEntry, Entry, FileEntry, FolderState, LinkEntry
from .nodes import Change, File, Folder, Grown, Moded, Naming, Node, Resized, Symlink, Written, Zeroed

_PERMISSIONS: Final = 0o7777
_EXCHANGE: Final = 2  # RENAME_EXCHANGE
_KEEP_SIZE: Final = 1  # FALLOC_FL_KEEP_SIZE
_PUNCH_HOLE: Final = 2
_ZERO_RANGE: Final = 16


class Blind(Exception):
    """
    Say that the log does not tell the whole story, so no state built from it would be evidence.
    """


class Disk:
    """
    Hold one folder through a run; ``apply`` carries out the calls of a log one by one.
    """

    def __init__(self, initial: FolderState) -> None:
        """
        Start from *initial*, all of it durable.
        """
        self.root = Folder(0o755)
        self.changes: list[Change] = []
        self.namings: list[Naming] = []
        self._numbered: dict[int, Node] = {}
        for path, entry in initial.entries.items():
            folder, name = self._place(path)
            folder.live[name] = folder.kept[name] = _node_of(entry)

    def apply(self, call: Call) -> None:
        """
        Carry out *call*; one that failed changes nothing.

        Raises:
            Blind: the recorder saw a change that it could not record, or a call names what was never seen
                made.
        """
        if call.kind is Kind.BLIND:
            raise Blind(f"{call.path} was changed past the recorder, by {call.octets.decode()}")
        if call.error:
            return
        match call.kind:
            case Kind.CREATE | Kind.MKDIR | Kind.SYMLINK | Kind.LINK:
                self._make(call)
            case Kind.RENAME:
                self._rename(call)
            case Kind.UNLINK | Kind.RMDIR:
                self._remove(call)
            case Kind.WRITE | Kind.TRUNCATE | Kind.ALLOCATE | Kind.CHMOD:
                self._change(call)
            case Kind.FSYNC | Kind.FDATASYNC:
                self._sync(call)
            case Kind.SYNC_ALL:
                self._sync_everything()
            case _:
                pass  # MARK changes nothing; sync_file_range promises nothing, its manual says

    def image(self, namings: Iterable[Naming], changes: Sequence[Change]) -> dict[str, Entry]:
        """
        Return the folder if the medium had kept, beside what is durable, just *namings* and *changes*.
        """
        names: dict[Folder, dict[str, Node]] = {}
        for naming in namings:
            for folder, name, node in naming.slots:
                _put(names.setdefault(folder, dict(folder.kept)), name, node)
        files: dict[File, FileEntry] = {}
        for change in changes:
            old = files.get(change.file) or FileEntry(change.file.kept, change.file.kept_mode)
            mode = change.mode if isinstance(change, Moded) else old.mode
            files[change.file] = FileEntry(change.onto(old.content), mode)
        return dict(_walk(self.root, "", names, files))

    def live_image(self) -> dict[str, Entry]:
        """
        Return the folder as programs see it.
        """
        files = {change.file: FileEntry(change.file.live, change.file.mode) for change in self.changes}
        names = {slot[0]: slot[0].live for naming in self.namings for slot in naming.slots}
        return dict(_walk(self.root, "", names, files))

    def reachable(self) -> list[Change]:
        """
        Return the changes that can show in some image, leaving out files that no name can bring back.
        """
        named: set[Node] = {
            node for naming in self.namings for _, _, node in naming.slots if node is not None
        }
        waiting: list[Node] = [self.root, *named]
        seen: set[Node] = set()
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                if isinstance(node, Folder):
                    waiting += node.kept.values()
        return [change for change in self.changes if change.file in seen]

    def _place(self, path: str) -> tuple[Folder, str]:
        """
        Return the folder a path's last name is in, and that name.
        """
        if path.startswith("/"):
            raise Blind(
                "something was moved over the edge of the recorded folder; record the folder above it"
            )
        *above, name = path.split("/")
        folder = self.root
        for part in above:
            below = folder.live.get(part)
            if not isinstance(below, Folder):
                raise Blind(f"{path}: the folder it is in was made past the recorder")
            folder = below
        return folder, name

    def _node(self, call: Call) -> Node:
        """
        Return the node a call is about: by inode, or by name where the run has not named that inode yet.
        """
        if call.path == "":
            return self.root
        known = self._numbered.get(call.file)
        if known is None:
            folder, name = self._place(call.path)
            known = folder.live.get(name)
            if known is None:
                raise Blind(f"{call.path} was made past the recorder")
            self._numbered[call.file] = known
        return known

    def _name(self, *slots: tuple[Folder, str, Node | None]) -> None:
        for folder, name, node in slots:
            _put(folder.live, name, node)
        self.namings.append(Naming(slots))

    def _make(self, call: Call) -> None:
        mode = call.mode & _PERMISSIONS
        node: Node
        match call.kind:
            case Kind.MKDIR:
                node = Folder(mode)
            case Kind.SYMLINK:
                node = Symlink(os.fsdecode(call.octets))
            case Kind.LINK:
                node = self._node(replace(call, path=call.other))
            case _:
                node = File(EMPTY, EMPTY, mode, mode)
        self._numbered[call.file] = node
        if not call.unnamed:
            folder, name = self._place(call.path)
            self._name((folder, name, node))

    def _rename(self, call: Call) -> None:
        if call.path.startswith("/"):
            raise Blind(f"{call.other} was moved in from outside the recorded folder")
        node = self._node(call)
        source, old = self._place(call.path)
        if call.other.startswith("/"):
            self._name((source, old, None))
            return
        target, new = self._place(call.other)
        there = target.live.get(new)
        if there is node:
            return  # two names of one file: POSIX leaves both
        self._name((source, old, there if call.flags & _EXCHANGE else None), (target, new, node))

    def _remove(self, call: Call) -> None:
        if not (stat.S_ISREG(call.mode) or stat.S_ISDIR(call.mode) or stat.S_ISLNK(call.mode)):
            return  # sockets and pipes are not part of a state
        self._node(call)  # an open file goes on living under its number
        folder, name = self._place(call.path)
        self._name((folder, name, None))

    def _change(self, call: Call) -> None:
        node = self._node(call)
        if isinstance(node, Folder):
            node.mode = call.flags & _PERMISSIONS  # only chmod; its durability changes nothing here
            return
        if not isinstance(node, File):
            raise Blind(f"{call.path} is a link, yet was written")
        for change in _changes_of(call, node):
            node.live = change.onto(node.live)
            if isinstance(change, Moded):
                node.mode = change.mode
            self.changes.append(change)
        # A write with O_DSYNC takes the file's size with it, but not what was written before it without.
        if (
            call.durable
            and sum(isinstance(change, Written) for change in self.changes if change.file is node) == 1
        ):
            self._keep(node, with_mode=False)

    def _sync(self, call: Call) -> None:
        node = self._node(call)
        if isinstance(node, File):
            self._keep(node, with_mode=call.kind is Kind.FSYNC)
        elif isinstance(node, Folder):
            self._settle(node)

    def _keep(self, file: File, *, with_mode: bool) -> None:
        file.kept = file.live
        if with_mode:
            file.kept_mode = file.mode
        self.changes = [
            change
            for change in self.changes
            if change.file is not file or (isinstance(change, Moded) and not with_mode)
        ]

    def _settle(self, folder: Folder | None) -> None:
        """
        Make the namings that touch *folder* durable (all, where it is None), and what they build upon.

        An earlier naming of a name that becomes durable here (the create, in another folder, of what was
        renamed into this one) must not come back later on top of it.
        """
        settled: set[tuple[Folder, str]] = set()
        durable: list[Naming] = []
        for naming in reversed(self.namings):
            names = {(where, name) for where, name, _ in naming.slots}
            if folder is None or naming.touches(folder) or names & settled:
                settled |= names
                durable.append(naming)
        for naming in reversed(durable):
            for where, name, node in naming.slots:
                _put(where.kept, name, node)
            self.namings.remove(naming)

    def _sync_everything(self) -> None:
        for file in {change.file for change in self.changes}:
            self._keep(file, with_mode=True)
        self._settle(None)


def _put(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _node_of(entry: Entry) -> Node:
    match entry:
        case FileEntry(content, mode):
            return File(content, content, mode, mode)
        case DirEntry(mode):
            return Folder(mode)
        case LinkEntry(target):
            return Symlink(target)


def _changes_of(call: Call, file: File) -> Iterator[Change]:
    match call.kind:
        case Kind.WRITE:
            yield Written(file, call.offset, call.octets)
        case Kind.TRUNCATE:
            yield Resized(file, call.length)
        case Kind.CHMOD:
            yield Moded(file, call.flags & _PERMISSIONS)
        case _:
            if call.flags & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE):
                raise Blind(
                    f"{call.path}: fallocate with mode {call.flags} moves bytes; the model does not know how"
                )
            if call.flags & (_PUNCH_HOLE | _ZERO_RANGE):
                yield Zeroed(file, call.offset, call.length)
            if not call.flags & _KEEP_SIZE:
                yield Grown(file, call.offset + call.length)


def _walk(
    folder: Folder, prefix: str, names: dict[Folder, dict[str, Node]], files: dict[File, FileEntry]
) -> Iterator[tuple[str, Entry]]:
    for name, node in sorted(names.get(folder, folder.kept).items()):
        path = prefix + name
        match node:
            case File():
                yield path, files.get(node) or FileEntry(node.kept, node.kept_mode)
            case Folder():
                yield path, DirEntry(node.mode)
                yield from _walk(node, path + "/", names, files)
            case Symlink(target):
                yield path, LinkEntry(target)
