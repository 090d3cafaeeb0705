"""What runs gpg, and the temporary home folders that it runs in. The only module that knows python-gnupg.

python-gnupg runs gpg; its verdicts are not used (``valid`` and ``status`` are those of the last signature).

A temporary home is locked by the process that uses it. One that nobody has locked belongs to a process that was
killed; whoever makes the next home removes it, and stops the agent that gpg may have started in it.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import gnupg

from ossdist.errors import ProgramMissingError, TargetNotWritableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from _typeshed import ReadableBuffer

_log = logging.getLogger(__name__)

_PREFIX = "ossdist-"
_LOCK = "ossdist.lock"


class TemporaryHome:
    """An empty home folder for gpg, locked by this process; a context manager, or call `close`.

    Making one removes those that killed processes of the same user have left.

    Raises:
        TargetNotWritableError: It cannot be made.
    """

    def __init__(self) -> None:
        # An agent's socket stands in its home folder, and the path of a socket has at most 107 bytes.
        parent = Path(tempfile.gettempdir())
        if len(str(parent)) > 60:
            parent = Path("/tmp")  # noqa: S108  # what is made in it gets a random name and mode 0700
        _sweep(parent)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent)
            self.path = Path(self._folder.name)
            self._lock = _lock(self.path)
        except OSError as error:
            raise TargetNotWritableError(parent, str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes it. It may be called twice."""
        self._folder.cleanup()
        self._lock.close()


def stop_agent(home: Path) -> None:
    """Stops the agent that gpg has started for ``home``, so that the folder can be removed.

    For folders that the caller made; the user's own agent is the user's.
    """
    command = ["gpgconf", "--homedir", str(home), "--kill", "all"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("the agent of %s could not be stopped: %s", home, error)


def _lock(home: Path) -> IO[bytes]:
    # The lock gets its name when it is held already: a home whose lock can be taken is nobody's any more.
    unnamed = home / f"{_LOCK}.new"
    lock = unnamed.open("xb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(home / _LOCK)
    return lock


def _sweep(parent: Path) -> None:
    """Removes the homes in ``parent`` that killed processes of this user have left."""
    try:
        places = [Path(entry.path) for entry in os.scandir(parent) if entry.name.startswith(_PREFIX)]
    except OSError:
        return  # whoever makes a folder in it will say why that does not work
    for place in places:
        with suppress(OSError):  # another process was faster, or it is somebody else's
            _remove_if_left(place)


def _remove_if_left(home: Path) -> None:
    # Everybody may write to the folder for temporary files, so nothing is reached through a symbolic link.
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(lock)
        if stat.S_ISREG(found.st_mode) and found.st_nlink:  # without a link, another sweep has removed it meanwhile
            _log.info("removing %s, which a killed process has left", home)
            stop_agent(home)
            shutil.rmtree(home, ignore_errors=True)
    finally:
        os.close(lock)


class _Answer(gnupg.StatusHandler):
    """What gpg said, not interpreted.

    python-gnupg's own classes parse the lines while they read them. A user id that holds a NEL character makes
    it see a line that gpg did not write, and an unexpected number of words ends its reader thread.
    """

    def handle_status(self, key: str, value: str) -> None:
        """Leaves the line where it is."""


class _Stdin(io.BufferedWriter):
    """gpg may stop reading early; why it does stands in its status lines."""

    def write(self, buffer: ReadableBuffer, /) -> int:
        """Writes, or does as if."""
        with suppress(BrokenPipeError):
            return super().write(buffer)
        return memoryview(buffer).nbytes

    def flush(self) -> None:
        """Flushes, or does as if."""
        with suppress(BrokenPipeError):
            super().flush()


class Gpg(gnupg.GPG):
    """python-gnupg with a deadline. Every gpg gets its own process group, which is killed whole."""

    result_map = {  # noqa: RUF012  # declared as ClassVar in the base
        **gnupg.GPG.result_map,
        **dict.fromkeys(("verify", "import", "sign", "generate", "export"), _Answer),
    }

    def __init__(self, program: str, home: Path | None, options: Sequence[str], timeout_s: float) -> None:
        self._program = program
        self._timeout_s = timeout_s
        if home is not None and not home.is_dir():
            raise ValueError(f"{home} is not a folder")
        if shutil.which(program) is None:
            raise ProgramMissingError(program, "is not installed", "Install GnuPG: apt-get install gpg")
        try:
            super().__init__(program, None if home is None else str(home.absolute()), options=options)
        except (OSError, ValueError) as error:
            raise ProgramMissingError(program, f"cannot be run: {error}", "Reinstall GnuPG") from error
        if self.version is None or self.version < (2, 2):
            reason = f"is version {self.version}, at least 2.2 is needed"
            raise ProgramMissingError(program, reason, "Install GnuPG 2: apt-get install gpg")

    def verify_detached(self, signature: Path, document: bytes | Path) -> gnupg.StatusHandler:
        """What gpg says of the signatures in one file over bytes, or over another file, which only gpg reads."""
        if isinstance(document, bytes):
            return self.verify_data(str(signature), document)
        result = _Answer(self)
        process = self._open_subprocess(["--verify", str(signature), str(document.absolute())])
        self._collect_output(process, result, stdin=process.stdin)
        return result

    def _open_subprocess(
        self,
        args: Sequence[str],
        passphrase: bool = False,  # noqa: FBT001, FBT002  # python-gnupg's signature
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = self.make_args(args, passphrase)
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=self.env, process_group=0)
        process.stdin = _Stdin(cast("io.BufferedWriter", process.stdin).detach())
        return process

    def _collect_output(
        self,
        process: subprocess.Popen[bytes],
        result: gnupg.StatusHandler,
        writer: threading.Thread | None = None,
        stdin: IO[bytes] | None = None,
    ) -> int:
        late = threading.Event()

        def kill() -> None:
            if process.returncode is None:  # not waited for yet, so its number is still its own
                late.set()
                os.killpg(process.pid, signal.SIGKILL)

        watchdog = threading.Timer(self._timeout_s, kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            code = super()._collect_output(process, result, writer, stdin)
        except BaseException:
            kill()
            with process:  # closes its pipes
                raise
        finally:
            watchdog.cancel()
        if late.is_set():
            reason = f"did not answer within {self._timeout_s:g} s and was killed"
            raise ProgramMissingError(self._program, reason, "Check that it runs at all: gpg --version")
        return code
