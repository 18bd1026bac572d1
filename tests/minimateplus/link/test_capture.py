from __future__ import annotations

import asyncio
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import virtual_time
from kit.end_to_end import build_unit, check_truth

from minimateplus.client import MiniMate
from minimateplus.errors import (
    CaptureError,
    ConnectError,
    LinkClosedError,
    MiniMateError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.link import Link, open_link
from minimateplus.link.capture import (
    MAX_HEADER_CHARS,
    MAX_LINE_BYTES,
    Capture,
    CapturedChunk,
    CaptureLink,
    ReplayLink,
    load_capture,
    open_replay,
    parse_capture,
)
from minimateplus.link.in_process import memory_pair
from minimateplus.simulator import connect_memory
from minimateplus.simulator.faulty_links import (
    ColdLink,
    CutLink,
    FaultyLink,
    LateLink,
    LinkFactory,
    ModemTextLink,
    OneByteLink,
    StrayAckLink,
)
from minimateplus.wire.framing import encode_reply, encode_request

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "capture-format.md"
HEADER = '{"format": "seismo-relay-capture", "version": 1}\n'
POLL = encode_request(0x5B)
CHUNK = '{"t_s": 0.5, "from": "host", "hex": "41"}\n'


async def _record(path: Path, wrap_link: LinkFactory = FaultyLink, *, reads: bool = True) -> None:
    unit = build_unit()
    with path.open("w", encoding="utf-8") as sink:
        async with connect_memory(unit, wrap_link=wrap_link) as link:
            started_at = datetime(2026, 11, 23, 20, 45, tzinfo=UTC)
            captured = CaptureLink(
                link, sink, clock=virtual_time.now_s, started_at=started_at, note="a test"
            )
            assert captured.name == link.name
            await check_truth(unit, captured)


@pytest.mark.parametrize(
    "wrap_link", [FaultyLink, OneByteLink, LateLink, ModemTextLink, ColdLink, StrayAckLink]
)
def test_a_replay_gives_the_answers_of_the_recorded_link(
    wrap_link: LinkFactory, tmp_path: Path
) -> None:
    path = tmp_path / "one.jsonl"
    virtual_time.run(_record(path, wrap_link))
    virtual_time.run(check_truth(build_unit(), f"replay:{path}"))


@virtual_time.in_virtual_time
async def test_a_replay_recorded_again_is_the_same_session(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    await _record(path)
    again = io.StringIO()
    replay = await open_link(f"replay:{path}")
    await check_truth(build_unit(), CaptureLink(replay, again, clock=virtual_time.now_s))
    first = [(c.side, c.data) for c in load_capture(path).chunks]
    (tmp_path / "two.jsonl").write_text(again.getvalue())
    assert [(c.side, c.data) for c in load_capture(tmp_path / "two.jsonl").chunks] == first


@pytest.mark.parametrize("name", ["y" * 501, "replay of " * 100, "\x1b" * 200])
def test_a_file_of_ours_can_be_read_however_long_the_links_name_is(name: str) -> None:
    class Named(FaultyLink):
        @property
        def name(self) -> str:
            return name

    sink = io.StringIO()
    CaptureLink(Named(memory_pair("sim")[0]), sink)
    link_text = parse_capture(sink.getvalue().encode(), "ours").link
    assert len(link_text) == MAX_HEADER_CHARS
    assert link_text[:4] in (name[:4], "\\x1b")


@pytest.mark.parametrize("note", ["n" * 501, "\x1b" * 200])
def test_a_note_that_nobody_could_read_again_is_refused_at_once(note: str) -> None:
    sink = io.StringIO()
    with pytest.raises(ValueError, match="500 characters at most"):
        CaptureLink(memory_pair("sim")[0], sink, note=note)
    assert sink.getvalue() == ""


def test_the_file_is_plain_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    virtual_time.run(_record(path, LateLink))
    raw = path.read_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\n")
    header, *chunks = [json.loads(line) for line in raw.splitlines()]
    assert header == {
        "format": "seismo-relay-capture",
        "version": 1,
        "link": "sim+memory:SIM0001",
        "started_at": "2026-11-23T20:45:00+00:00",
        "note": "a test",
    }
    assert all(set(chunk) == {"t_s", "from", "hex"} for chunk in chunks)
    assert chunks[0] == {"t_s": 0.0, "from": "host", "hex": POLL.hex()}
    assert chunks[1]["t_s"] == 1.0
    assert [c["t_s"] for c in chunks] == sorted(c["t_s"] for c in chunks)


@virtual_time.in_virtual_time
async def test_each_line_is_in_the_file_before_the_next_byte_crosses(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    ours, theirs = memory_pair()
    with path.open("w") as sink:
        link = CaptureLink(ours, sink, clock=virtual_time.now_s)
        await link.send(b"ask")
        assert load_capture(path).chunks[-1].data == b"ask"
        await theirs.send(b"answer")
        await link.receive()
        assert load_capture(path).chunks[-1].data == b"answer"
        await link.close()


@virtual_time.in_virtual_time
async def test_a_capture_that_cannot_be_written_is_a_capture_error() -> None:
    sink = io.StringIO()
    ours, theirs = memory_pair()
    link = CaptureLink(ours, sink, clock=virtual_time.now_s)
    await theirs.send(b"answer")
    sink.close()
    with pytest.raises(CaptureError, match="cannot be written"):
        await link.receive()
    with pytest.raises(CaptureError, match="cannot be written"):
        CaptureLink(ours, sink)
    await link.close()


# --- replays that go another way ------------------------------------------------------------------


def _capture(*chunks: tuple[str, bytes]) -> Capture:
    made = [
        CapturedChunk(n, "host" if s == "host" else "unit", d) for n, (s, d) in enumerate(chunks)
    ]
    return Capture("tcp://unit", "", "", tuple(made))


async def _recorded_but_asked_otherwise(path: Path) -> None:
    async with MiniMate.connect(f"replay:{path}") as host:
        await host.read_monitor_status()


def test_a_replay_refuses_what_was_not_asked_then_and_shows_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    virtual_time.run(_record(path))
    with pytest.raises(CaptureError, match=r"byte 5 of the host: expected 15, got 1c"):
        virtual_time.run(_recorded_but_asked_otherwise(path))


@pytest.mark.parametrize("at", range(len(POLL)))
@virtual_time.in_virtual_time
async def test_any_other_byte_of_the_host_is_refused(at: int) -> None:
    other = POLL[:at] + bytes((POLL[at] ^ 1,)) + POLL[at + 1 :]

    async def replay(parts: list[bytes]) -> None:
        link = ReplayLink(_capture(("host", POLL), ("unit", b"x")))
        for part in parts:
            await link.send(part)

    for parts in ([other], [bytes((value,)) for value in other]):
        with pytest.raises(CaptureError, match=f"byte {at} of the host: expected {POLL[at]:02x}"):
            await replay(parts)


@virtual_time.in_virtual_time
async def test_the_host_may_cut_its_bytes_as_it_likes() -> None:
    link = ReplayLink(_capture(("host", b"ab"), ("host", b"cd"), ("unit", b"x")))
    await link.send(b"a")
    await link.send(b"bc")
    await link.send(b"d")
    assert await link.receive() == b"x"
    with pytest.raises(LinkClosedError):
        await link.receive()
    with pytest.raises(LinkClosedError):
        await link.send(b"e")


@virtual_time.in_virtual_time
async def test_what_nobody_wanted_to_hear_is_skipped() -> None:
    link = ReplayLink(_capture(("unit", b"RING"), ("host", b"a"), ("unit", b"x")))
    await link.send(b"a")
    assert await link.receive() == b"x"


@virtual_time.in_virtual_time
async def test_where_the_unit_was_silent_the_replay_is_until_it_is_closed() -> None:
    link = ReplayLink(_capture(("host", b"a"), ("host", b"a"), ("unit", b"x")))
    await link.send(b"a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await link.receive()
    task = asyncio.create_task(link.receive())
    await asyncio.sleep(1)
    await link.close()
    with pytest.raises(LinkClosedError):
        await task


def test_a_session_that_was_cut_is_cut_in_its_replay(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    with pytest.raises(LinkClosedError):
        virtual_time.run(_record(path, lambda inner: CutLink(inner, 500)))
    with pytest.raises(LinkClosedError):
        virtual_time.run(check_truth(build_unit(), f"replay:{path}"))


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", RemoteProtocolError),
        (encode_reply(0xA4)[:-2] + b"\xb5\x03", RemoteProtocolError),
        (b"\r\nRING\r\n", ReplyTimeoutError),
    ],
)
def test_rubbish_is_captured_as_it_came_and_judged_the_same_in_the_replay(
    came: bytes, expected: type[MiniMateError], tmp_path: Path
) -> None:
    path = tmp_path / "rubbish.jsonl"

    async def record() -> str:
        ours, theirs = memory_pair()
        await theirs.send(came)
        with path.open("w") as sink, pytest.raises(expected) as caught:
            await MiniMate.open(CaptureLink(ours, sink, clock=virtual_time.now_s))
        return str(caught.value)

    async def replay() -> str:
        link: Link = open_replay(path)
        with pytest.raises((expected, LinkClosedError)) as caught:
            await MiniMate.open(link)
        return str(caught.value)

    capture_text = virtual_time.run(record())
    # It came before the host spoke, and is taken in before that.
    assert load_capture(path).chunks[0].data == came
    # A capture does not contain how long the link stayed open after its last chunk.
    assert capture_text
    again = virtual_time.run(replay())
    assert "capture ends" in again or again.partition(": ")[2] == capture_text.partition(": ")[2]


# --- damaged files --------------------------------------------------------------------------------


def _load(path: Path, text: str | bytes) -> Capture:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_capture(path)


@pytest.mark.parametrize("size", range(1, len(CHUNK)))
def test_a_last_line_that_was_cut_off_is_left_out(size: int, tmp_path: Path) -> None:
    kept = _load(tmp_path / "a", HEADER + CHUNK + CHUNK[:size]).chunks
    assert len(kept) == (2 if size == len(CHUNK) - 1 else 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ("null", "expected an object"),
        ("[" * 100_000, "not JSON"),
        ('{"from": "host", "hex": "41"}', "t_s"),
        ('{"t_s": null, "from": "host", "hex": "41"}', "t_s"),
        ('{"t_s": true, "from": "host", "hex": "41"}', "t_s"),
        ('{"t_s": NaN, "from": "host", "hex": "41"}', "t_s"),
        ('{"t_s": 1e999, "from": "host", "hex": "41"}', "t_s"),
        ('{"t_s": 1%s, "from": "host", "hex": "41"}' % ("0" * 400), "t_s"),
        ('{"t_s": 1%s, "from": "host", "hex": "41"}' % ("0" * 5000), "not JSON"),
        ('{"t_s": 1, "from": "modem", "hex": "41"}', "host or unit"),
        ('{"t_s": 1, "hex": "41"}', "host or unit"),
        ('{"t_s": 1, "from": ["host"], "hex": "41"}', "host or unit"),
        ('{"t_s": 1, "from": "host"}', "hex"),
        ('{"t_s": 1, "from": "host", "hex": 41}', "hex"),
        ('{"t_s": 1, "from": "host", "hex": "4"}', "hex"),
        ('{"t_s": 1, "from": "host", "hex": "4g"}', "hex"),
        ('{"t_s": 1, "from": "host", "hex": ""}', "at least one byte"),
        ('{"t_s": 1, "from": "host", "hex": "%s"}' % ("41" * MAX_LINE_BYTES), "longer"),
        (b"\xff\xfe", "not JSON"),
    ],
    ids=range(22),
)
def test_any_other_damage_names_its_line(line: str | bytes, reason: str, tmp_path: Path) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    text = HEADER.encode() + CHUNK.encode() + raw + b"\n" + CHUNK.encode()
    with pytest.raises(CaptureError, match=f"line 3: .*{reason}") as caught:
        _load(tmp_path / "a.jsonl", text)
    assert "a.jsonl" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "header",
    [
        "",
        "\n",
        "{}\n",
        "hello\n",
        HEADER.replace("1}", "2}"),
        HEADER.replace("seismo", "other"),
        '{"format": "seismo-relay-',
    ],
)
def test_a_file_that_is_no_capture_of_this_version_is_refused_at_line_1(
    header: str, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match="line 1"):
        _load(tmp_path / "a", header)


def test_a_header_alone_is_a_capture_of_nothing(tmp_path: Path) -> None:
    for text in (HEADER, HEADER.strip()):
        assert _load(tmp_path / "a", text).chunks == ()


def test_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    text = (HEADER + CHUNK).replace("\n", "\r\n")
    assert _load(tmp_path / "a", text).chunks == (CapturedChunk(0.5, "host", b"A"),)


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_a_capture_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        load_capture(f"{tmp_path}/{name}")
    with pytest.raises((CaptureError, ConnectError)):
        virtual_time.run(open_link(f"replay:{tmp_path}/{name}"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["t_s", "from", "hex", "format", "version"]), inner)
    ),
    max_leaves=6,
)
_LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.just(HEADER.strip().encode()),
        st.just(CHUNK.strip().encode()),
        _JSON.map(lambda value: json.dumps(value).encode()),
        st.builds(
            lambda t, side, text: json.dumps({"t_s": t, "from": side, "hex": text}).encode(),
            _JSON,
            st.sampled_from(["host", "unit", "x", None]),
            st.text("0123456789abcdefg ", max_size=6),
        ),
    ),
    max_size=5,
)


