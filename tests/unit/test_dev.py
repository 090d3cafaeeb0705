"""The set-up and gates of tools/: what is missing, and what is current."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

from tests.modules import ROOT, load

if TYPE_CHECKING:
    from pathlib import Path

machine = load("tools/machine.py")
dev = load("tools/dev.py")


def program(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


# --- Debian packages -------------------------------------------------------------------------------------


def test_only_packages_whose_program_no_folder_holds_are_missing(tmp_path: Path) -> None:
    program(tmp_path / "bin", "gpg")
    program(tmp_path / "sbin", "nginx")
    (tmp_path / "bin" / "xz").write_text("not executable")
    path = f"{tmp_path / 'bin'}{os.pathsep}{tmp_path / 'sbin'}"

    missing = machine.missing_packages(["transmission-create", "gpg", "nginx", "xz", "aria2c"], path)

    assert missing == ["aria2", "transmission-cli", "xz-utils"]


def test_the_apt_line_can_be_pasted_into_a_shell() -> None:
    line: str = machine.apt_line(["aria2", "nginx"])
    assert line.startswith("sudo apt-get update && sudo apt-get install ")
    assert line.endswith(" aria2 nginx")


def test_programs_that_may_not_be_installed_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(machine.SetupError, match=r"\nsudo apt-get update .* gpg xz-utils$"):
        machine.prepare_programs(["gpg", "xz"], {"PATH": str(tmp_path)}, ensurepip=False)


def test_nothing_is_installed_when_every_program_is_there(tmp_path: Path) -> None:
    program(tmp_path, "gpg")
    machine.prepare_programs(["gpg"], {"PATH": str(tmp_path)}, ensurepip=True)


def test_packages_come_from_apt_get_without_starting_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for apt-get notes what it was told, and brings the program."""
    log = tmp_path / "log"
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    policy = tmp_path / "policy-rc.d"
    apt = bin_folder / "apt-get"
    apt.write_text(
        "#!/bin/sh\n"
        f'echo "$DEBIAN_FRONTEND $*" >> {log}\n'
        f"[ -x {policy} ] && echo forbidden >> {log}\n"
        f'case "$*" in *install*) printf "#!/bin/sh\\n" > {bin_folder}/gpg; chmod +x {bin_folder}/gpg;; esac\n'
    )
    apt.chmod(0o755)
    (bin_folder / "chmod").symlink_to("/bin/chmod")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    machine.prepare_programs(["gpg"], {"PATH": str(bin_folder)}, ensurepip=False, policy=policy)

    update, install, stopped = log.read_text().splitlines()
    assert update.startswith("noninteractive ")
    assert update.endswith(" update")
    assert install.endswith(" install -y --no-install-recommends gpg")
    assert stopped == "forbidden"
    assert not policy.exists()


