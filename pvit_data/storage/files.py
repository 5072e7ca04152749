"""Local files that are complete under their name or not there: written beside it, flushed, then renamed."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pvit_data.errors import StorageError, UsageError
from pvit_data.words import shown

PART = ".part-"  # temporary files: .NAME.part-UUID

LITTER = frozenset(
    {
        ".ds_store", "__macosx", ".appledouble", ".spotlight-v100", ".trashes", ".fseventsd",
        "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
        "@eadir", "#recycle", "lost+found", ".directory", ".ipynb_checkpoints",
    }
)  # fmt: skip
"""Names, in small letters, of what desktops, file servers, archivers and notebooks leave in any folder."""


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data.

    >>> is_litter("._train-00000.tar"), is_litter("Thumbs.db"), is_litter(".nv-meta")
    (True, True, False)
    """
    return name.startswith(("._", ".nfs", ".fuse_hidden", ".Trash-")) or name.lower() in LITTER


def open_regular(path: str | Path) -> int:
    """Opens a regular file for reading; links are followed, and nothing is waited for.

    Returns:
        Its descriptor.

    Raises:
        OSError: if it cannot be opened, or is a folder, a pipe, a device or a socket.
    """
    descriptor = -1
    try:
        _require_regular(
            path, os.stat(path).st_mode
        )  # before opening: that alone moves some devices
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        _require_regular(path, os.fstat(descriptor).st_mode)
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        raise
    return descriptor