@given(_LINES, st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_only_a_capture_error_leaves(
    tmp_path: Path, lines: list[bytes], with_header: bool
) -> None:
    text = b"\n".join([HEADER.strip().encode(), *lines] if with_header else lines)
    try:
        capture = _load(tmp_path / "a", text)
    except CaptureError:
        return
    assert all(chunk.data and chunk.side in ("host", "unit") for chunk in capture.chunks)
    assert len(capture.chunks) <= len(lines)


# --- the document ---------------------------------------------------------------------------------


def _example(path: Path) -> Capture:
    blocks = re.findall(r"```jsonl\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return _load(path, blocks[0])


@virtual_time.in_virtual_time
async def test_the_example_of_the_document_loads_and_replays(tmp_path: Path) -> None:
    capture = _example(tmp_path / "example")
    assert [chunk.side for chunk in capture.chunks] == [
        "host",
        "unit",
        "unit",
        "host",
        "unit",
        "host",
        "unit",
        "host",
        "unit",
    ]
    async with MiniMate.connect(ReplayLink(capture)) as host:
        assert await host.read_serial() == "SIM0001"


def test_the_document_names_every_name_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    virtual_time.run(_record(path))
    header, chunk = (json.loads(line) for line in path.read_text().splitlines()[:2])
    named = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == set(header) | set(chunk)
