"""The steps by which one believed release comes into one folder. `Client.download` calls them, in this order."""

from __future__ import annotations

import asyncio
import functools
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist import events
from ossdist.errors import (
    DiskFullError,
    FileHashError,
    OssdistError,
    StorageError,
    TargetNotWritableError,
    UpstreamSignatureError,
)
from ossdist.release.torrents import files_in, paths_in_torrent
from ossdist.stoppable import in_thread
from ossdist.store.files import file_length, is_full, make_empty, sync_file, sync_folder
from ossdist.store.hashing import ExpectedFile, FollowingHasher, check_length, is_right
from ossdist.store.reuse import copy_file, copy_from_channel
from ossdist.tasks import run_to_end
from ossdist.transfer.job import TransferJob
from ossdist.transfer.run import Transfer
from ossdist.upstream import check_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path

    from ossdist.clock import Clock
    from ossdist.config import ClientConfig
    from ossdist.events import OnEvent
    from ossdist.health.dialling import Dialling
    from ossdist.mirrors.sites import Site
    from ossdist.payload_mirrors import PayloadMirrors
    from ossdist.release import model
    from ossdist.release.report import Check
    from ossdist.release.trust import TrustedRelease
    from ossdist.store.workspace import Workspace
    from ossdist.transfer.metainfo import Address, Metainfo
    from ossdist.transfer.session import Session
    from ossdist.transfer.watch import Swarm

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One release on its way into a folder. Release and torrents are believed already; the bytes are not.

    Attributes:
        session: Where the transfer runs.
        config: What the client was told.
        clock: Time.
        release: The release.
        torrents: Its torrent in each swarm, the preferred one first.
        to: The folder for its files.
        peers: Peers that are known already.
        mirrors: HTTP copies of its channel.
        more_mirrors: Further ones that the caller names.
        payload_mirrors: Asks them.
        dialling: How peers are dialled.
        folders: Copies of its channel on this machine; nobody has checked what stands in them.
        on_event: Is told how it goes.
    """

    session: Session
    config: ClientConfig
    clock: Clock
    release: TrustedRelease
    torrents: Mapping[Swarm, Metainfo]
    to: Path
    peers: tuple[Address, ...]
    mirrors: tuple[model.Mirror, ...]
    more_mirrors: tuple[Site, ...]
    payload_mirrors: PayloadMirrors
    dialling: Dialling
    folders: tuple[Path, ...]
    on_event: OnEvent

    @property
    def finals(self) -> frozenset[Path]:
        """The final names of its files."""
        return frozenset((self.to / file.path).absolute() for file in self.release.release.files)

    async def already_right(self) -> list[ExpectedFile]:
        """The files that stand under their final names already: of an earlier call, or of one that was killed late."""
        chunk = self.config.transfer.hash_chunk_bytes
        files = [_expected(file, self.to / file.path) for file in self.release.release.files]

        def look(check: Callable[[], None]) -> list[ExpectedFile]:
            right = [file for file in files if is_right(file, chunk_bytes=chunk, check=check)]
            for file in files:
                if file not in right and file_length(file.location) == file.length:
                    log.warning("%s is not the signed file, though it has its length", file.location)
            return right

        return await in_thread(look)

    def require_places(self) -> None:
        """Refuses, before anything is fetched, what could not be put in place. It blocks.

        Raises:
            TargetNotWritableError: A folder stands where a file shall be, or a file where a folder shall be.
        """
        for final in self.finals:
            if final.is_dir():
                raise TargetNotWritableError(final, "a folder of that name is in the way of the file: move it")
            # Another download may be making these folders: first whether there is one, then what it is.
            parent = next(parent for parent in final.parents if parent.exists())
            if not parent.is_dir():
                raise TargetNotWritableError(parent, "a file of that name is in the way of the folder: move it")

    async def plan(self, right: Sequence[ExpectedFile], workspace: Workspace) -> Transfer:
        """Everything in full, but for files that are right already; a delta will be another plan.

        Raises:
            StorageError: There is no room, or a file cannot be copied.
        """
        release = self.release.release
        swarm, metainfo = next(iter(self.torrents.items()))  # the hybrid, unless only the other one was given
        resume = await asyncio.to_thread(workspace.load_resume)
        workspace.require_room([(file.path, file.length) for file in metainfo.files])
        paths = paths_in_torrent(release)
        for file in right:
            # A copy: the session may write to it, and must not to what stands under a final name.
            target = workspace.data / paths[file.path]
            await in_thread(functools.partial(copy_file, file.location, target))
        folders = self.folders if self.config.mirrors_enabled else ()
        copied = {folder: await copy_from_channel(folder, release, workspace) for folder in folders}
        job = TransferJob(
            title=release.title,
            torrents=self.torrents,
            save_path=workspace.data,
            peers=self.peers if self.config.peers_enabled else (),
            trackers=release.trackers if self.config.peers_enabled else (),
            web_seeds=await self.payload_mirrors.web_seeds(
                release, self.mirrors, public_address=self.session.public_address
            ),
            find_peers=self.config.peers_enabled,
            resume_data=resume.data if resume is not None else None,
            resume_trusted=resume is not None and resume.trusted and not any(copied.values()) and not right,
            has_data=workspace.has_data,
            copied=copied,
        )
        return Transfer(
            session=self.session,
            job=job,
            config=self.config.transfer,
            clock=self.clock,
            on_event=self.on_event,
            swarm=swarm,
            dialling=self.dialling,
            save_resume=lambda data: asyncio.to_thread(workspace.save_resume, data),
            feed=await self.payload_mirrors.feed(
                release,
                self.mirrors,
                self.more_mirrors,
                public_address=self.session.public_address,
                on_event=self.on_event,
            ),
        )

    async def transfer_and_verify(self, transfer: Transfer) -> None:
        """Transfers, with the whole-file hashes following close behind.

        Raises:
            SourceError: Nobody gives the payload.
            FileHashError: A whole file is not the signed one, or has another length if nobody hashes it.
            DiskFullError: There is no room left.
            StorageError: The disk refused.
        """
        running = asyncio.create_task(transfer.run())
        hashing = asyncio.create_task(self._hash_files(transfer))
        both = {running, hashing}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in both:
                task.cancel()
            await run_to_end(asyncio.wait(both))
        try:
            for task in (hashing, running):  # a wrong file says more than that the transfer was then stopped
                if not task.cancelled():
                    task.result()
        except StorageError as error:
            # Of a full disk libtorrent may first tell that a piece cannot be read back.
            if not isinstance(error, DiskFullError) and await asyncio.to_thread(is_full, transfer.job.save_path):
                raise DiskFullError(error.path) from error
            raise
        if not self.config.transfer.whole_file_hash:  # no hasher has looked at the lengths
            paths = paths_in_torrent(self.release.release)
            for file in self.release.release.files:
                await asyncio.to_thread(check_length, _expected(file, transfer.job.save_path / paths[file.path]))

    async def check_upstream(self, transfer: Transfer | None) -> dict[str, Check]:
        """Checks the signatures of the project that made the files, as far as the release carries them.

        Args:
            transfer: What brought the files; None if they stand under their final names.

        Returns:
            The check of each file, by its path in the release.

        Raises:
            UpstreamSignatureError: A file's does not hold.
            FormatError: One of the release's upstream keys is malformed.
        """
        release = self.release.release
        if transfer is None:
            places = {file.path: self.to / file.path for file in release.files}
        else:
            paths = paths_in_torrent(release)
            places = {file.path: transfer.job.save_path / paths[file.path] for file in release.files}
        return await asyncio.to_thread(check_upstream, release, places, clock=self.clock)

    async def _hash_files(self, transfer: Transfer) -> None:
        paths = paths_in_torrent(self.release.release)
        for file in self.release.release.files:
            path = paths[file.path]
            expected = _expected(file, transfer.job.save_path / path)
            if file.length == 0:  # no piece brings it
                await asyncio.to_thread(make_empty, expected.location)
            if self.config.transfer.whole_file_hash:
                hasher = FollowingHasher(expected, chunk_bytes=self.config.transfer.hash_chunk_bytes)
                await hasher.follow(lambda position, path=path: transfer.verified_until(path, position), transfer.more)
                self.on_event(events.FileVerified(file.path, file.sha256))

    async def commit(self, transfer: Transfer, workspace: Workspace) -> None:
        """Moves verified files to their final names, while they stay connected and served.

        Raises:
            StorageError: A file cannot be moved.
        """
        files = files_in(transfer.metainfo, self.release.release)
        for file in self.release.release.files:
            final = self.to / file.path
            found = files[file.path]
            await asyncio.to_thread(sync_file, workspace.data / found.path)
            await transfer.torrent.rename(found.index, final.absolute())
            await asyncio.to_thread(sync_folder, final.parent)
            self.on_event(events.FileCommitted(str(final)))
        await asyncio.to_thread(workspace.remove)


@asynccontextmanager
async def leaving_on_failure(transfer: Transfer, workspace: Workspace) -> AsyncGenerator[None]:
    """Whatever ends a download early, nothing goes on behind the caller's back, and what is good is kept."""
    try:
        yield
    except (FileHashError, UpstreamSignatureError):
        # Every piece is the torrent's, and yet the file is not the signed one: these data will never do.
        await run_to_end(_give_up(transfer, workspace, data_are_good=False))
        raise
    except BaseException:
        await run_to_end(_give_up(transfer, workspace, data_are_good=True))
        raise


async def _give_up(transfer: Transfer, workspace: Workspace, *, data_are_good: bool) -> None:
    """Cleans up after a failure; its own failures must not hide the first one."""
    try:
        await transfer.leave(keep_state=data_are_good)
        if not data_are_good:
            await asyncio.to_thread(workspace.discard_data)
        elif transfer.state_kept:
            await asyncio.to_thread(workspace.close_cleanly)
        else:
            await asyncio.to_thread(workspace.forget_resume)
    except OssdistError as error:
        log.warning("%s: not everything could be tidied up: %s", transfer.job.title, error)


def _expected(file: model.File, location: Path) -> ExpectedFile:
    return ExpectedFile(path=file.path, location=location, length=file.length, sha256=file.sha256)
