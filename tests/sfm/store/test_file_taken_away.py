"""The database file taken away under a running relay, as its readers and commanders see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.wire import commands
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import ProtocolState
from sfm.api.app import build_app
from sfm.settings import Settings
from sfm.store import Store


def settings_of(path: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{path}", units={}, keep_open_s=0.0, validated_s=0.0, insecure=False
    )


def removed(path: Path) -> None:
    path.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    """By another sound archive, as a restore by hand does it."""
    other = path.with_name("other.sqlite")
    Store.open(f"sqlite:///{other}").close()
    other.replace(path)


def emptied(path: Path) -> None:
    path.unlink()
    path.touch()


@pytest.mark.parametrize("take_away", [removed, renamed, replaced, emptied])
async def test_nothing_is_called_stored_or_erased_after_the_file_was_taken_away(
    tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    path = tmp_path / "relay.sqlite"
    unit = SimulatedUnit("BE11529")
    unit.record_event(seed=1)
    async with serve_tcp(unit) as server:
        where: dict[str, Any] = {"host": "127.0.0.1", "tcp_port": server.port}
        application = build_app(settings_of(path))
        transport = httpx.ASGITransport(application, client=("127.0.0.1", 1))
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8200") as client,
        ):

            async def get(what: str, **more: Any) -> Any:
                answer = await client.get(f"/device/{what}", params=where | more, timeout=30)
                assert answer.status_code == 200, answer.text
                return answer.json()

            assert (await get("events"))["provenance"]["stored"] is True
            assert (await get("event/0/waveform"))["provenance"]["stored"] is True
            assert (await client.get("/health")).json()["status"] == "ok"
            take_away(path)

            health = (await client.get("/health")).json()
            assert health["status"] == "degraded"
            assert health["store"]["problem"] == "replaced"
            assert str(path) in health["store"]["detail"]
            unit.record_event(seed=2)
            reported = await get("events", force="true")
            assert reported["provenance"]["stored"] is False
            assert reported["provenance"]["store_problem"] == "replaced"
            assert (await get("event/1/waveform"))["provenance"]["stored"] is False
            refused = await client.post(
                "/device/events/erase",
                params=where,
                json={"serial": "BE11529", "count": 2},
                timeout=30,
            )
            assert refused.status_code >= 400
            assert len(unit.events) == 2
            answer = await client.get("/archive/events")
            assert answer.status_code == 503
            assert answer.json()["type"].endswith(":store-replaced")
            token = await client.post("/tokens", json={"name": "a", "role": "viewer"})
            assert token.status_code == 503


class TakingAway(SimulatedUnit):
    """Whose relay loses its database file once the unit has heard a request of a kind."""

    path: Path
    at_request: int | None = None

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        if request.sub == self.at_request:
            self.path.unlink(missing_ok=True)
        return super().answer(protocol, request)


@pytest.mark.parametrize(
    ("route", "body", "at_request"),
    [
        (
            "events/erase",
            {"serial": "BE11529", "count": 2, "discard_unarchived": True},
            commands.WAVEFORM_RECORD.sub,
        ),
        ("events/erase", {"serial": "BE11529", "count": 2}, commands.WAVEFORM_RECORD.sub),
        ("rescue", {"serial": "BE11529", "erase": True}, commands.CALL_HOME.sub),
    ],
)
async def test_no_erase_goes_out_when_the_file_was_taken_away_since_the_command_began(
    tmp_path: Path, route: str, body: dict[str, Any], at_request: int
) -> None:
    path = tmp_path / "relay.sqlite"
    unit = TakingAway("BE11529")
    unit.path = path
    for seed in (1, 2):
        unit.record_event(seed=seed)
    async with serve_tcp(unit) as server:
        where: dict[str, Any] = {"host": "127.0.0.1", "tcp_port": server.port}
        application = build_app(settings_of(path))
        transport = httpx.ASGITransport(application, client=("127.0.0.1", 1))
        async with (
            application.router.lifespan_context(application),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8200") as client,
        ):
            for what in ("events", "event/0/waveform", "event/1/waveform"):
                answer = await client.get(f"/device/{what}", params=where, timeout=30)
                assert answer.json()["provenance"]["stored"] is True
            unit.at_request = at_request
            answer = await client.post(f"/device/{route}", params=where, json=body, timeout=30)
            assert not path.exists()
            assert len(unit.events) == 2, "erased, and what was archived is gone"
            assert answer.status_code in (409, 503), answer.text
