from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import sfm.worker
from sfm.exports.formats import exported_file
from sfm.exports.zip_files import add_to_zip
from sfm.records.analysed import analysis_payload, spectra_payload
from sfm.reports.typesetting import add_report, event_chart, event_report, write_reports
from sfm.worker import Worker, WorkerBusyError, WorkerError

SFM = Path(sfm.worker.__file__).parent


@asynccontextmanager
async def working(**limits: float) -> AsyncIterator[Worker]:
    worker = Worker(**limits)  # type: ignore[arg-type]
    try:
        yield worker
    finally:
        await worker.close()


async def test_a_call_is_computed_in_another_process_that_stays() -> None:
    async with working() as worker:
        assert worker.process_id is None
        first = await worker.run(os.getpid)
        assert first not in (None, os.getpid())
        assert await worker.run(os.getpid) == first == worker.process_id
    assert worker.process_id is None


async def test_ctrl_c_at_the_relays_terminal_does_not_reach_the_process() -> None:
    async with working() as worker:
        assert await worker.run(os.getpgid, 0) not in (0, os.getpgid(0))


async def test_what_a_call_raises_is_raised_here_and_the_process_goes_on() -> None:
    async with working() as worker:
        with pytest.raises(ValueError, match="invalid literal"):
            await worker.run(int, "x")
        assert await worker.run(int, "7") == 7


async def test_what_a_call_prints_is_no_reply() -> None:
    async with working() as worker:
        await worker.run(print, "a line")
        assert await worker.run(divmod, 7, 2) == (3, 1)


async def test_calls_run_one_after_another_in_their_order() -> None:
    async with working() as worker:
        found = await asyncio.gather(*(worker.run(pow, 2, n) for n in range(20)))
        assert found == [2**n for n in range(20)]


async def test_no_computation_loads_the_database_or_the_server() -> None:
    """A worker is started for the first result: it must be light, and soon there."""
    computations = (analysis_payload, spectra_payload, exported_file, add_to_zip)
    reports = (event_report, event_chart, add_report, write_reports)
    sources = "".join(path.read_text("utf-8") for path in SFM.rglob("*.py"))
    assert set(re.findall(r"worker\.run\((\w+)", sources)) == {
        one.__name__ for one in (*computations, *reports)
    }
    async with working() as worker:
        for one in (*computations, *reports):
            assert await worker.run(callable, one)
        loaded = "{name.partition('.')[0] for name in __import__('sys').modules}"
        found: set[str] = await worker.run(eval, loaded)
    assert {"sfm", "numpy"} <= found
    heavy = {"sqlalchemy", "fastapi", "pydantic", "structlog", "uvicorn", "httpx", "rich"}
    assert not found & heavy


async def test_a_process_that_ends_fails_its_call_and_the_next_has_another() -> None:
    async with working() as worker:
        before = await worker.run(os.getpid)
        with pytest.raises(WorkerError, match="ended unexpectedly"):
            await worker.run(os._exit, 3)
        assert await worker.run(os.getpid) != before


async def test_a_call_that_takes_too_long_is_given_up_with_its_process() -> None:
    async with working() as worker:
        await worker.run(os.getpid)
        patient_s, worker._max_call_s = worker._max_call_s, 0.1
        with pytest.raises(WorkerError, match=r"longer than 0\.1 s"):
            await worker.run(time.sleep, 60)
        # On a busy machine a new process may take longer than that to start.
        worker._max_call_s = patient_s
        assert await worker.run(int, "7") == 7


async def test_the_reply_of_a_cancelled_call_answers_no_other() -> None:
    async with working() as worker:
        await worker.run(os.getpid)
        call = asyncio.create_task(worker.run(sorted, list(range(300_000, 0, -1))))
        for _ in range(3):
            await asyncio.sleep(0)
        assert worker._turn.locked()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await worker.run(int, "7") == 7


async def test_too_many_waiting_calls_are_refused() -> None:
    async with working(max_waiting=2) as worker:
        calls = [asyncio.create_task(worker.run(os.getpid)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(WorkerBusyError, match="2 computations wait"):
            await worker.run(os.getpid)
        await asyncio.gather(*calls)


async def test_closing_fails_the_call_under_way() -> None:
    worker = Worker()
    await worker.run(os.getpid)
    call = asyncio.create_task(worker.run(time.sleep, 60))
    for _ in range(3):
        await asyncio.sleep(0)
    await worker.close()
    with pytest.raises(WorkerError):
        await call
    assert worker.process_id is None


async def test_a_closed_worker_starts_nothing() -> None:
    worker = Worker()
    await worker.close()
    with pytest.raises(WorkerError, match="shutting down"):
        await worker.run(os.getpid)
    assert worker.process_id is None


def test_the_process_ends_with_a_relay_that_is_killed() -> None:
    code = """
        import asyncio, os, signal
        from sfm.worker import Worker

        async def main():
            print(await Worker().run(os.getpid), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    worker_id = int(done.stdout)
    for _ in range(600):
        try:
            os.kill(worker_id, 0)
        except ProcessLookupError:
            return
        if _is_zombie(worker_id):
            return
        os.sched_yield()
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail(f"process {worker_id} is still there")


def _is_zombie(process_id: int) -> bool:
    """Whether it ended, and only its parent has not noticed."""
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
