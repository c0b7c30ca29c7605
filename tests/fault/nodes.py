"""
What a disk is made of in the model, and each way of changing it.

Owns files, folders and links in their two forms, live (as programs see them) and kept (as the medium has
them), the changes of one file, and namings. Each is compared by identity: two files with the same bytes
are two files. The rules of what becomes durable when are disk.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .content import Content


@dataclass(slots=True, eq=False)
class File:
    """
    Hold a file as programs see it (live) and as the medium has it (kept).
    """

    live: Content
    kept: Content
    mode: int
    kept_mode: int


@dataclass(slots=True, eq=False)
class Folder:
    """
    Hold a folder's names as programs see them (live) and as the medium has them (kept).
    """

    mode: int
    live: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Symlink:
    """
    Hold a symbolic link; it is made in one piece and never changes.
    """

    target: str


Node = File | Folder | Symlink


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """
    Put bytes at an offset.
    """

    file: File
    at: int
    octets: bytes

    def onto(self, content: Content) -> Content:
        """
        Return *content* with the change made.
        """
        return content.write(self.at, self.octets)


@dataclass(frozen=True, slots=True, eq=False)
class Resized:
    """
    Cut off or grow a file to a size.
    """

    file: File
    size: int

    def onto(self, content: Content) -> Content:
        """
        Return *content* with the change made.
        """
        return content.resize(self.size)


@dataclass(frozen=True, slots=True, eq=False)
class Zeroed:
    """
    Turn what a file has of a range into zeros, without changing its size.
    """

    file: File
    at: int
    length: int

    def onto(self, content: Content) -> Content:
        """
        Return *content* with the change made.
        """
        inside = min(self.at + self.length, content.size) - self.at
        return content.write(self.at, bytes(max(inside, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """
    Make a file at least so long.
    """

    file: File
    size: int

    def onto(self, content: Content) -> Content:
        """
        Return *content* with the change made.
        """
        return content.resize(max(self.size, content.size))


@dataclass(frozen=True, slots=True, eq=False)
class Moded:
    """
    Change a file's permission bits.
    """

    file: File
    mode: int

    def onto(self, content: Content) -> Content:
        """
        Return *content* as it is: bits are not bytes.
        """
        return content


Change = Written | Resized | Zeroed | Grown | Moded


@dataclass(frozen=True, slots=True, eq=False)
class Naming:
    """
    Say what names stand for from now on; None takes a name away.
    """

    slots: tuple[tuple[Folder, str, Node | None], ...]

    def touches(self, folder: Folder) -> bool:
        """
        Say whether one of the names is in *folder*.
        """
        return any(where is folder for where, _, _ in self.slots)
