"""A start through a relay, given on the command line, behind a proxy that does not wait for it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kit.command_line import caller
from kit.command_process import CommandProcess
from kit.cutting_proxy import CuttingProxy, cutting_proxy
from kit.relay_process import PATIENCE_S, environment, relay
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit

START = "/device/monitor/start"
ANSWER_S = 10.0
"""How long a test waits for an answer that comes at once, or not before the sensor check ends."""


class AheadClock:
    """The computer's clock, set ahead as a test says."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@contextmanager
def behind_proxy(database: Path) -> Iterator[tuple[UnitThread, AheadClock, CuttingProxy]]:
    clock = AheadClock()
    unit = UnitThread(SimulatedUnit("SIM0601", clock=clock))
    try:
        with relay(database=database) as started, cutting_proxy(started.port) as proxy:
            yield unit, clock, proxy
    finally:
        unit.close()


def starting(unit: UnitThread, proxy: CuttingProxy, *words: str) -> CommandProcess:
    command = ("start", f"127.0.0.1:{unit.port}", "--relay", proxy.base, *words)
    return CommandProcess(*command, env=environment(None), stdout=True)


def test_a_start_outlasts_a_proxy_that_loses_patience(tmp_path: Path) -> None:
    with (
        behind_proxy(tmp_path / "relay.sqlite") as (unit, clock, proxy),
        starting(unit, proxy, "--json") as running,
    ):
        proxy.wait_answered(START, ANSWER_S)
        # Once it polls, it has read the answer to its start, which comes in two parts.
        proxy.wait_answered("/operations/", ANSWER_S)
        proxy.drop(2)
        proxy.cut()
        if running.poll() is None:
            proxy.wait_dropped(2, ANSWER_S)
        unit.do(lambda: setattr(clock, "ahead_s", 41.0))
        out, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, err) == (0, "")
        body = json.loads(out)
        assert (body["command"], body["outcome"], body["monitoring"]) == (
            "monitor_start",
            "done",
            True,
        )


def test_an_interrupted_start_reports_that_it_goes_on_and_how_to_follow_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(capsys)
    with (
        behind_proxy(tmp_path / "relay.sqlite") as (unit, clock, proxy),
        starting(unit, proxy) as running,
    ):
        assert proxy.wait_answered(START, PATIENCE_S), "answered before the sensor check has ended"
        assert proxy.wait_answered("/operations/", PATIENCE_S)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, out) == (130, "")
        assert "Not stopped: the command goes on at the relay." in err
        words = err.split("seismo-relay operation ")[1].split()
        while unit.do(lambda: unit.unit._monitor_since) is None:
            pass  # the relay has not sent the start
        unit.do(lambda: setattr(clock, "ahead_s", 41.0))
        progress = f"{proxy.base}/operations/{words[0]}/progress"
        with httpx.stream("GET", progress, timeout=PATIENCE_S) as steps:
            steps.read()  # ends with the operation
        seen = ("operation", words[0], "--relay", proxy.base)
        body = json.loads(call(*seen, "--json")[1])
        assert (body["state"], body["result"]["monitoring"]) == ("done", True)
        status, out, err = call(*seen)
        assert (status, err) == (0, "")
        assert "Command monitor start of tcp:127.0.0.1:" in " ".join(out.split())
        assert "Monitoring now yes" in " ".join(out.split())


async def polled(*answers: httpx.Response | Exception) -> tuple[Any, int]:
    """What a follower returns or raises who is answered so, and how often it waited."""
    from sfm.cli.application import CommandError
    from sfm.cli.operation import finished

    left, waits = list(answers), 0

    def answer(_: httpx.Request) -> httpx.Response:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    async def sleep(_: float) -> None:
        nonlocal waits
        waits += 1

    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        try:
            return await finished(client, "/operations/abc", sleep=sleep), waits
        except CommandError as error:
            return error, waits


RUNNING = {"state": "running", "what": None, "result": None, "problem": None}
DONE = {**RUNNING, "state": "done", "result": {"outcome": "done"}}


@pytest.mark.parametrize(
    "lost",
    [
        httpx.ReadError("cut"),
        httpx.ConnectError("refused"),
        httpx.Response(504, text="<html>upstream timed out"),
        httpx.Response(503, json={"type": "about:blank", "title": "busy"}),
    ],
    ids=["cut", "refused", "timed out", "busy"],
)
async def test_a_lost_poll_never_replaces_the_result(
    lost: httpx.Response | Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    running, done = httpx.Response(200, json=RUNNING), httpx.Response(200, json=DONE)
    assert await polled(lost, running, *[lost] * 59, running, done) == ({"outcome": "done"}, 62)
    assert capsys.readouterr().err.count("has not answered for 30 s") == 1
    error, waits = await polled(running, lost)
    assert (error.status, waits) == (5, 61)
    assert "has not answered for 120 s. The outcome is unknown" in str(error)
    assert "seismo-relay operation abc" in str(error)


async def test_an_operation_that_the_relay_lost_has_an_unknown_outcome() -> None:
    error, _ = await polled(httpx.Response(200, json=RUNNING), httpx.Response(404, json={}))
    assert error.status == 5
    assert "Read the unit's status before you start it again." in str(error)


@pytest.mark.parametrize(("outcome", "status"), [("unknown", 5), ("failed", 1), (None, 1)])
async def test_an_operation_that_failed_ends_with_its_problem(
    outcome: str | None, status: int
) -> None:
    problem = {"type": "about:blank", "title": "It failed", "detail": "so", "outcome": outcome}
    failed = {**RUNNING, "state": "failed", "problem": problem}
    error, _ = await polled(httpx.Response(200, json=failed))
    assert (error.status, error.problem) == (status, problem)
