"""What this machine lacks, and how it gets it: the part of dev.py that stands below Python's packages."""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

PACKAGES = {
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "sqv": "sqv",
    "xz": "xz-utils",
    "nginx": "nginx",
    "opentracker": "opentracker",
    "aria2c": "aria2",
    "transmission-daemon": "transmission-daemon",
    "transmission-create": "transmission-cli",
    "qbittorrent-nox": "qbittorrent-nox",
    "mktorrent": "mktorrent",
    "ip": "iproute2",
    "nft": "nftables",
    "curl": "curl",
    "microsocks": "microsocks",
}
"""The Debian package that brings a program."""

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
FOREIGN_VARIABLES = (
    *("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"),
    *("UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_WORKING_DIRECTORY"),
)
"""Variables of the caller's that would lead pip, uv or Python out of our own environment."""


class SetupError(Exception):
    """The machine lacks something that could not be installed here; the message says what to do."""


# --- the environment of what we call ---------------------------------------------------------------------


def child_environment(caller: Mapping[str, str], *, certificates: Path = CERTIFICATES) -> dict[str, str]:
    """The caller's variables, without those of another Python environment, and with system programs on PATH.

    Args:
        caller: The variables that this process was started with.
        certificates: The system's certificate bundle; if it exists, uv and node are told to trust it.
    """
    env = {name: value for name, value in caller.items() if name not in FOREIGN_VARIABLES}
    path = env.get("PATH", os.defpath).split(os.pathsep)
    env["PATH"] = os.pathsep.join([*path, *(folder for folder in SYSTEM_FOLDERS if folder not in path)])
    env.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if certificates.is_file():
        env.setdefault("UV_SYSTEM_CERTS", "true")
        env.setdefault("NODE_EXTRA_CA_CERTS", str(certificates))
    return env


def say(message: str) -> None:
    """Tells the person at the terminal what happens now."""
    print(f"dev.py: {message}", file=sys.stderr, flush=True)


def install_step(argv: Sequence[str | Path], env: Mapping[str, str], *, cwd: Path) -> None:
    """Runs a part of the set-up, its output on stderr.

    Raises:
        SetupError: It failed, or is not there.
    """
    words = [str(word) for word in argv]
    try:
        code = subprocess.call(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except OSError as error:
        raise SetupError(f"{error} when starting: {shlex.join(words)}") from error
    if code != 0:
        raise SetupError(f"exit code {code} of: {shlex.join(words)}")


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Keeps other calls for the same folder waiting until the block ends."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another dev.py is setting this folder up, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


# --- Debian packages -------------------------------------------------------------------------------------


def missing_packages(programs: Iterable[str], path: str) -> list[str]:
    """The Debian packages of those programs that no folder of ``path`` holds, sorted."""
    return sorted({PACKAGES[program] for program in programs if shutil.which(program, path=path) is None})


def apt_line(packages: Iterable[str]) -> str:
    """The one line for a shell that installs the packages."""
    return f"sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(packages)}"


@contextmanager
def services_stay_stopped(policy: Path = SERVICE_POLICY) -> Generator[None]:
    """Keeps new packages from starting their services, unless the machine has a policy of its own.

    Args:
        policy: The script that invoke-rc.d asks; 101 means that the action is forbidden.
    """
    try:
        with policy.open("x") as script:
            script.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def prepare_programs(
    programs: Iterable[str], env: Mapping[str, str], *, ensurepip: bool, policy: Path = SERVICE_POLICY
) -> None:
    """Installs the Debian packages that are missing.

    Args:
        programs: What has to be on PATH, or in a folder of system programs.
        env: The variables for apt-get, made by ``child_environment``.
        ensurepip: Whether this Python must be able to make an environment with pip in it.
        policy: Where the machine's policy for services stands.

    Raises:
        SetupError: This process may not install them, or they brought not what they should.
    """
    wanted = tuple(programs)

    def missing() -> list[str]:
        importlib.invalidate_caches()
        no_pip = ensurepip and importlib.util.find_spec("ensurepip") is None
        return [*missing_packages(wanted, env["PATH"]), *(["python3-venv"] if no_pip else [])]

    packages = missing()
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get", path=env["PATH"]) is None:
        raise SetupError(f"programs are missing. Install them, and call again:\n{apt_line(packages)}")
    say(f"installing with apt-get: {' '.join(packages)}")
    quiet = {**env, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
    install_step([*apt, "update"], quiet, cwd=Path("/"))
    with services_stay_stopped(policy):
        install_step([*apt, "install", "-y", "--no-install-recommends", *packages], quiet, cwd=Path("/"))
    left = missing()
    if left:
        raise SetupError(f"installed, but still not found is what they bring: {' '.join(left)}")
