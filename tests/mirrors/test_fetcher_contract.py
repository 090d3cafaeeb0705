"""What every `RangeFetcher` does: the one over HTTP with real servers, and the one in memory."""

from __future__ import annotations

import asyncio
import functools
import random
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from enum import Enum, auto
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import pytest

from ossdist.config import FetchConfig
from ossdist.errors import MirrorError, MirrorFault
from ossdist.mirrors.fetching import RangeRequest
from ossdist.mirrors.ranges import HttpPool, HttpRanges
from ossdist.sim import LoopClock, MemoryNetwork, MemoryRanges, run_virtual
from tests.channels import noise
from tests.mirrors.ranged_server import RangedServer, cut_short, ranged, stall
from tests.programs.nginx import Nginx
from tests.scripted_server import ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from ossdist.mirrors.fetching import RangeFetcher, RangeStream

P = ParamSpec("P")

CONTENT = noise(90_000)
TOTAL = len(CONTENT)


class Fault(Enum):
    """What is wrong with a mirror."""

    NONE = auto()
    NOBODY = auto()
    MISSING = auto()
    FORBIDDEN = auto()
    BUSY = auto()
    BROKEN = auto()
    NO_RANGES = auto()
    CUT = auto()
    STALL = auto()
    MUTE = auto()


class World(ABC):
    """Mirrors of one file, and who asks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "www"
        self.stack = AsyncExitStack()
        self.folder.mkdir()
        (self.folder / "a b.bin").write_bytes(CONTENT)
        self._fetcher: RangeFetcher | None = None

    @abstractmethod
    def run(self, test: Coroutine[None, None, None]) -> None: ...

    @abstractmethod
    async def serve(self, fault: Fault = Fault.NONE) -> str:
        """Its address, with a slash at the end."""

    @abstractmethod
    def fetcher(self, *, mirror_bytes_per_s: float = float("inf")) -> RangeFetcher: ...

    @abstractmethod
    def now_s(self) -> float: ...

    def stream(self, url: str, first: int = 0, length: int = TOTAL, *, ranged: bool = True) -> RangeStream:
        """A request that is not sent yet."""
        if self._fetcher is None:
            self._fetcher = self.fetcher()
        return self.ask(self._fetcher, url, first, length, ranged=ranged)

    def ask(
        self, fetcher: RangeFetcher, url: str, first: int, length: int, *, ranged: bool = True, total: int = TOTAL
    ) -> RangeStream:
        wanted = RangeRequest(mirror=url, url=f"{url}a%20b.bin", first=first, length=length, total=total, ranged=ranged)
        stream = fetcher.request(wanted)
        self.stack.push_async_callback(stream.close)
        return stream


class RealWorld(World):
    """Nginx, and a scripted server for what it cannot do, over loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._pool = HttpPool(FetchConfig(connect_timeout_s=5.0, read_timeout_s=30.0))
        self.stack.push_async_callback(self._pool.close)
        self._made = 0

    def run(self, test: Coroutine[None, None, None]) -> None:
        asyncio.run(test)

    async def serve(self, fault: Fault = Fault.NONE) -> str:
        bodies = {Fault.CUT: cut_short, Fault.STALL: stall}
        locations = {
            Fault.MISSING: "return 404;",
            Fault.FORBIDDEN: "return 403;",
            Fault.BUSY: "return 503;",
            Fault.BROKEN: "return 500;",
        }
        if fault is Fault.NOBODY:
            return "http://127.0.0.1:9/"
        if fault is Fault.MUTE:
            mute = ScriptedServer({"/a%20b.bin": b""}, hold=frozenset({"/a%20b.bin"}))
            return f"{(await self.stack.enter_async_context(serving(mute))).url}/"
        if (body := bodies.get(fault)) is not None:
            return (await self.stack.enter_async_context(ranged(RangedServer(CONTENT, body)))).url
        self._made += 1
        nginx = Nginx(
            self.folder.parent / f"nginx-{self._made}",
            self.folder,
            ranges=fault is not Fault.NO_RANGES,
            location=locations.get(fault, ""),
        )
        await self.stack.enter_async_context(nginx)
        return nginx.url

    def fetcher(self, *, mirror_bytes_per_s: float = float("inf")) -> RangeFetcher:
        return HttpRanges(self._pool, mirror_bytes_per_s=mirror_bytes_per_s)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()