def test_the_service_policy_goes_even_if_the_installation_fails(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    def fail() -> None:
        with machine.services_stay_stopped(policy):
            assert subprocess.call([policy]) == 101
            raise machine.SetupError

    with pytest.raises(machine.SetupError):
        fail()
    assert not policy.exists()


def test_a_service_policy_of_the_machine_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    with machine.services_stay_stopped(policy):
        assert policy.read_text() == "mine"
    assert policy.read_text() == "mine"


# --- environment of the programs -------------------------------------------------------------------------


def test_the_callers_environment_does_not_lead_out_of_ours(tmp_path: Path) -> None:
    caller = {"VIRTUAL_ENV": "/elsewhere", "PYTHONPATH": "/elsewhere", "HOME": "/h", "PATH": "/a:/usr/sbin"}
    env = machine.child_environment(caller, certificates=tmp_path / "none")
    assert not {"VIRTUAL_ENV", "PYTHONPATH", "UV_SYSTEM_CERTS"} & env.keys()
    assert env["HOME"] == "/h"
    assert env["PATH"] == "/a:/usr/sbin:/usr/local/sbin:/sbin"


def test_certificates_of_the_system_are_trusted_unless_the_caller_says_else(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.touch()
    assert machine.child_environment({}, certificates=bundle)["NODE_EXTRA_CA_CERTS"] == str(bundle)
    own = machine.child_environment({"UV_SYSTEM_CERTS": "false"}, certificates=bundle)
    assert own["UV_SYSTEM_CERTS"] == "false"


def test_uv_learns_what_pip_is_configured_to() -> None:
    listing = (
        ":env:.index-url='https://strong.example/simple'\n"
        "global.cert='/a/b.crt'\n"
        "global.index-url='https://weak.example/simple'\n"
        "global.timeout='5'\n"
    )
    assert dev.uv_settings(listing) == {
        "UV_DEFAULT_INDEX": "https://strong.example/simple",
        "SSL_CERT_FILE": "/a/b.crt",
    }
    assert dev.uv_settings("") == {}


def test_a_second_call_waits_until_the_first_is_done(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import machine, pathlib\n"
    code += f"with machine.alone(pathlib.Path({str(tmp_path)!r})): print('in', flush=True)"
    command = [sys.executable, "-c", code]
    with machine.alone(tmp_path):
        second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=0.5)
    assert second.communicate(timeout=30)[0] == "in\n"
    assert second.returncode == 0


# --- Python packages -------------------------------------------------------------------------------------


def test_uv_is_taken_from_the_hashed_requirements() -> None:
    requirements = (
        "urllib3==2.0 \\\n    --hash=sha256:aa\n"
        "uv==0.13.1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n    # via ossdist\n"
        "yarl==1 \\\n    --hash=sha256:dd\n"
    )
    wanted: str = dev.uv_requirement(requirements, "")
    assert wanted == "uv==0.13.1 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"


def test_without_requirements_uv_is_taken_in_the_projects_range() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert dev.uv_requirement("", pyproject).startswith("uv>=")
    with pytest.raises(dev.SetupError, match="uv"):
        dev.uv_requirement("", '  "uvicorn>=1",\n')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text("a==1")
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / ".venv/lib/python3.11/site-packages/a-1.dist-info").mkdir(parents=True)
    return tmp_path


def stamp(project: Path, version: str = "3.11.2") -> None:
    stamp: str = dev.fingerprint(project, project / ".venv", version)
    (project / ".venv" / dev.STAMP.name).write_text(stamp)


def test_an_environment_is_current_only_with_a_stamp(project: Path) -> None:
    assert not dev.is_current(project, project / ".venv", "3.11.2")
    stamp(project)
    assert dev.is_current(project, project / ".venv", "3.11.2")


@pytest.mark.parametrize("changed", ["requirements.txt", "pyproject.toml"])
def test_a_changed_file_makes_the_environment_stale(project: Path, changed: str) -> None:
    stamp(project)
    (project / changed).write_text("other")
    assert not dev.is_current(project, project / ".venv", "3.11.2")


def test_another_python_makes_the_environment_stale(project: Path) -> None:
    stamp(project)
    assert not dev.is_current(project, project / ".venv", "3.11.3")


def test_a_package_removed_by_hand_makes_the_environment_stale(project: Path) -> None:
    stamp(project)
    (project / ".venv/lib/python3.11/site-packages/a-1.dist-info").rmdir()
    assert not dev.is_current(project, project / ".venv", "3.11.2")


def test_an_environment_must_run_have_uv_and_stand_where_it_was_made(tmp_path: Path) -> None:
    made, moved = tmp_path / "made", tmp_path / "moved"
    assert dev.python_version(made) is None
    venv.create(made)
    assert dev.python_version(made) is None
    program(made / "bin", "uv")
    assert dev.python_version(made) == ".".join(map(str, sys.version_info[:3]))
    made.rename(moved)
    assert dev.python_version(moved) is None


def test_the_committed_requirements_are_hashed_and_name_no_host_or_path() -> None:
    requirements = (ROOT / "requirements.txt").read_text()
    assert dev.foreign_lines(requirements) == []
    entries = [line for line in requirements.splitlines() if line and not line.startswith((" ", "#"))]
    assert entries
    assert all(line.endswith("\\") for line in entries)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://index.example/simple",
        "--find-links /wheels",
        "a @ https://host.example/a.whl",
        "-e .",
        "    # via project (/a/path/pyproject.toml)",
    ],
)
def test_a_line_that_tells_where_the_requirements_were_made_is_found(line: str) -> None:
    good = "a==1 \\\n    --hash=sha256:aa\n    # via project (pyproject.toml:dev)\n"
    assert dev.foreign_lines(f"{good}{line}\n") == [line]


# --- commands --------------------------------------------------------------------------------------------


def test_files_given_to_the_demo_are_meant_in_the_callers_folder(tmp_path: Path) -> None:
    (step,) = dev.steps_of("demo", ["a.deb"], tmp_path)
    assert step.cwd == tmp_path
    assert step.argv[-1] == "a.deb"


def test_arguments_reach_pytest_in_the_projects_folder(tmp_path: Path) -> None:
    (step,) = dev.steps_of("test", ["-k", "name"], tmp_path)
    assert step.cwd == ROOT
    assert step.argv[-2:] == ("-k", "name")
    assert "--no-sync" in step.argv


def test_every_step_runs_and_the_first_failure_is_the_exit_code(tmp_path: Path) -> None:
    def step(code: int) -> object:
        return dev.Step(("sh", "-c", f"touch {code}; exit {code}"), tmp_path)

    assert dev.run_steps([step(0), step(3), step(4)], os.environ) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"0", "3", "4"}
    assert dev.run_steps([], os.environ) == 0


def test_a_single_steps_exit_code_and_output_pass_through(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import dev, os, pathlib\n"
    code += f"dev.run_steps([dev.Step(('/bin/sh', '-c', 'pwd; exit 7'), pathlib.Path({str(tmp_path)!r}))], os.environ)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (7, str(tmp_path))


def test_an_unknown_command_is_a_wrong_usage() -> None:
    command = [sys.executable, ROOT / "tools" / "dev.py", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing" in done.stderr
