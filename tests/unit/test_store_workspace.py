"""A download's folder: one at a time, and what an earlier try left is believed only while it is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist.errors import DiskFullError, StorageError, TargetBusyError, TargetNotWritableError
from ossdist.store.workspace import Resume, Workspace

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0123456789abcdef" * 4


def opened(target: Path) -> Workspace:
    return Workspace(target, KEY)


def end_cleanly(target: Path) -> None:
    """A try that wrote a file and ended as it should."""
    with opened(target) as workspace:
        (workspace.data / "sub").mkdir()
        (workspace.data / "sub" / "file").write_bytes(b"pieces")
        workspace.save_resume(b"state")
        workspace.close_cleanly()


def resume_path(target: Path) -> Path:
    return target / f".ossdist-{KEY[:16]}" / "resume"


def block_writing(target: Path) -> Path:
    """Lets nothing be written beside the resume file, whoever asks."""
    obstacle = resume_path(target).with_name(".resume.tmp")
    obstacle.mkdir()
    return obstacle


def test_one_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path):
        with pytest.raises(TargetBusyError):
            opened(tmp_path)
        with Workspace(tmp_path, "another key of this target"):
            pass
    with opened(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file", "file/below", "n" * 300])
def test_target_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        opened(tmp_path / name)
    assert isinstance(caught.value, TargetNotWritableError) == name.startswith("file")


def test_nothing_was_left(tmp_path: Path) -> None:
    with opened(tmp_path / "target") as workspace:
        assert not workspace.has_data
        assert workspace.load_resume() is None
        workspace.close_cleanly()
        assert workspace.load_resume() is None


def test_clean_end_is_trusted_once(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        assert workspace.has_data
        assert workspace.load_resume() == Resume(b"state", trusted=True)
    with opened(tmp_path) as workspace:  # the second try crashed
        assert workspace.load_resume() == Resume(b"state", trusted=False)


def test_unclean_end_is_not_trusted(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        workspace.save_resume(b"state")
    with opened(tmp_path) as workspace:
        assert workspace.load_resume() == Resume(b"state", trusted=False)


@pytest.mark.parametrize("change", ["shorter", "touched", "gone", "more"])
def test_changed_files_are_not_trusted(tmp_path: Path, change: str) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        file = workspace.data / "sub" / "file"
        match change:
            case "shorter":
                file.write_bytes(b"piece")
            case "touched":
                file.touch()
            case "gone":
                file.unlink()
            case _:
                file.with_name("more").touch()
        assert workspace.load_resume() == Resume(b"state", trusted=False)


@pytest.mark.parametrize("content", [b"", b"\x00garbage", msgspec.msgpack.encode(["another format"])])
def test_damaged_resume_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    end_cleanly(tmp_path)
    resume_path(tmp_path).write_bytes(content)
    with opened(tmp_path) as workspace:
        assert workspace.load_resume() is None


def test_resume_that_is_no_file_is_as_none(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        resume_path(tmp_path).mkdir()
        assert workspace.load_resume() is None


def test_state_that_could_not_be_written_is_not_promised_later(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        obstacle = block_writing(tmp_path)
        with pytest.raises(StorageError):
            workspace.save_resume(b"state")
        obstacle.rmdir()
        workspace.close_cleanly()
        assert workspace.load_resume() is None


def test_old_promise_that_cannot_be_taken_back(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    block_writing(tmp_path)
    with opened(tmp_path) as workspace, pytest.raises(StorageError):
        workspace.load_resume()


def test_forgotten_state(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        workspace.save_resume(b"newer")
        workspace.forget_resume()
        workspace.close_cleanly()
        workspace.forget_resume()
        assert workspace.load_resume() is None
        assert workspace.has_data


def test_state_that_cannot_be_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        resume_path(tmp_path).mkdir()
        with pytest.raises(StorageError):
            workspace.forget_resume()


def test_discarded_data(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        workspace.discard_data()
        assert not workspace.has_data
        assert workspace.load_resume() is None
    with opened(tmp_path) as workspace:
        assert not workspace.has_data


def test_removed_with_everything(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        workspace.remove()
        with pytest.raises(StorageError):
            workspace.require_room([])
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_looked_at(tmp_path: Path) -> None:
    end_cleanly(tmp_path)
    with opened(tmp_path) as workspace:
        (workspace.data / "loop").symlink_to("loop")
        with pytest.raises(StorageError, match="cannot read"):
            workspace.load_resume()
        (workspace.data / "loop").unlink()
        workspace.discard_data()
        workspace.data.touch()
        with pytest.raises(StorageError, match="cannot read"):
            _ = workspace.has_data


def test_room_for_what_is_missing(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        (workspace.data / "there").write_bytes(bytes(100_000))
        workspace.require_room([("there", 100_000), ("missing", 10)])
        with pytest.raises(DiskFullError) as caught:
            workspace.require_room([("there", 100_000), ("missing", 1 << 60)])
    assert caught.value.needed_bytes == 1 << 60
    assert caught.value.free_bytes is not None
