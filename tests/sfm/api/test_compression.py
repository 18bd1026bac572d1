"""Content codings: who takes which, and gzip whose end is another for each reader."""

from __future__ import annotations

import gzip
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.relay_world import FieldUnit, World, in_virtual_time
from test_freshness import BOTH_WAYS, application, get

from sfm.api import compression
from sfm.api.compression import MAX_STORED_BYTES, OpenGzip, compressed, takes

GZIP = {"accept-encoding": "gzip"}


@pytest.mark.parametrize(
    ("accept_encoding", "is_taken"),
    [
        ("gzip", True),
        ("x, gzip, deflate", True),
        ("GZIP;q=0.2", True),
        ("br;q=1.0, gzip; q=0.5", True),
        ("gzip;q=0.001", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip ; q=0.0, x", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=", False),
        ("gzip;q=x", False),
        ("gzip;q=-1", False),
        ("xgzip, gzip-2", False),
    ],
)
def test_a_coding_is_only_for_readers_that_take_it(accept_encoding: str, is_taken: bool) -> None:
    for coding in ("gzip", "br", "zstd"):
        header = accept_encoding.lower().replace("br", "other").replace("gzip", coding)
        assert takes(coding, header) is is_taken
    assert takes("gzip", accept_encoding) is is_taken


@given(st.binary(), st.binary())
def test_each_readers_end_stands_behind_the_shared_beginning(shared: bytes, own: bytes) -> None:
    beginning = OpenGzip.of(shared)
    assert gzip.decompress(beginning.closed(own)) == shared + own
    assert gzip.decompress(beginning.closed(b"another")) == shared + b"another"


def test_an_end_that_is_longer_than_a_stored_block_takes_several() -> None:
    beginning = OpenGzip.of(b"shared" * 1000)
    for size in (MAX_STORED_BYTES, MAX_STORED_BYTES + 1, 3 * MAX_STORED_BYTES):
        end = bytes(size)
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16)
        assert unpacked.decompress(beginning.closed(end)) == b"shared" * 1000 + end
        assert unpacked.eof
        assert unpacked.unused_data == b""


def test_a_large_body_is_packed_faster_and_comes_out_the_same() -> None:
    body = orjson.dumps(list(range(80_000)))
    assert len(body) > compression.FAST_FROM_BYTES
    assert gzip.decompress(compressed(body)) == body
    assert compressed(body) == gzip.compress(body, compression.FAST_LEVEL, mtime=0)


async def listed(world: World, layer: bool, **headers: str) -> tuple[dict[str, str], bytes]:
    """Ask for the list and return headers and body as they are on the wire."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/device/events",
        "raw_path": b"/device/events",
        "query_string": b"host=unit.invalid&max_age=60",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *named],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8200),
    }
    await application(world, layer)(scope, receive, send)
    start, *parts = sent
    head = {name.decode(): value.decode() for name, value in start["headers"]}  # type: ignore[attr-defined]
    head["status"] = str(start["status"])
    return head, b"".join(part.get("body", b"") for part in parts)  # type: ignore[misc]


@BOTH_WAYS
@in_virtual_time
async def test_a_list_is_compressed_for_who_takes_it(world: World, layer: bool) -> None:
    world.plug(FieldUnit().record(40))
    plain, body = await listed(world, layer)
    coded, packed = await listed(world, layer, accept_encoding="gzip, br")
    assert plain["status"] == coded["status"] == "200"
    assert "content-encoding" not in plain
    assert coded["content-encoding"] == "gzip"
    assert coded["content-length"] == str(len(packed))
    assert len(packed) < len(body) / 4
    events = orjson.loads(gzip.decompress(packed))
    assert events["events"] == orjson.loads(body)["events"]
    assert events["count"] == len(events["events"]) >= 40
    assert plain["vary"] == coded["vary"] == "accept, accept-encoding"


@BOTH_WAYS
@in_virtual_time
async def test_two_codings_have_two_strong_tags(world: World, layer: bool) -> None:
    world.plug(FieldUnit().record(40))
    plain, _ = await listed(world, layer)
    coded, _ = await listed(world, layer, accept_encoding="gzip")
    assert coded["etag"] == plain["etag"][:-1] + '.gzip"'
    same, body = await listed(world, layer, accept_encoding="gzip", if_none_match=coded["etag"])
    assert (same["status"], body) == ("304", b"")
    assert same["etag"] == coded["etag"]
    assert not {"content-encoding", "content-type", "content-length"} & set(same)
    assert "server-timing" not in same
    # The tag of the plain body names other bytes than those that would be sent.
    other, _ = await listed(world, layer, accept_encoding="gzip", if_none_match=plain["etag"])
    assert other["status"] == "200"


@in_virtual_time
async def test_a_list_is_compressed_once_for_all_its_readers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.plug(FieldUnit().record(40))
    packed = 0
    of = OpenGzip.of

    def counted(beginning: bytes) -> OpenGzip:
        nonlocal packed
        packed += 1
        return of(beginning)

    monkeypatch.setattr(OpenGzip, "of", counted)
    # The answer to who had the unit read is encoded before the list is cached.
    await listed(world, True, accept_encoding="gzip")
    packed, used = 0, world.cache.totals()["memo_bytes"]
    first, _ = await listed(world, True, accept_encoding="gzip")
    second, _ = await listed(world, True, accept_encoding="gzip")
    assert packed == 1
    assert first["etag"] == second["etag"]
    assert world.cache.totals()["memo_bytes"] > used


@in_virtual_time
async def test_what_is_small_is_sent_as_it_is(world: World) -> None:
    world.plug(FieldUnit())
    response = await get(world, "/device/monitor/status", headers=GZIP)
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "accept, accept-encoding"
