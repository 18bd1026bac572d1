from __future__ import annotations

import socket
from pathlib import Path

from kit.ports import PORTS_PER_WORKER, ports_of, reserve_port


def test_no_port_is_given_twice() -> None:
    given = [reserve_port() for _ in range(20)]
    assert len(set(given)) == len(given)


def test_processes_of_one_run_have_different_ports() -> None:
    given = [port for worker in ("", "gw1", "gw2") for port in ports_of(worker)]
    assert len(set(given)) == 3 * PORTS_PER_WORKER


def test_no_socket_that_is_bound_to_port_0_meets_a_reserved_port() -> None:
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(limits.read_text().split()[0]) if limits.exists() else 32_768
    assert max(ports_of("gw20")) < first


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        before = reserve_port()
        taken.bind(("127.0.0.1", before + 1))
        taken.listen()
        assert reserve_port() != before + 1
