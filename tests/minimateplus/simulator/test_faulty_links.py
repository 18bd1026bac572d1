from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

import pytest
from kit import virtual_time
from kit.end_to_end import build_unit, check_truth
from kit.ports import reserve_port

from minimateplus.client import MiniMate
from minimateplus.errors import (
    ConnectError,
    ConnectTimeoutError,
    LinkClosedError,
    MiniMateError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.link import Deadlines, Link, open_link
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import connect_memory
from minimateplus.simulator.faulty_links import (
    BOOT_TEXT,
    RING_CONNECT,
    ColdLink,
    CorruptingLink,
    CutLink,
    FaultyLink,
    LateLink,
    LinkFactory,
    LossyLink,
    ModemTextLink,
    OneByteLink,
    StalledLink,
    StrayAckLink,
)

MAX_SECONDS = 3600.0
"""Of virtual time: beyond this a session hangs."""


class OneFlipLink(FaultyLink):
    """Flips one bit of every so many frames: what an 8-bit sum is sure to see."""

    def __init__(self, inner: Link, rng: random.Random, share: float = 0.05) -> None:
        super().__init__(inner)
        self.rng = rng
        self.share = share

    async def send(self, data: bytes) -> None:
        if self.rng.random() < self.share:
            at = self.rng.randrange(len(data))
            flipped = bytes((data[at] ^ 1 << self.rng.randrange(8),))
            data = data[:at] + flipped + data[at + 1 :]
        await super().send(data)


class MeteredLink(FaultyLink):
    """Counts the bytes to the host."""

    passed = 0

    async def send(self, data: bytes) -> None:
        self.passed += len(data)
        await super().send(data)


async def _is_closed(link: Link) -> bool:
    try:
        await link.send(b"?")
    except LinkClosedError:
        return True
    return False


async def _run_session(wrap_link: LinkFactory) -> str | None:
    """Run the body over ``wrap_link``; return the name of the error it ended in, if any."""
    unit = build_unit()
    started_s = virtual_time.now_s()
    ended = None
    async with connect_memory(unit, wrap_link=wrap_link) as link:
        try:
            await check_truth(unit, link)
        except MiniMateError as error:
            ended = type(error).__name__
        assert await _is_closed(link)
    assert virtual_time.now_s() - started_s < MAX_SECONDS
    return ended


@pytest.mark.parametrize(
    "wrap_link",
    [
        FaultyLink,
        OneByteLink,
        LateLink,
        ModemTextLink,
        ColdLink,
        StrayAckLink,
        lambda inner: OneByteLink(LateLink(inner, 0.001)),
        lambda inner: ModemTextLink(StrayAckLink(OneByteLink(inner))),
        lambda inner: ColdLink(ModemTextLink(LateLink(inner, 0.4))),
    ],
    ids=["whole", "one byte", "late", "modem text", "cold", "stray ack", "slow", "modem", "all"],
)
def test_a_slow_or_chatty_link_carries_the_exact_values(wrap_link: LinkFactory) -> None:
    assert virtual_time.run(_run_session(wrap_link)) is None


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("wrap_link", [LossyLink, OneFlipLink])
def test_a_link_that_damages_bytes_never_makes_a_wrong_answer(
    wrap_link: Callable[[Link, random.Random, float], Link], seed: int
) -> None:
    share = 0.0002 * (1 + seed % 10) if wrap_link is LossyLink else 0.005 * (1 + seed % 10)
    virtual_time.run(_run_session(lambda inner: wrap_link(inner, random.Random(seed), share)))


class WatchedCorruption(CorruptingLink):
    """Notes the most bytes that it changed in one frame."""

    worst = 0

    async def send(self, data: bytes) -> None:
        before = self.inner
        self.inner = _Changes(self, before, data)
        try:
            await super().send(data)
        finally:
            self.inner = before


class _Changes(FaultyLink):
    def __init__(self, watcher: WatchedCorruption, inner: Link, meant: bytes) -> None:
        super().__init__(inner)
        self.watcher = watcher
        self.meant = meant

    async def send(self, data: bytes) -> None:
        changed = sum(a != b for a, b in zip(self.meant, data, strict=True))
        self.watcher.worst = max(self.watcher.worst, changed)
        await super().send(data)


@pytest.mark.parametrize("seed", range(100))
def test_a_wrong_answer_needs_two_flips_in_one_frame_since_the_wire_has_only_a_sum(
    seed: int,
) -> None:
    links: list[WatchedCorruption] = []

    def corrupting(inner: Link) -> Link:
        links.append(WatchedCorruption(inner, random.Random(seed), 0.0003))
        return links[0]

    try:
        virtual_time.run(_run_session(corrupting))
    except AssertionError:
        assert links[0].worst > 1


def test_links_that_damage_bytes_do_damage_some_and_spare_some() -> None:
    async def ends(wrap_link: type[LossyLink] | type[OneFlipLink], share: float) -> set[str | None]:
        made = (
            lambda inner, s=seed: wrap_link(inner, random.Random(s), share) for seed in range(12)
        )
        return {await _run_session(one) for one in made}

    assert None in virtual_time.run(ends(LossyLink, 0.00005))
    # A request that lost bytes can be answered about another key, as another program's would be.
    errors = {"RemoteProtocolError", "ReplyTimeoutError", "LineSharedError"}
    assert virtual_time.run(ends(LossyLink, 0.005)) <= errors
    assert "RemoteProtocolError" in virtual_time.run(ends(OneFlipLink, 0.05))


def _places() -> list[int]:
    """Every byte of the first replies, then some of everything to behind the last byte."""
    meters: list[MeteredLink] = []

    def metered(inner: Link) -> Link:
        meters.append(MeteredLink(inner))
        return meters[0]

    assert virtual_time.run(_run_session(metered)) is None
    return [*range(45), *range(45, meters[0].passed, 331), meters[0].passed - 1]


@pytest.mark.parametrize("wrap_link", [CutLink, StalledLink])
def test_a_link_that_ends_anywhere_ends_the_session_with_its_own_error(
    wrap_link: type[CutLink] | type[StalledLink],
) -> None:
    expected = {CutLink: {"LinkClosedError"}, StalledLink: {"ReplyTimeoutError"}}[wrap_link]
    for place in _places():
        ended = virtual_time.run(_run_session(lambda inner, at=place: wrap_link(inner, at)))  # type: ignore[misc]
        assert {ended} == expected, place


@pytest.mark.parametrize("wrap_link", [CutLink, StalledLink])
def test_a_link_that_ends_after_the_last_byte_does_no_harm(
    wrap_link: type[CutLink] | type[StalledLink],
) -> None:
    last = _places()[-1] + 1
    assert virtual_time.run(_run_session(lambda inner: wrap_link(inner, last))) is None


# --- on whose side -------------------------------------------------------------------------------


async def _against(
    *chunks: bytes, then_close: bool = False, again: bool = False
) -> tuple[Exception, float]:
    """Return what the client makes of a far end that says ``chunks``, and after how long."""
    ours, theirs = memory_pair("far end")

    async def far() -> None:
        await theirs.receive()
        for chunk in chunks:
            await theirs.send(chunk)
        while again:
            await theirs.send(chunks[-1])
            await asyncio.sleep(0.001)
        if then_close:
            await theirs.close()

    task = asyncio.create_task(far())
    started_s = virtual_time.now_s()
    with pytest.raises(MiniMateError) as caught:
        await MiniMate.open(ours, deadlines=Deadlines(reply_s=10))
    waited_s = virtual_time.now_s() - started_s
    task.cancel()
    await asyncio.wait((task,))
    assert await _is_closed(ours)
    return caught.value, waited_s


def test_silence_is_a_reply_timeout_after_two_polls() -> None:
    error, waited_s = virtual_time.run(_against())
    assert type(error) is ReplyTimeoutError
    assert "POLL" in str(error)
    assert "far end" in str(error)
    assert waited_s == pytest.approx(20)
    assert "within 20 s: the unit is silent. Is it switched on?" in str(error)
    assert error.diagnosis == "silent"


@pytest.mark.parametrize(
    "text", [RING_CONNECT, BOOT_TEXT, b"A", b"\r\nCONNECT 38400\r\n", RING_CONNECT[:-1] + BOOT_TEXT]
)
def test_the_text_of_a_modem_or_a_boot_and_then_silence_is_a_reply_timeout(text: bytes) -> None:
    error, _ = virtual_time.run(_against(text))
    assert type(error) is ReplyTimeoutError


@pytest.mark.parametrize("size", range(1, 21))
def test_a_reply_that_stalls_after_any_byte_is_a_reply_timeout(size: int) -> None:
    whole = bytes.fromhex("10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b4 03")
    error, _ = virtual_time.run(_against(RING_CONNECT + whole[:size]))
    assert type(error) is ReplyTimeoutError
    assert "is silent" not in str(error)


@pytest.mark.parametrize(
    "banner",
    [
        b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"\x00",
        b"\xff\xfb\x01\xff\xfb\x03login: ",
    ],
)
def test_rubbish_is_a_protocol_error_that_shows_what_came(banner: bytes) -> None:
    error, waited_s = virtual_time.run(_against(banner))
    assert type(error) is RemoteProtocolError
    assert repr(banner.replace(b"\r\n", b"")[:8])[2:-1] in str(error)
    assert waited_s == pytest.approx(10)


def test_broken_frames_alone_are_a_protocol_error() -> None:
    broken = bytes.fromhex("10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b5 03")
    error, _ = virtual_time.run(_against(broken))
    assert type(error) is RemoteProtocolError
    assert "broken frames" in str(error)


@pytest.mark.parametrize("chunk", [b"xyz\r\n" * 800, bytes(4096), b"\x10\x02\x00\x10\x10" * 800])
def test_endless_rubbish_is_given_up_long_before_the_deadline(chunk: bytes) -> None:
    error, waited_s = virtual_time.run(_against(chunk, again=True))
    assert type(error) is RemoteProtocolError
    assert waited_s < 1


@pytest.mark.parametrize("text", [b"", RING_CONNECT, b"\x10\x02\x00"])
def test_a_far_end_that_hangs_up_is_a_closed_link(text: bytes) -> None:
    error, waited_s = virtual_time.run(_against(*([text] if text else []), then_close=True))
    assert type(error) is LinkClosedError
    assert waited_s == 0


async def _knock(port: int, deadlines: Deadlines | None = None) -> None:
    link = await open_link(f"tcp://127.0.0.1:{port}", deadlines)
    await link.close()


def test_a_port_where_nobody_listens_is_a_refused_connection() -> None:
    with pytest.raises(ConnectError, match="refused") as caught:
        asyncio.run(_knock(reserve_port()))
    assert not isinstance(caught.value, ConnectTimeoutError)


async def test_a_black_hole_is_a_connect_timeout() -> None:
    # A listener that accepts nobody, its queue full: further knocks are dropped.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        with pytest.raises(ConnectTimeoutError, match=r"within 0\.05 s"):
            await _knock(full.getsockname()[1], Deadlines(connect_s=0.05))
        for one in waiting:
            one.close()
