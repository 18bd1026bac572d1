"""
Single bytes of the database file flipped at random, and every route asked.

Nothing served may be wrong: an answer is the true one, or an error that says what is damaged, or
names its damaged part; and ``db check`` reports what is not harmless. ``SFM_TEST_FLIPS=1000`` makes
the long run; it prints how each flip ended.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from minimateplus.simulator import SimulatedUnit, serve_tcp
from sfm.server import build_app
from sfm.settings import Settings
from sfm.store import Store, StoreError
from sfm.store.upkeep import check

FLIPS = int(os.environ.get("SFM_TEST_FLIPS", "20"))
SEED = int(os.environ.get("SFM_TEST_FLIPS_SEED", "13"))
SERIAL = "BE11529"
REVIEW = {"reviewer": "A. Noether", "false_trigger": True, "note": "a lorry"}


class Asked:
    """A relay on one database file, and what it answers."""

    def __init__(self, path: Path, port: int) -> None:
        self.where: dict[str, Any] = {"host": "127.0.0.1", "tcp_port": port}
        self.app = build_app(Settings(database_url=f"sqlite:///{path}", keep_open_s=5.0))
        self.answers: dict[str, httpx.Response] = {}

    async def everything(self, ids: list[str], *, before: Any = None) -> None:
        transport = httpx.ASGITransport(
            self.app, raise_app_exceptions=False, client=("127.0.0.1", 1)
        )
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8200") as client,
        ):
            if before is not None:
                await before(client)
            for path in ("/health", "/archive/devices", "/archive/events", "/tokens", "/audit"):
                self.answers[path] = await client.get(path)
            for name in ids:
                for tail in ("", "/waveform", "/image", "/review"):
                    path = f"/archive/recordings/{name}{tail}"
                    self.answers[path] = await client.get(path)
            for what in ("info", "events", "event/0/waveform", "event/1/waveform"):
                self.answers[f"/device/{what}"] = await client.get(
                    f"/device/{what}", params=self.where, timeout=60
                )
            self.answers["/archive/findings"] = await client.get("/archive/findings")


async def fill(path: Path, port: int) -> list[str]:
    """Make a database with everything in it; return the ids of its recordings."""
    asked = Asked(path, port)

    async def before(client: httpx.AsyncClient) -> None:
        for what in ("info", "events", "event/0/waveform", "event/1/waveform"):
            answer = await client.get(f"/device/{what}", params=asked.where, timeout=60)
            assert answer.json()["provenance"]["stored"] is True
        page = (await client.get("/archive/events")).json()["events"]
        for row in page:
            put = await client.put(f"/archive/recordings/{row['id']}/review", json=REVIEW)
            assert put.status_code == 200
        for name in ("office", "truck"):
            made = await client.post("/tokens", json={"name": name, "role": "viewer", "units": []})
            assert made.status_code == 201, made.text
        ids.extend(row["id"] for row in page)

    ids: list[str] = []
    await asked.everything([], before=before)
    with Store.open(f"sqlite:///{path}") as store:
        store.note_damage(ids[0], "said for the test")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ids


def rows_of(path: str, answer: httpx.Response) -> list[Any]:
    """The parts of an answer that are each true or not, without what ages."""
    body: Any = answer.json() if path[-5:] != "image" else answer.content.hex()
    if path.startswith("/device/"):
        body.pop("provenance")
        return [body]
    for name in ("devices", "events", "tokens", "entries", "findings", "history"):
        if isinstance(body, dict) and name in body:
            return list(body[name])
    return [body]


def cleared(path: Path) -> None:
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def is_marked(row: Any) -> bool:
    """Whether a part says of itself that it is damaged."""
    return "damaged" in str(row)


def judged(
    truth: dict[str, httpx.Response], now: dict[str, httpx.Response], faults: list[str]
) -> str:
    """Return how a flip ended; fails where something wrong was served or nothing reported."""
    differs = False
    for path, answer in now.items():
        assert answer.status_code != 500, f"{path}: {answer.text}"
        if path == "/health":
            continue
        if answer.status_code != 200:
            assert answer.status_code in (404, 503), f"{path}: {answer.text}"
            assert not path.startswith("/device/"), f"{path}: {answer.text}"
            differs = True
            continue
        true_rows, rows = rows_of(path, truth[path]), rows_of(path, answer)
        for row in rows:
            is_new = path == "/archive/findings" and row["kind"] in ("mirror_dropped", "mended")
            is_fewer = path == "/archive/devices" and any(
                row["serial"] == t["serial"] and row["recordings"] <= t["recordings"]
                for t in true_rows
            )
            is_named = path == "/archive/events" and any(
                row["id"][:12] in sentence
                and row | {"waveforms": 1, "contents": t["contents"]} == t
                for sentence in answer.json()["damaged"]
                for t in true_rows
            )
            # A review that an index hides is not there; the check of the file says so.
            is_unreviewed = path == "/archive/events" and any(
                {**t, "review": None} == row for t in true_rows
            )
            if row not in true_rows:
                ok = (
                    is_marked(row) or is_new or is_named or ((is_fewer or is_unreviewed) and faults)
                )
                assert ok, f"{path}: {row}"
                differs = True
        if len(rows) < len(true_rows):
            assert faults or is_marked(answer.text), f"{path}: short, and nothing says so"
            differs = True
    kinds = (
        [row["kind"] for row in rows_of("/archive/findings", now["/archive/findings"])]
        if (now["/archive/findings"].status_code == 200)
        else []
    )
    if "mirror_dropped" in kinds:
        return "dropped and read again"
    if faults:
        return "found and reported"
    assert not differs
    return "harmless"


def test_no_flipped_byte_makes_a_wrong_answer_or_an_internal_error(tmp_path: Path) -> None:
    async def main() -> collections.Counter[str]:
        unit = SimulatedUnit(SERIAL)
        for seed in (1, 2):
            unit.record_event(seed=seed, at_unit=datetime(2026, 3, seed, 10, 0, 0))
        chance = random.Random(SEED)
        ended: collections.Counter[str] = collections.Counter()
        async with serve_tcp(unit) as server:
            whole = tmp_path / "whole.sqlite"
            ids = await fill(whole, server.port)
            data = whole.read_bytes()
            asked = Asked(whole, server.port)
            await asked.everything(ids)
            truth = asked.answers
            assert {answer.status_code for answer in truth.values()} == {200}
            for number in range(FLIPS):
                at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
                path = tmp_path / f"flipped-{number}.sqlite"
                path.write_bytes(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
                try:
                    faults = check(f"sqlite:///{path}").faults
                except StoreError as error:
                    faults = [str(error)]
                asked = Asked(path, server.port)
                try:
                    await asked.everything(ids)
                except StoreError:  # the relay does not start, and says why
                    ended["start refused with its reason"] += 1
                    continue
                finally:
                    cleared(path)
                try:
                    ended[judged(truth, asked.answers, faults)] += 1
                except AssertionError as error:
                    raise AssertionError(f"byte {at} of {len(data)}, bit {bit}: {error}") from error
        return ended

    ended = asyncio.run(main())
    sys.stdout.write(f"\n{FLIPS} flips, seed {SEED}, {datetime.now(UTC):%H:%M}: {dict(ended)}\n")
    assert sum(ended.values()) == FLIPS
