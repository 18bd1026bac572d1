from __future__ import annotations

import socket

import pytest

from kit import ports
from kit.ports import BLOCK, FIRST_PORT, LAST_PORT, Ports, reserve_port


def test_no_port_is_given_out_twice_in_one_process_or_two() -> None:
    mine, another = Ports(), Ports()
    given = [one.reserve() for one in (mine, another) for _ in range(BLOCK + 5)]
    assert len(set(given)) == len(given)
    assert all(FIRST_PORT < port <= LAST_PORT for port in given)
    mine.close()
    another.close()


def test_a_port_on_which_somebody_listens_is_passed_over() -> None:
    mine = Ports()
    with socket.create_server(("127.0.0.1", mine.reserve() + 1)) as busy:
        assert mine.reserve() == busy.getsockname()[1] + 1
    mine.close()


def test_ports_that_are_all_claimed_end_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST_PORT", FIRST_PORT)
    with pytest.raises(RuntimeError, match="claimed by test runs"):
        Ports().reserve()


def test_a_reserved_port_lies_below_those_that_the_system_gives_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        assert reserve_port() <= LAST_PORT < given.getsockname()[1]
