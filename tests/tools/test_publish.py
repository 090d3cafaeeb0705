"""tools/publish.py."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist import blocking
from ossdist.publisher import Publisher
from ossdist.release import layout, model
from tests.channels import listed, noise
from tests.programs.payload import tree_digests
from tests.tools.scripts import DEADLINE_S, Done, command, run

if TYPE_CHECKING:
    from tests.keys import Keys

WHEEL = "demo_tool-1.0-py3-none-any.whl"


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def publish(keys: Keys, channel: Path, *args: object, key: str | None = None) -> Done:
    return run("publish", channel, *args, "--key", key or keys.alice, "--gnupghome", keys.home, "--json")


def manifest(channel: Path, name: str, version: str) -> model.Release:
    return model.decode_release((channel / layout.release_path(name, version)).read_bytes())


def root_of(channel: Path) -> model.Root:
    return model.decode_root((channel / layout.ROOT).read_bytes())


def test_a_wheel_tells_its_name_and_the_first_release_makes_the_channel(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    done = publish(keys, channel, write(tmp_path / WHEEL, noise(50_000)))
    assert done.code == 0, done
    release = manifest(channel, "demo-tool", "1.0")
    assert done.answer == {
        "ok": True,
        "name": "demo-tool",
        "version": "1.0",
        "purl": "pkg:pypi/demo-tool@1.0",
        "info_hashes": {
            "hybrid": {"v1": release.hybrid.info_hash_v1, "v2": release.hybrid.info_hash_v2},
            "v1": {"v1": release.v1.info_hash_v1},
        },
        "deltas": [],
        "channel": {"serial": 2, "created": True},
        "expires": listed(channel).expires.isoformat(),
        "root": {"serial": 1, "expires": root_of(channel).expires.isoformat()},
    }
    assert listed(channel).expires - listed(channel).issued == timedelta(days=30)
    assert model.decode_root((channel / layout.ROOT).read_bytes()).roles.release.keys == (keys.alice,)


def test_upstream_signatures_go_into_the_manifest(tmp_path: Path, keys: Keys) -> None:
    channel, wheel = tmp_path / "channel", write(tmp_path / WHEEL)
    signature = write(tmp_path / f"{WHEEL}.sig", keys.sign_oddly(b"content", key=keys.bob, armor=False))
    done = publish(keys, channel, wheel, "--upstream-signature", signature, "--upstream-key", keys.bob)
    assert done.code == 0, done
    release = manifest(channel, "demo-tool", "1.0")
    assert release.upstream_keys.keys() == {keys.bob}
    assert "BEGIN PGP SIGNATURE" in (release.files[0].upstream_signature or "")
    verify = ("verify", channel / layout.file_path("demo-tool", "1.0", WHEEL), "--root", channel / layout.ROOT)
    report = run(*verify, "--release", channel / layout.release_path("demo-tool", "1.0"))
    assert f"pass    upstream signature: signed by {keys.bob}" in report.out
    strange = write(tmp_path / "other.asc")
    assert publish(keys, channel, wheel, "--upstream-signature", strange, "--upstream-key", keys.bob).code == 2
    other = write(tmp_path / WHEEL.replace("1.0", "1.1"), b"other content")
    signature.rename(tmp_path / f"{other.name}.sig")
    more = ("--upstream-signature", tmp_path / f"{other.name}.sig", "--upstream-key", keys.bob)
    assert other.name in publish(keys, channel, other, *more).refused("UpstreamSignatureError")


def test_the_second_release_joins_the_channel_and_the_same_again_is_refused(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    first = write(tmp_path / WHEEL)
    second = write(tmp_path / WHEEL.replace("1.0", "1.1"))
    assert publish(keys, channel, first).code == publish(keys, channel, second).code == 0
    before = tree_digests(channel)
    reason = publish(keys, channel, second).refused("AlreadyPublishedError")
    assert "demo-tool 1.1" in reason
    assert tree_digests(channel) == before
    assert [entry.version for entry in listed(channel).releases] == ["1.0", "1.1"]


def test_everything_about_a_release_can_be_said(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    done = publish(
        *(keys, channel, write(tmp_path / "installer.bin"), "--name", "installer", "--version", "3:1.0-2"),
        *("--purl", "pkg:github/example/installer@1.0", "--mirror", "https://a.example/oss"),
        *("--mirror", "https://b.example/oss", "--tracker", "udp://t.example:6969/announce"),
        *("--depends", "pkg:deb/debian/libc6 >= 2.36, << 3", "--depends", "pkg:generic/other"),
    )
    assert done.code == 0, done
    release = manifest(channel, "installer", "3:1.0-2")
    assert release.purl == "pkg:github/example/installer@1.0"
    assert [mirror.url for mirror in release.mirrors] == ["https://a.example/oss", "https://b.example/oss"]
    assert release.trackers == ("udp://t.example:6969/announce",)
    assert [(one.purl, one.versions) for one in release.dependencies] == [
        ("pkg:deb/debian/libc6", ">= 2.36, << 3"),
        ("pkg:generic/other", ""),
    ]


def test_a_folder_is_published_with_the_paths_in_it(tmp_path: Path, keys: Keys) -> None:
    tree = tmp_path / "tree"
    for path in ("bin/tool", "doc/deep/LICENSE", "README"):
        write(tree / path, path.encode())
    extra = write(tmp_path / "extra")
    done = publish(keys, tmp_path / "channel", tree, extra, "--name", "suite", "--version", "1")
    assert done.code == 0, done
    paths = [file.path for file in manifest(tmp_path / "channel", "suite", "1").files]
    assert paths == ["README", "bin/tool", "doc/deep/LICENSE", "extra"]


def test_builds_for_several_architectures_are_one_release(tmp_path: Path, keys: Keys) -> None:
    debs = [write(tmp_path / f"tool_1.0-1_{arch}.deb", arch.encode()) for arch in ("amd64", "arm64")]
    done = publish(keys, tmp_path / "channel", *debs)
    assert done.code == 0, done
    assert done.answer["purl"] == "pkg:deb/debian/tool@1.0-1"


def test_for_people_it_says_what_was_published_and_what_comes_next(tmp_path: Path, keys: Keys) -> None:
    args = (tmp_path / "channel", write(tmp_path / WHEEL), "--key", keys.alice, "--gnupghome", keys.home)
    done = run("publish", *args)
    assert done.code == 0, done
    assert done.out.startswith("demo-tool 1.0 (pkg:pypi/demo-tool@1.0) is published")
    assert "root.json over a way that they trust" in done.out
    assert f"expires at {listed(args[0]).expires:%Y-%m-%d}" in done.out
    assert "Neither --mirror nor --tracker" in done.err
    again = run("publish", *args)
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("AlreadyPublishedError: ")


def test_a_channel_folder_may_be_relative(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / WHEEL)
    assert publish(keys, Path("channel"), WHEEL).code == 0
    assert [path.name for path in (tmp_path / "channel" / "files").iterdir()] == ["demo-tool-1.0"]


def test_a_key_that_the_channel_does_not_list_is_refused_before_anything_changes(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    assert publish(keys, channel, write(tmp_path / WHEEL)).code == 0
    before = tree_digests(channel)
    publish(keys, channel, write(tmp_path / "other.whl"), "--name=o", "--version=1", key=keys.bob).refused(
        "SigningError"
    )
    unknown = "0" * 40
    publish(keys, tmp_path / "new", tmp_path / WHEEL, key=unknown).refused("SigningError")
    assert tree_digests(channel) == before


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--purl", "no purl"), "package URL"),
        (("--mirror", "ftp://a.example/"), "ftp"),
        (("--tracker", "nowhere"), "nowhere"),
        (("--name", "../climbing"), "name"),
    ],
)
def test_malformed_values_are_refused(tmp_path: Path, keys: Keys, args: tuple[str, ...], reason: str) -> None:
    assert reason in publish(keys, tmp_path / "channel", write(tmp_path / WHEEL), *args).refused("FormatError")
    assert not (tmp_path / "channel").exists()


def test_empty_files_are_refused_before_there_is_a_channel(tmp_path: Path, keys: Keys) -> None:
    assert "empty" in publish(keys, tmp_path / "channel", write(tmp_path / WHEEL, b"")).refused("FormatError")
    assert not (tmp_path / "channel").exists()


def test_the_users_need_the_root_also_if_the_first_try_failed_late(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    blocking.create(Publisher(channel, signer=keys.signer, keys=[keys.alice]))  # and then it was killed
    args = ("--key", keys.alice, "--gnupghome", keys.home)
    assert "root.json over a way that they trust" in run("publish", channel, "--refresh", *args).out
    first = run("publish", channel, write(tmp_path / WHEEL), *args)
    assert "root.json over a way that they trust" in first.out
    second = run("publish", channel, write(tmp_path / WHEEL.replace("1.0", "1.1")), *args)
    assert second.code == 0, second
    assert "root.json" not in second.out


@pytest.mark.parametrize("target", ["file", "folder", "missing"])
def test_symbolic_links_in_a_folder_are_refused(tmp_path: Path, keys: Keys, target: str) -> None:
    write(tmp_path / "file")
    write(tmp_path / "folder" / "inside")
    tree = tmp_path / "tree"
    write(tree / "real")
    (tree / "link").symlink_to(tmp_path / target)
    done = publish(keys, tmp_path / "channel", tree, "--name", "x", "--version", "1")
    assert "link is a symbolic link" in done.refused("StorageError")
    assert not (tmp_path / "channel").exists()


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path, keys: Keys) -> None:
    tree = tmp_path / "tree"
    write(tree / "real")
    os.mkfifo(tree / "pipe")
    done = publish(keys, tmp_path / "channel", tree, "--name", "x", "--version", "1")
    assert "neither a file nor a folder" in done.refused("StorageError")


# --- interrupted -----------------------------------------------------------------------------------------


def interrupted(keys: Keys, number: signal.Signals, name: str, channel: Path, *args: object) -> Done:
    """Publishes, and gets the signal just before something is renamed to ``name``."""
    words = command("publish", channel, *args, "--key", keys.alice, "--gnupghome", keys.home, "--json")
    program = Path(__file__).with_name("interrupted.py")
    call = [words[0], str(program), str(int(number)), name, *words[1:]]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["files/demo-tool-1.1", "/release.json", "/.publishing.tmp/channel.json"])
def test_interrupted_in_time_it_publishes_nothing(
    tmp_path: Path, keys: Keys, number: signal.Signals, name: str
) -> None:
    channel = tmp_path / "channel"
    assert publish(keys, channel, write(tmp_path / WHEEL)).code == 0
    before = listed(channel)
    second = write(tmp_path / WHEEL.replace("1.0", "1.1"))
    done = interrupted(keys, number, name, channel, second)
    assert (done.code, done.answer["ok"], done.answer["error"]) == (128 + number, False, "Interrupted"), done
    assert "Traceback" not in done.err
    assert listed(channel) == before
    assert publish(keys, channel, second).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["/.publishing", "channel/channel.json"])
def test_interrupted_too_late_it_publishes_and_says_so(
    tmp_path: Path, keys: Keys, number: signal.Signals, name: str
) -> None:
    channel = tmp_path / "channel"
    assert publish(keys, channel, write(tmp_path / WHEEL)).code == 0
    done = interrupted(keys, number, name, channel, write(tmp_path / WHEEL.replace("1.0", "1.1")))
    assert (done.code, done.answer["ok"], done.answer["version"]) == (0, True, "1.1"), done
    assert [entry.version for entry in listed(channel).releases] == ["1.0", "1.1"]


def test_interrupted_while_the_channel_is_made_it_begins_no_release(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    wheel = write(tmp_path / WHEEL)
    done = interrupted(keys, signal.SIGTERM, "/.publishing", channel, wheel)
    assert (done.code, done.answer["error"]) == (128 + signal.SIGTERM, "Interrupted"), done
    assert listed(channel).releases == ()
    assert publish(keys, channel, wheel).code == 0


# --- a channel's expiry ----------------------------------------------------------------------------------


def test_a_refresh_puts_the_expiry_off_and_changes_nothing_else(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    assert publish(keys, channel, write(tmp_path / WHEEL), "--validity-days", "2").code == 0
    before = listed(channel)
    assert before.expires - before.issued == timedelta(days=2)
    done = publish(keys, channel, "--refresh", "--validity-days", "9")
    after = listed(channel)
    assert done.code == 0, done
    assert done.answer == {
        "ok": True,
        "channel": {"serial": 3, "created": False},
        "expires": after.expires.isoformat(),
        "root": {"serial": 1, "expires": root_of(channel).expires.isoformat()},
    }
    assert after.expires - after.issued == timedelta(days=9)
    assert after.releases == before.releases
    people = run("publish", channel, "--refresh", "--key", keys.alice, "--gnupghome", keys.home)
    assert people.out.startswith("The channel (serial 4) expires at ")
    assert f"its root of trust at {root_of(channel).expires:%Y-%m-%d %H:%M} UTC" in people.out
    assert "WARNING" not in people.out
    assert people.err == ""


def test_a_channel_that_outlives_its_root_is_warned_of(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    where = ("--key", keys.alice, "--gnupghome", keys.home)
    done = run("publish", channel, write(tmp_path / WHEEL), "--validity-days", "366", *where)
    assert done.code == 0, done
    assert "WARNING: the root ends first" in done.out
    assert "rotate.py" in done.out


def test_a_withdrawal_says_what_is_newest_then(tmp_path: Path, keys: Keys) -> None:
    channel = tmp_path / "channel"
    for version in ("1.0", "1.1"):
        assert publish(keys, channel, write(tmp_path / WHEEL.replace("1.0", version))).code == 0
    gone = ("--withdraw", "it eats files", "--name", "demo-tool", "--version")
    answer = publish(keys, channel, *gone, "1.1").answer
    assert answer["withdrawn"] == {"name": "demo-tool", "version": "1.1", "reason": "it eats files"}
    done = run("publish", channel, *gone, "1.1", "--key", keys.alice, "--gnupghome", keys.home)
    assert "demo-tool 1.1 is withdrawn: it eats files\nThe newest release of demo-tool is 1.0 now." in done.out
    done = run("publish", channel, *gone, "1.0", "--key", keys.alice, "--gnupghome", keys.home)
    assert "The newest release of demo-tool is none now." in done.out


def test_a_source_archive_alone_is_not_said_to_be_from_pypi(tmp_path: Path, keys: Keys) -> None:
    archive = write(tmp_path / "demo_tool-1.0.tar.gz")
    assert publish(keys, tmp_path / "one", archive).answer["purl"] == "pkg:generic/demo-tool@1.0"
    both = publish(keys, tmp_path / "two", archive, write(tmp_path / WHEEL))
    assert both.answer["purl"] == "pkg:pypi/demo-tool@1.0"


def test_a_channel_keeps_its_name_and_its_folder(tmp_path: Path, keys: Keys) -> None:
    channel, wheel = tmp_path / "channel", write(tmp_path / WHEEL)
    assert publish(keys, channel, wheel, "--channel-name", "example.org-stable").code == 0
    renamed = publish(keys, channel, write(tmp_path / "tool.deb"), "--name=x", "--version=1", "--channel-name", "other")
    assert (renamed.code, renamed.out) == (2, "")
    assert "holds channel example.org-stable: a channel keeps its name" in renamed.err
    among_others = publish(keys, tmp_path, wheel)
    assert (among_others.code, among_others.out) == (2, "")
    assert "holds no channel, but other files" in among_others.err
    assert not (tmp_path / layout.ROOT).exists()


def test_a_channel_that_does_not_exist_cannot_be_refreshed(tmp_path: Path, keys: Keys) -> None:
    publish(keys, tmp_path / "channel", "--refresh").refused("NotFoundError")
    assert not (tmp_path / "channel").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "required"),
        (("channel", "--key", "0" * 40), "a FILE is required, or --refresh"),
        (("channel", WHEEL, "--refresh", "--key", "0" * 40), "it takes no FILE"),
        (("channel", "--refresh", "--name", "x", "--key", "0" * 40), "nothing that describes a release"),
        (("channel", "--refresh", "--validity-days", "0", "--key", "0" * 40), "number of days"),
        (("channel", "--refresh", "--validity-days", "soon", "--key", "0" * 40), "number of days"),
        (("channel", "tool.bin", "--key", "0" * 40), "--name and --version are needed"),
        (("channel", "missing.bin", "--key", "0" * 40), "is no file"),
        (("channel", WHEEL, "--key", "alice@example.org"), "fingerprint"),
        (("channel", WHEEL, "--key", "0" * 40, "--gnupghome", "missing"), "is no folder"),
        (("channel", "tool.bin", "folder", "--key", "0" * 40, "--name=x", "--version=1"), "would both be tool.bin"),
        (("channel", "--withdraw", " ", "--name=x", "--version=1", "--key", "0" * 40), "needs a reason"),
        (("channel", WHEEL, "--upstream-key", "0" * 40, "--key", "0" * 40), "belong together"),
        (("channel", WHEEL, "--upstream-signature", WHEEL, "--key", "0" * 40), "belong together"),
        (("channel", "empty", "--key", "0" * 40, "--name=x", "--version=1"), "has no files"),
    ],
)
def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str) -> None:
    for path in (WHEEL, "tool.bin", "folder/tool.bin"):
        write(tmp_path / path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run("publish", *words)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert not (tmp_path / "channel").exists()
