"""A channel's folder on its publisher's disk: read only if it may be believed, changed whole or not at all.

``channel.json`` and its signatures are several files, and no file system replaces several at once. They are written
completely into the hidden folder ``.publishing`` first, whose appearance is the point of no return, and then
renamed into place, one after the other. Whoever opens the folder next finishes what a killed publisher has begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.errors import NotFoundError, StorageError
from ossdist.release import layout, model, update
from ossdist.release.channel import decode_channel
from ossdist.release.signing import GpgVerifier
from ossdist.store.files import sync_folder, write_atomically, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from ossdist.clock import Clock
    from ossdist.release.channel import Channel

_LOCK = ".publish.lock"
_PENDING = ".publishing"
_UNFINISHED = ".publishing.tmp"
_LOCK_S = 0.05
"""How often the lock is tried."""


class ChannelFolder:
    """The folder that static servers serve. Everything but `locked` asks that `locked` is held.

    Args:
        path: Where it is.
        clock: Says whether the root has expired.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    @contextlib.contextmanager
    def locked(self, check: Callable[[], None], *, make: bool = False) -> Generator[None]:
        """One publisher at a time.

        Args:
            check: Called again and again while another one is at work; what it raises ends the wait.
            make: Make the folder if it is missing.

        Raises:
            NotFoundError: It is missing.
            StorageError: It cannot be written to.
        """
        with writing(self.path):
            if make:
                self.path.mkdir(parents=True, exist_ok=True)
            elif not self.path.exists():
                raise NotFoundError("a channel", str(self.path))
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not _take(lock):
                check()
                time.sleep(_LOCK_S)
            yield
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def staging(self) -> Generator[Path]:
        """A place on the same file system, where a payload can grow.

        Raises:
            StorageError: It cannot be made.
        """
        files = self.path / "files"
        with writing(files):
            files.mkdir(exist_ok=True)
            for leftover in files.glob(".staging-*"):  # of a publisher that was killed; the lock is ours
                shutil.rmtree(leftover, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=files))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    # --- reading ---------------------------------------------------------------------------------------

    def load(self) -> tuple[model.Root, Channel]:
        """The root and the channel, which the root's keys must have signed; both, and the keys, may have expired.

        Raises:
            NotFoundError: There is no channel.
            TrustError: The channel is not signed as the root demands, or a page of its index is not the listed one.
            FormatError: One of them is malformed.
            StorageError: One of them cannot be read, or what a killed publisher left cannot be finished.
            ProgramMissingError: gpg cannot be run.
        """
        self._finish()
        data = self.read(layout.CHANNEL)
        root = model.decode_root(self.read(layout.ROOT))
        signatures = list(self.signatures(layout.CHANNEL, root.roles.channel.keys).values())
        with GpgVerifier(root, clock=self._clock) as verifier:
            accepted = update.accept_own_channel(root, data, verifier.verify(data, signatures))
        pages = [self.read(page.path) for page in accepted.document.index]
        return root, update.accept_index(accepted, pages).channel

    def signatures(self, path: str, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of these keys' signatures of a document that are there, by fingerprint; nobody has checked them.

        Raises:
            StorageError: One cannot be read.
        """
        found: dict[str, bytes] = {}
        for key in keys:
            with contextlib.suppress(NotFoundError):  # the threshold decides whether it was needed
                found[key] = self.read(layout.signature_path(path, key))
        return found

    def is_taken(self) -> bool:
        """There is a channel, or there was one that had releases. What a killed `create` left does not count.

        Raises:
            StorageError: It cannot be read.
        """
        if (self.path / layout.ROOT).exists():
            return True
        try:
            return bool(decode_channel(self.read(layout.CHANNEL)).index)
        except NotFoundError:
            return False

    def read(self, path: str) -> bytes:
        """A document; nobody has checked it.

        Raises:
            NotFoundError: It is not there.
            StorageError: It cannot be read.
        """
        try:
            return (self.path / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(path, str(self.path)) from error
        except OSError as error:
            raise StorageError(f"cannot read {self.path / path}: {error.strerror}", path=self.path / path) from error

    # --- writing ---------------------------------------------------------------------------------------

    def put_payload(self, payload: Path) -> None:
        """Moves a release's folder from the staging folder to its place.

        Raises:
            StorageError: It cannot be moved.
        """
        final = self.path / "files" / payload.name
        with writing(final):
            # Without an entry in the channel this is what a killed publisher left.
            shutil.rmtree(final, ignore_errors=True)
            payload.replace(final)
        sync_folder(final.parent)

    def put(self, path: str, data: bytes) -> None:
        """Writes one document.

        Raises:
            StorageError: It cannot be written.
        """
        target = self.path / path
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)

    def put_pages(self, pages: Mapping[str, bytes], *, keep: Iterable[str]) -> None:
        """Writes pages of the channel's index; readers see them when the channel lists them.

        Args:
            pages: Their bytes by their paths.
            keep: Pages that readers of the channel as it is now still need. All others are removed.

        Raises:
            StorageError: They cannot be written.
        """
        for path, data in pages.items():
            if not (self.path / path).exists():  # it is named by its hash
                self.put(path, data)
        needed = {*pages, *keep}
        folder = (self.path / layout.page_path("")).parent
        for page in folder.iterdir() if folder.is_dir() else ():  # also what a killed publisher left half-written
            if str(page.relative_to(self.path)) not in needed:
                page.unlink(missing_ok=True)

    def drop_signatures(self, path: str, *, keep: Iterable[str]) -> None:
        """Removes a document's signatures but for these keys'."""
        kept = {layout.signature_path(path, key) for key in keep}
        for signature in self.path.glob(f"{path}.*.asc"):
            if signature.name not in kept:
                signature.unlink(missing_ok=True)

    def put_together(self, documents: Mapping[str, bytes], check: Callable[[], None]) -> None:
        """Replaces documents that stand side by side in the folder itself: all of them, or none.

        Readers may see some of them replaced and others not for as long as the renames take. After a failure among
        the renames themselves, the next `load` finishes them.

        Args:
            documents: Their bytes by name.
            check: Called as long as nothing is decided; what it raises stops this, and leaves none of them.

        Raises:
            StorageError: They cannot be written.
        """
        unfinished, pending = self.path / _UNFINISHED, self.path / _PENDING
        with writing(unfinished):
            # A killed `create` may have left either; `load` has finished what counts.
            for leftover in (unfinished, pending):
                shutil.rmtree(leftover, ignore_errors=True)
            unfinished.mkdir()
        try:
            for name, data in documents.items():
                check()
                write_atomically(unfinished / name, data)
            check()
            with writing(pending):
                unfinished.replace(pending)
        except Exception:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(self.path)
        self._finish()

    def _finish(self) -> None:
        pending = self.path / _PENDING
        with writing(self.path):
            if not pending.is_dir():
                return
            # The root comes last: once it is there, there is a channel, and `create` is over.
            names = sorted((path.name for path in pending.iterdir()), key=lambda name: (name == layout.ROOT, name))
            for name in names:
                (pending / name).replace(self.path / name)
            sync_folder(self.path)
            pending.rmdir()


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