class MemoryWorld(World):
    """A network in memory, in virtual time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._network = MemoryNetwork(clock=LoopClock(), rng=random.Random(1))
        self._made = 0

    def run(self, test: Coroutine[None, None, None]) -> None:
        run_virtual(test)

    async def serve(self, fault: Fault = Fault.NONE) -> str:
        self._made += 1
        server = self._network.add_web_server(f"http://mirror-{self._made}.example/", self.folder)
        server.refuses = fault is Fault.NOBODY
        server.ranged = fault is not Fault.NO_RANGES
        server.cut_after = TOTAL // 2 if fault is Fault.CUT else None
        server.silent_after = {Fault.STALL: TOTAL // 3, Fault.MUTE: 0}.get(fault)
        server.status = {
            Fault.MISSING: "404 Not Found",
            Fault.FORBIDDEN: "403 Forbidden",
            Fault.BUSY: "503 Service Unavailable",
            Fault.BROKEN: "500 Internal Server Error",
        }.get(fault, "")
        return server.url

    def fetcher(self, *, mirror_bytes_per_s: float = float("inf")) -> RangeFetcher:
        return MemoryRanges(self._network, mirror_bytes_per_s=mirror_bytes_per_s)

    def now_s(self) -> float:
        return self._network.clock.monotonic_s()


@pytest.fixture(params=[RealWorld, MemoryWorld], ids=["http", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    kind: type[World] = request.param
    return kind(tmp_path)


def contract(
    test: Callable[Concatenate[World, P], Coroutine[None, None, None]],
) -> Callable[Concatenate[World, P], None]:
    async def within(world: World, *args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(60), world.stack:
            await test(world, *args, **kwargs)

    @functools.wraps(test)
    def run(world: World, *args: P.args, **kwargs: P.kwargs) -> None:
        world.run(within(world, *args, **kwargs))

    return run


async def read(stream: RangeStream, length: int) -> bytes:
    data = bytearray(length)
    await stream.read_into(memoryview(data))
    return bytes(data)


@contract
async def test_a_part_of_a_file_comes_in_portions(world: World) -> None:
    stream = world.stream(await world.serve(), 10_000, 50_000)
    assert (stream.first_byte_s, stream.received_bytes) == (None, 0)
    await stream.open()
    assert stream.first_byte_s is not None
    assert await read(stream, 7) + await read(stream, 49_993) == CONTENT[10_000:60_000]
    assert stream.received_bytes == 50_000
    assert not stream.throttled


@contract
async def test_several_parts_come_at_once(world: World) -> None:
    url = await world.serve()
    streams = [world.stream(url, first, 30_000) for first in range(0, TOTAL, 30_000)]
    await asyncio.gather(*(stream.open() for stream in streams))
    assert b"".join(await asyncio.gather(*(read(stream, 30_000) for stream in streams))) == CONTENT


@contract
async def test_of_a_whole_file_the_begin_is_thrown_away(world: World) -> None:
    stream = world.stream(await world.serve(Fault.NO_RANGES), 60_000, 30_000, ranged=False)
    await stream.open()
    assert stream.received_bytes == 0
    assert await read(stream, 30_000) == CONTENT[60_000:]
    assert stream.received_bytes == 90_000  # it was not silent meanwhile


@contract
async def test_a_part_that_is_the_whole_file_needs_no_ranges(world: World) -> None:
    stream = world.stream(await world.serve(Fault.NO_RANGES))
    await stream.open()
    assert await read(stream, TOTAL) == CONTENT


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault.NOBODY, MirrorFault.UNREACHABLE),
        (Fault.MISSING, MirrorFault.NOT_FOUND),
        (Fault.FORBIDDEN, MirrorFault.REFUSED),
        (Fault.BUSY, MirrorFault.BUSY),
        (Fault.BROKEN, MirrorFault.BROKEN),
        (Fault.NO_RANGES, MirrorFault.NO_RANGES),
    ],
)
@contract
async def test_what_is_no_answer_is_told_before_the_body(world: World, fault: Fault, told: MirrorFault) -> None:
    url = await world.serve(fault)
    with pytest.raises(MirrorError) as caught:
        await world.stream(url, 5, 10).open()
    assert caught.value.fault is told
    assert caught.value.url == f"{url}a%20b.bin"


@contract
async def test_a_file_of_another_length_is_told_before_the_body(world: World) -> None:
    stream = world.ask(world.fetcher(), await world.serve(), 0, 10, total=TOTAL + 1)
    with pytest.raises(MirrorError, match=f"its file has {TOTAL} bytes, signed are {TOTAL + 1}") as caught:
        await stream.open()
    assert caught.value.fault is MirrorFault.WRONG_LENGTH


@contract
async def test_a_body_that_ends_early_fails_and_what_came_is_counted(world: World) -> None:
    stream = world.stream(await world.serve(Fault.CUT))
    await stream.open()
    assert await read(stream, 10_000) == CONTENT[:10_000]
    with pytest.raises(MirrorError) as caught:
        await read(stream, TOTAL - 10_000)
    assert caught.value.fault is MirrorFault.CUT_SHORT
    assert 10_000 <= stream.received_bytes <= TOTAL // 2


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.MUTE])
@contract
async def test_who_waits_is_told_when_it_is_stopped(world: World, fault: Fault) -> None:
    stream = world.stream(await world.serve(fault))

    async def all_of_it() -> None:
        await stream.open()
        await read(stream, TOTAL)

    waiting = asyncio.create_task(all_of_it())
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    stream.stop()
    stream.stop()
    with pytest.raises(MirrorError, match="was stopped"):
        await waiting


@contract
async def test_what_was_stopped_before_fails_at_once(world: World) -> None:
    url = await world.serve()
    stream = world.stream(url)
    stream.stop()
    with pytest.raises(MirrorError, match="was stopped"):
        await stream.open()
    stream = world.stream(url)
    await stream.open()
    stream.stop()
    with pytest.raises(MirrorError, match="was stopped"):
        await read(stream, TOTAL)


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.MUTE])
@contract
async def test_who_is_cancelled_is_cancelled(world: World, fault: Fault) -> None:
    stream = world.stream(await world.serve(fault))

    async def all_of_it() -> None:
        await stream.open()
        await read(stream, TOTAL)

    waiting = asyncio.create_task(all_of_it())
    await asyncio.wait([waiting], timeout=0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stream.close()


@contract
async def test_it_may_be_closed_at_any_time_and_twice(world: World) -> None:
    url = await world.serve()
    for opened, some in ((False, 0), (True, 0), (True, 10), (True, 1000)):
        stream = world.stream(url, 0, 1000)
        if opened:
            await stream.open()
        if some:
            await read(stream, some)
        await stream.close()
        await stream.close()


@contract
async def test_all_together_keep_the_limit_and_say_so(world: World) -> None:
    fetcher = world.fetcher()
    fetcher.limit(200_000)
    url = await world.serve()
    streams = [world.ask(fetcher, url, first, 30_000) for first in (0, 30_000)]
    begin_s = world.now_s()
    reading = [asyncio.create_task(_whole(stream, 30_000)) for stream in streams]
    told = False
    while not all(task.done() for task in reading):
        await asyncio.wait(reading, timeout=0.02)
        told = told or any(stream.throttled for stream in streams)
    assert told
    assert b"".join([task.result() for task in reading]) == CONTENT[:60_000]
    assert world.now_s() - begin_s >= 60_000 / 200_000 - 0.11  # a tenth of a second's worth may come at once
    assert not any(stream.throttled for stream in streams)


@contract
async def test_a_limit_may_be_lifted(world: World) -> None:
    fetcher = world.fetcher()
    fetcher.limit(1000)
    fetcher.limit(float("inf"))
    begin_s = world.now_s()
    assert await _whole(world.ask(fetcher, await world.serve(), 0, TOTAL), TOTAL) == CONTENT
    assert world.now_s() - begin_s < 30


@contract
async def test_each_mirror_keeps_its_own_limit(world: World) -> None:
    fetcher = world.fetcher(mirror_bytes_per_s=200_000)
    urls = [await world.serve(), await world.serve()]
    begin_s = world.now_s()
    one, two, three = await asyncio.gather(
        _whole(world.ask(fetcher, urls[0], 0, 30_000), 30_000),
        _whole(world.ask(fetcher, urls[0], 30_000, 30_000), 30_000),
        _whole(world.ask(fetcher, urls[1], 60_000, 1000), 1000),
    )
    assert one + two + three == CONTENT[:61_000]
    assert world.now_s() - begin_s >= 60_000 / 200_000 - 0.11


async def _whole(stream: RangeStream, length: int) -> bytes:
    await stream.open()
    return await read(stream, length)
