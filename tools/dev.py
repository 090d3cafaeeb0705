"""Sets the project up and runs its gates, given no more than Python 3.11, package registries and apt-get.

``python3 tools/dev.py COMMAND [ARGUMENT ...]``:

=========  ==================================================================================================
setup      installs everything below, and does nothing else
demo       tools/quickstart.py: publish, seed, fetch and update on this machine alone
test       pytest with branch coverage, written to coverage.json
lint       ruff format --check, and ruff check
types      pyright
imports    import-linter: which folder may import which
coverage   whether every module in coverage.json reaches its minimum
bench      tools/bench.py
lock       writes requirements.txt anew from pyproject.toml; ``lock --upgrade`` takes newer versions as well
=========  ==================================================================================================

Arguments go to the program that the command runs. The exit code is that program's, or 2 if the machine could
not be set up. What setting up prints goes to stderr, so a command's stdout is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from machine import PACKAGES, SetupError, alone, child_environment, install_step, prepare_programs, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
UV = VENV / "bin" / "uv"
STAMP = VENV / "dev-setup.stamp"
REQUIREMENTS = ROOT / "requirements.txt"
PYPROJECT = ROOT / "pyproject.toml"
OLDEST_PYTHON = (3, 11)

COMMANDS = ("demo", "test", "lint", "types", "imports", "coverage", "bench", "setup", "lock")
DEMO_PROGRAMS = ("gpg", "gpg-agent", "xz")
ALL_PROGRAMS = tuple(PACKAGES)
PROGRAMS = {"demo": DEMO_PROGRAMS, "test": ALL_PROGRAMS, "bench": ALL_PROGRAMS, "setup": ALL_PROGRAMS}
"""What a command calls beside Python."""

PIP_TO_UV = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
"""uv does not read pip's configuration: these settings of it are handed on."""


@dataclass(frozen=True)
class Step:
    """One program to run.

    Attributes:
        argv: The program and its arguments.
        cwd: The folder that it starts in.
    """

    argv: tuple[str, ...]
    cwd: Path


# --- Python packages -------------------------------------------------------------------------------------


def uv_settings(pip_configuration: str) -> dict[str, str]:
    """Reads ``pip config list`` and gives the variables that tell uv the same.

    Args:
        pip_configuration: Lines such as ``global.cert='/a/file'``, or ``:env:.cert=...``, which wins.
    """
    found = re.findall(r"^(:env:|global)\.([a-z-]+)='(.*)'$", pip_configuration, flags=re.MULTILINE)
    weakest_first = sorted(found, reverse=True)
    return {PIP_TO_UV[name]: value for _source, name, value in weakest_first if name in PIP_TO_UV}


