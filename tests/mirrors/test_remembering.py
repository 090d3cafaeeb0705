"""What is remembered of mirrors across runs, and where they and the client are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ossdist import events
from ossdist.client import Client
from ossdist.config import FetchConfig, MirrorConfig
from ossdist.errors import FormatError, SourcesExhaustedError, StorageError
from ossdist.mirrors.health import Health
from ossdist.mirrors.sites import Place
from ossdist.release.model import Mirror
from ossdist.store.health_file import MAX_MIRRORS, load_health, save_health
from tests.asynchronous import asynchronous
from tests.channels import QUICK, WITH_MIRRORS, make_channel, noise, publish
from tests.geo_databases import BRITISH, build, city_record
from tests.programs.nginx import Nginx

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.config import ClientConfig
    from ossdist.events import TransferEvent
    from tests.keys import Keys

ALONE = replace(WITH_MIRRORS, peers_enabled=False, transfer=replace(QUICK, exhausted_after_s=3.0))
CONTENT = noise(300_000)


# --- the file --------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state" / "mirrors.json"
    known = {
        "https://a.example/": Health(bytes_per_s=1e6, at=5.0),
        "https://b.example/": Health(failures=1.5, in_a_row=2),
    }
    save_health(path, known)
    assert load_health(path) == known


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"format": "other", "mirrors": {}}', b'{"format":"ossdist-mirrors-1"}', b"\xff"]
)
def test_a_damaged_file_is_begun_anew(tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mirrors.json"
    path.write_bytes(data)
    assert load_health(path) == {}
    assert "begun anew" in caplog.text


def test_no_file_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_health(tmp_path / "mirrors.json") == {}
    assert not caplog.text


def test_of_too_many_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "mirrors.json"
    save_health(path, {f"https://m{number}.example/": Health(at=float(number)) for number in range(MAX_MIRRORS + 10)})
    kept = load_health(path)
    assert len(kept) == MAX_MIRRORS
    assert "https://m9.example/" not in kept


# --- a client --------------------------------------------------------------------------------------------


async def download(url: str, root: Path, to: Path, config: ClientConfig) -> list[TransferEvent]:
    said: list[TransferEvent] = []
    async with Client(url, root=root, config=config) as client:
        await client.download("tool", to=to, on_event=said.append)
    return said


@asynchronous
async def test_a_client_remembers_who_failed(tmp_path: Path, keys: Keys) -> None:
    """In the second run a mirror that was bad in the first one is the last resort."""
    channel = await make_channel(tmp_path, keys)
    config = replace(ALONE, state_folder=tmp_path / "state")
    async with (
        Nginx(tmp_path / "good", channel.folder) as good,
        Nginx(tmp_path / "bad", channel.folder, location="location ~ bin$ { return 403; }") as bad,
    ):
        await publish(channel, {"tool.bin": CONTENT}, mirrors=(Mirror(url=bad.url), Mirror(url=good.url)))
        await download(good.url, channel.root, tmp_path / "first", config)
        known = load_health(tmp_path / "state" / "mirrors.json")
        assert known[good.url].bytes_per_s or known[good.url].successes
        assert known[bad.url].in_a_row == 1
        said = await download(good.url, channel.root, tmp_path / "second", config)
        assert [event.url for event in said if isinstance(event, events.MirrorStarted)] == [good.url]
        forgetful = replace(config, mirrors=MirrorConfig(remember=False))
        said = await download(good.url, channel.root, tmp_path / "third", forgetful)
        assert len([event for event in said if isinstance(event, events.MirrorStarted)]) == 2


@asynchronous
async def test_a_state_that_cannot_be_written_does_not_matter(
    tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await make_channel(tmp_path, keys)
    state = tmp_path / "state"
    async with Nginx(tmp_path / "good", channel.folder) as good:
        await publish(channel, {"tool.bin": CONTENT}, mirrors=(Mirror(url=good.url),))
        (state / "mirrors.json").mkdir(parents=True)
        await download(good.url, channel.root, tmp_path / "to", replace(ALONE, state_folder=state))
    assert "is not kept" in caplog.text


@asynchronous
async def test_who_serves_another_country_is_not_asked(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    async with Nginx(tmp_path / "good", channel.folder) as good:
        mirrors = (Mirror(url=good.url, location="fr", serves="country"),)
        await publish(channel, {"tool.bin": CONTENT}, mirrors=mirrors)
        german = replace(ALONE, mirrors=MirrorConfig(place=Place(country="de")))
        with pytest.raises(SourcesExhaustedError, match="serves its country alone"):
            await download(good.url, channel.root, tmp_path / "to", german)
        french = replace(ALONE, mirrors=MirrorConfig(place=Place(country="fr")))
        await download(good.url, channel.root, tmp_path / "to", french)


@asynchronous
async def test_places_come_from_a_database(tmp_path: Path, keys: Keys) -> None:
    """The mirror is British: it does not serve a client in Germany. (A proxy on this machine is all that is asked.)"""
    database = build(tmp_path / "city.mmdb", {f"{BRITISH}/32": city_record("GB", "EU", 51.5, -0.1)})
    channel = await make_channel(tmp_path, keys)
    async with Nginx(tmp_path / "good", channel.folder) as good:
        await publish(channel, {"tool.bin": CONTENT}, mirrors=(Mirror(url=f"http://{BRITISH}/", serves="country"),))
        for country, serves in (("gb", True), ("de", False)):
            config = replace(
                ALONE,
                mirrors=MirrorConfig(place=Place(country=country), geo_databases=(database,)),
                fetch=FetchConfig(proxies={"http": good.url}),
            )
            work = download(good.url, channel.root, tmp_path / country, config)
            if serves:
                await work
            else:
                with pytest.raises(SourcesExhaustedError, match="country"):
                    await work


@asynchronous
async def test_a_database_that_was_given_must_be_one(tmp_path: Path, keys: Keys) -> None:
    channel = await make_channel(tmp_path, keys)
    junk = tmp_path / "junk.mmdb"
    for content, error in ((b"junk", FormatError), (None, StorageError)):
        if content is None:
            junk.unlink()
        else:
            junk.write_bytes(content)
        with pytest.raises(error):
            async with Client(
                channel.folder, root=channel.root, config=replace(ALONE, mirrors=MirrorConfig(geo_databases=(junk,)))
            ):
                pass
