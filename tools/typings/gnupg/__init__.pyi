"""The part of python-gnupg 0.5 that `ossdist.release.signing` uses."""

from collections.abc import Mapping, Sequence
from subprocess import Popen
from threading import Thread
from typing import IO, ClassVar

class StatusHandler:
    data: bytes
    stderr: str
    returncode: int
    def __init__(self, gpg: GPG) -> None: ...
    def handle_status(self, key: str, value: str) -> None: ...

class GPG:
    result_map: ClassVar[Mapping[str, type[StatusHandler]]]
    env: Mapping[str, str] | None
    version: tuple[int, ...] | None
    def __init__(
        self,
        gpgbinary: str = ...,
        gnupghome: str | None = ...,
        verbose: bool = ...,
        use_agent: bool = ...,
        keyring: str | Sequence[str] | None = ...,
        options: Sequence[str] | None = ...,
        secret_keyring: str | Sequence[str] | None = ...,
        env: Mapping[str, str] | None = ...,
        encoding: str = ...,
    ) -> None: ...
    def make_args(self, args: Sequence[str], passphrase: bool) -> list[str]: ...
    def _open_subprocess(self, args: Sequence[str], passphrase: bool = ...) -> Popen[bytes]: ...
    def _collect_output(
        self,
        process: Popen[bytes],
        result: StatusHandler,
        writer: Thread | None = ...,
        stdin: IO[bytes] | None = ...,
    ) -> int: ...
    def verify_data(
        self, sig_filename: str, data: bytes, extra_args: Sequence[str] | None = ...
    ) -> StatusHandler: ...
    def import_keys(
        self, key_data: str | bytes, extra_args: Sequence[str] | None = ..., passphrase: str | None = ...
    ) -> StatusHandler: ...
    def sign(
        self,
        message: str | bytes,
        *,
        keyid: str | None = ...,
        passphrase: str | None = ...,
        clearsign: bool = ...,
        detach: bool = ...,
        binary: bool = ...,
        output: str | None = ...,
        extra_args: Sequence[str] | None = ...,
    ) -> StatusHandler: ...
    def list_keys(
        self, secret: bool = ..., keys: str | Sequence[str] | None = ..., sigs: bool = ...
    ) -> list[dict[str, object]]: ...
    def export_keys(
        self,
        keyids: str | Sequence[str],
        secret: bool = ...,
        armor: bool = ...,
        minimal: bool = ...,
        passphrase: str | None = ...,
        expect_passphrase: bool = ...,
        output: str | None = ...,
    ) -> str: ...
    def gen_key(self, input: str | bytes) -> StatusHandler: ...