def python_version(venv: Path) -> str | None:
    """The version of the environment's Python; None if it is broken, has no uv, or was moved."""
    code = "import sys; print(*sys.version_info[:3], sep='.')"
    try:
        if str(venv) not in (venv / "bin" / "activate").read_text(encoding="utf-8"):
            return None
        answer = subprocess.run(
            [venv / "bin" / "python", "-I", "-S", "-c", code], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    version = answer.stdout.strip()
    library = venv / "lib" / f"python{version.rpartition('.')[0]}" / "site-packages"
    return version if library.is_dir() and (venv / "bin" / "uv").exists() else None


def fingerprint(root: Path, venv: Path, version: str) -> str:
    """What an environment was made from and holds, as one hash: while it stays, nothing has to be installed.

    Args:
        root: The project's folder.
        venv: The environment, of which the names of the installed distributions count.
        version: The version of its Python.
    """
    installed = sorted(path.name for path in venv.glob("lib/python*/site-packages/*.dist-info"))
    inputs = (root / "requirements.txt").read_bytes(), (root / "pyproject.toml").read_bytes()
    hashes = [hashlib.sha256(data).hexdigest() for data in inputs]
    return hashlib.sha256("\n".join([version, *hashes, *installed]).encode()).hexdigest()


def is_current(root: Path, venv: Path, version: str) -> bool:
    """Whether the stamp inside the environment says that it was made from the files as they are now."""
    try:
        stamp = (venv / STAMP.name).read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stamp == fingerprint(root, venv, version)


def uv_requirement(requirements: str, pyproject: str) -> str:
    """The lines that make pip install uv: hashed ones if there are any, else the range of the group ``dev``.

    Args:
        requirements: The text of requirements.txt, perhaps empty.
        pyproject: The text of pyproject.toml.

    Raises:
        SetupError: Neither names uv.
    """
    hashed = re.search(r"^uv==.*?[^\\]$", requirements, flags=re.MULTILINE | re.DOTALL)
    if hashed:
        return hashed[0] + "\n"
    in_range = re.search(r'^\s*"(uv[<>=~!][^"]*)"', pyproject, flags=re.MULTILINE)
    if in_range is None:
        raise SetupError("pyproject.toml names no version of uv in its group dev")
    return in_range[1] + "\n"


def prepare_uv(env: dict[str, str]) -> None:
    """Makes the environment, with uv in it, unless that is there; hands pip's settings on to ``env``."""
    python = VENV / "bin" / "python"
    if python_version(VENV) is None:
        say(f"making {VENV.name} with Python {sys.version.split()[0]}")
        install_step([sys.executable, "-m", "venv", "--clear", VENV], env, cwd=ROOT)
        known = REQUIREMENTS.read_text(encoding="utf-8") if REQUIREMENTS.exists() else ""
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write(uv_requirement(known, PYPROJECT.read_text(encoding="utf-8")))
            wanted.flush()
            pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            install_step([*pip, "--requirement", wanted.name], env, cwd=ROOT)
    listing = [python, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    settings = subprocess.run(listing, env=env, capture_output=True, text=True, check=False).stdout
    for name, value in uv_settings(settings).items():
        env.setdefault(name, value)


def prepare_python(env: dict[str, str]) -> None:
    """Brings the environment to what requirements.txt says, and the project into it.

    Raises:
        SetupError: pip or uv failed.
    """
    version = python_version(VENV)
    if version is not None and is_current(ROOT, VENV, version):
        return
    STAMP.unlink(missing_ok=True)
    prepare_uv(env)
    say("installing what requirements.txt lists")
    pip, python = (UV, "pip"), ("--python", VENV / "bin" / "python")
    install_step([*pip, "sync", *python, "--require-hashes", REQUIREMENTS], env, cwd=ROOT)
    install_step([*pip, "install", *python, "--no-deps", "--editable", ROOT], env, cwd=ROOT)
    version = python_version(VENV)
    if version is None:
        raise SetupError(f"{VENV} does not work after all was installed: remove it, and call again")
    STAMP.write_text(fingerprint(ROOT, VENV, version), encoding="ascii")


def foreign_lines(requirements: str) -> list[str]:
    """Those lines that name a host, a file, an option of an index or a path, which must not be committed."""
    return re.findall(r"^.*(?://|^\s*-(?!-hash=)|\(/).*$", requirements, flags=re.MULTILINE)


def write_requirements(args: Sequence[str], env: Mapping[str, str]) -> None:
    """Resolves pyproject.toml to requirements.txt: hashed, for every platform, all extras and all groups.

    The group ``dev`` includes the other groups.

    Args:
        args: Further arguments for ``uv pip compile``. Without any, what requirements.txt pins stays.
        env: The variables for uv.

    Raises:
        SetupError: There is no solution, or the file would tell where it was made.
    """
    oldest = ".".join(map(str, OLDEST_PYTHON))
    chosen = ["--all-extras", "--group", "dev", "--universal", "--python-version", oldest]
    form = ["--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    target = ["--quiet", "--output-file", REQUIREMENTS.name]
    install_step([UV, "pip", "compile", PYPROJECT.name, *chosen, *form, *target, *args], env, cwd=ROOT)
    foreign = foreign_lines(REQUIREMENTS.read_text(encoding="utf-8"))
    if foreign:
        raise SetupError(f"{REQUIREMENTS.name} would name this machine or its registry: {foreign[0]}")


# --- commands --------------------------------------------------------------------------------------------


def steps_of(command: str, args: Sequence[str], caller: Path) -> list[Step]:
    """The programs that a command runs once all is installed.

    Args:
        command: One of ``COMMANDS``.
        args: What the caller gave beside it.
        caller: The caller's working folder, in which demo and bench find the files that they are given.
    """
    run = (str(UV), "run", "--project", str(ROOT), "--no-sync")
    tools = ROOT / "tools"
    report = ("--cov", "--cov-report=term-missing", "--cov-report=json:coverage.json")
    where = tuple(args) or (".",)
    steps = {
        "demo": [Step((*run, "python", str(tools / "quickstart.py"), *args), caller)],
        "bench": [Step((*run, "python", str(tools / "bench.py"), *args), caller)],
        "test": [Step((*run, "pytest", *report, *args), ROOT)],
        "lint": [
            Step((*run, "ruff", "format", "--check", *where), ROOT),
            Step((*run, "ruff", "check", *where), ROOT),
        ],
        "types": [Step((*run, "pyright", *args), ROOT)],
        "imports": [Step((*run, "lint-imports", *args), ROOT)],
        "coverage": [Step((sys.executable, str(tools / "check_coverage.py"), *args), ROOT)],
    }
    return steps.get(command, [])


def prepare(command: str, args: Sequence[str], env: dict[str, str]) -> None:
    """Installs what a command needs."""
    if command == "coverage":
        return
    with alone(ROOT):
        prepare_programs(PROGRAMS.get(command, ()), env, ensurepip=python_version(VENV) is None)
        if command == "lock":
            prepare_uv(env)
            write_requirements(args, env)
        else:
            prepare_python(env)
    if command == "test":
        (ROOT / "coverage.json").unlink(missing_ok=True)


def run_steps(steps: Sequence[Step], env: Mapping[str, str]) -> int:
    """Runs every step even if one fails, and gives the first failure's exit code.

    A single step replaces this process, so that signals and the exit code are its own.
    """
    if len(steps) == 1:
        os.chdir(steps[0].cwd)
        os.execve(steps[0].argv[0], steps[0].argv, env)  # noqa: S606 (no shell is wanted)
    codes = [subprocess.call(step.argv, cwd=step.cwd, env=env) for step in steps]
    return next((code if code > 0 else 128 - code for code in codes if code), 0)


def main(argv: Sequence[str]) -> int:
    """Runs one command and gives its exit code."""
    if sys.version_info < OLDEST_PYTHON:
        say(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, not {sys.version.split()[0]}")
        return 2
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=form)
    parser.add_argument("command", choices=COMMANDS)
    command: str = parser.parse_args(argv[:1]).command
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    env = child_environment(os.environ)
    try:
        prepare(command, argv[1:], env)
    except SetupError as error:
        say(str(error))
        return 2
    return run_steps(steps_of(command, argv[1:], Path.cwd()), env)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