def _require_regular(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        reason = os.strerror(kind) if kind == errno.EISDIR else "not a regular file"
        raise OSError(kind, reason, str(path))


def read_regular(path: str | Path, limit: int | None = None) -> bytes:
    """The contents of a regular file, and of nothing else; at most `limit` bytes of it.

    Raises:
        OSError: if it cannot be read or is no regular file.
    """
    with open(open_regular(path), "rb") as file:
        return file.read(-1 if limit is None else limit)


def regular_size(path: str | Path) -> int:
    """Bytes of a regular file.

    Raises:
        OSError: if there is none, or it is no regular file.
    """
    found = os.stat(path)
    _require_regular(path, found.st_mode)
    return found.st_size


def walk(root: Path, depth: int) -> Iterator[tuple[str, int]]:
    """Names and bytes of the regular files of a folder, at most so many names deep; -1 for what links lead to.

    Linked folders are entered, unless they lead back to where one came from.
    """
    stack: list[tuple[str, tuple[str, ...], bool]] = [("", (os.path.realpath(root),), False)]
    while stack:
        folder, above, is_linked = stack.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError:  # a folder that may not be looked into holds nothing for us
            continue
        for entry in entries:
            name = f"{folder}{entry.name}"
            linked = is_linked or entry.is_symlink()
            if os.path.isfile(entry.path):  # which knows what to think of links to themselves
                with suppress(FileNotFoundError):
                    yield name, -1 if linked else entry.stat().st_size
            elif len(above) < depth and os.path.isdir(entry.path):
                real = os.path.realpath(entry.path) if linked else f"{above[-1]}/{entry.name}"
                if real not in above:
                    stack.append((f"{name}/", (*above, real), linked))


def is_ours(name: str) -> bool:
    """Whether a path in a dataset is no temporary file and no litter."""
    return PART not in name and not any(map(is_litter, name.split("/")))


def require_plain(name: str) -> None:
    """Refuses names that are no path below a folder: absolute ones, `..`, empty parts.

    Raises:
        StorageError: with the name.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise StorageError(f"{shown(name[:200])!r} is no name of a file inside a dataset")


def require_inside(root: Path, name: str) -> None:
    """Refuses to read what links put outside of a folder.

    Args:
        root: the folder, which may be a link itself.
        name: of a file in it; see `require_plain`.

    Raises:
        StorageError: naming the file and where it leads.
    """
    path = os.fspath(root)
    linked = False
    for part in name.split("/"):
        path = f"{path}/{part}"
        linked = linked or os.path.islink(path)
    if not linked:
        return
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(folder) for folder in _own(Path(os.path.realpath(root)))):
        raise StorageError(
            f"{path}: leads out of the folder, to {real}: put the file itself there, or open the folder that holds it"
        )


def _own(folder: Path) -> list[Path]:
    """Where the files of a folder may lie: in it, and what the Hub's client has fetched (`snapshots/COMMIT`) in the
    `blobs` of the same repository."""
    return [
        folder,
        *(above.parent / "blobs" for above in folder.parents if above.name == "snapshots"),
    ]


def require_unlinked(root: str | Path, path: str | Path) -> None:
    """Refuses to write where a link in a folder of ours leads elsewhere.

    Args:
        root: a folder that the user named; it may be a link itself.
        path: below it; its own last part may be a link, which writing replaces.

    Raises:
        UsageError: naming the link and where it leads.
    """
    root = Path(root)
    folder = root
    for part in Path(path).relative_to(root).parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise UsageError(
                f"{folder}: is a link to {os.readlink(folder)}; nothing is written through links: "
                "make it a folder, or choose another place"
            )


def temporary(path: Path) -> Path:
    """A fresh name beside a file, for what will take its place."""
    return path.with_name(f".{path.name}{PART}{uuid.uuid4().hex}")


def require_replaceable(path: str | Path) -> None:
    """Refuses to put a file in the place of a pipe, a device or a socket, or of a link to one such as /dev/stdout.

    Raises:
        OSError: naming it.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing is there, or a link that leads nowhere
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(
            errno.EINVAL, "is a pipe or a device, where no file can be put: name a file", str(path)
        )


@contextmanager
def replacing(path: str | Path, *, follow: bool = False) -> Iterator[Path]:
    """Gives a temporary name to write to; afterwards that file is flushed to disk and takes the place of `path`.

    If the block fails, the temporary file is removed and `path` stays as it was. Folders are made as needed.

    Args:
        path: what is no regular file is never replaced.
        follow: where `path` is a link, the file that it leads to is replaced, as is right for one that the user named;
            else the link, as is right in folders whose links are somebody else's.

    Raises:
        OSError: if the file cannot be written.
    """
    require_replaceable(path)
    path = Path(os.path.realpath(path) if follow else path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        yield part
        sync(part)
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):  # people know the file, not its temporary name
            error.filename, error.filename2 = str(path), None
        raise
    sync(path.parent)


def replace(part: Path, path: Path) -> None:
    """Gives a finished temporary file its name, for good.

    Raises:
        OSError: if it cannot be renamed.
    """
    require_replaceable(path)
    os.replace(part, path)
    sync(path.parent)


@contextmanager
def held_alone(folder: Path) -> Iterator[bool]:
    """Makes a folder and holds it while the block runs; gives False where another process holds it.

    A process that ended holds nothing, however it ended. At the end the folder goes if it is empty. Where the file
    system knows no locks, everyone holds it.

    Raises:
        OSError: if it cannot be made.
    """
    descriptor = _held(folder)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):
                os.rmdir(folder)
            os.close(descriptor)


def _held(folder: Path) -> int | None:
    """A descriptor that holds a folder; None: another process has one."""
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            return descriptor
        with suppress(FileNotFoundError):  # its last holder may just have removed it
            if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
                return descriptor
        os.close(descriptor)


def open_appended(path: str | Path) -> TextIO:
    """Opens a text file that exists, to write at its end; never through a link, nor into a pipe or device.

    Raises:
        OSError: if it cannot be opened, or is something else.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "a", encoding="utf-8")
    except BaseException:
        os.close(descriptor)
        raise


def write_file(path: str | Path, data: bytes | str, *, follow: bool = False) -> None:
    """Writes a whole file atomically; text as `utf8` encodes it. `follow`: see `replacing`.

    Raises:
        OSError: if it cannot be written; `path` stays as it was.
    """
    with replacing(path, follow=follow) as part:
        part.write_bytes(utf8(data) if isinstance(data, str) else data)


def utf8(text: str) -> bytes:
    r"""Text as UTF-8. Bytes of file names that are no UTF-8 are written as JSON writes them (`\udcff`), and come back.

    >>> utf8("a\udcff.mp4")
    b'a\\udcff.mp4'
    """
    return text.encode("utf-8", "backslashreplace")


def sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to disk, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
