"""The client against a hostile unit of every kind, in virtual time: every limit holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from kit import virtual_time
from kit.end_to_end import build_unit

from minimateplus.client import reads
from minimateplus.client.reads import MAX_IMAGE_BYTES, MiniMate
from minimateplus.client.session import MAX_LEFTOVER_FRAMES, MAX_RUBBISH_BYTES
from minimateplus.errors import DeadlineError, MiniMateError, RemoteProtocolError
from minimateplus.link import Deadlines
from minimateplus.simulator import connect_memory, serve_tcp
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.simulator.hostile import BEHAVIOURS, PIECE_BYTES, hostile_link
from minimateplus.wire.framing import MAX_WIRE_BYTES, RUBBISH_KEPT_BYTES

MAX_KEYS = 40
"""In place of the client's own bound, which takes a hostile unit some seconds to reach."""
REPLY_S = 10.0
OPERATION_S = 900.0

VERBS: dict[str, Callable[[MiniMate], Awaitable[Any]]] = {
    "info": MiniMate.read_info,
    "probe": MiniMate.read_probe,
    "events": MiniMate.read_events,
    "log": MiniMate.read_monitor_log,
    "waveform": lambda unit: unit.read_waveform(0),
    "status": MiniMate.read_monitor_status,
    "start": MiniMate.start_monitoring,
}
READS = [verb for verb in VERBS if verb != "start"]
WALKS = ["events", "log"]


def all_end(name: str) -> dict[str, str]:
    """Of a unit that does not even wake up."""
    return dict.fromkeys(VERBS, name)


def all_end_once_awake(name: str) -> dict[str, str]:
    """A command whose answer is wrong may have been followed."""
    return dict.fromkeys(READS, name) | {"start": "OutcomeUnknownError"}


ENDS: dict[str, dict[str, str]] = {
    "endless-frames": all_end_once_awake("DuplicateReplyError"),
    "repeated-replies": all_end_once_awake("DuplicateReplyError"),
    "late-repeats": dict.fromkeys(READS, "DuplicateReplyError"),
    "stale-chunks": {"waveform": "DuplicateReplyError"},
    "stray-replies": all_end_once_awake("LineSharedError"),
    "strays-first": all_end_once_awake("LineSharedError"),
    "other-commands": all_end("RemoteProtocolError"),
    "endless-bytes": all_end("RemoteProtocolError"),
    "endless-frame": all_end("RemoteProtocolError"),
    "endless-starts": all_end("RemoteProtocolError"),
    "endless-wrong-sums": all_end("RemoteProtocolError"),
    "terabyte": {"waveform": "RemoteProtocolError"},
    "silent": all_end("ReplyTimeoutError"),
    "silent-once-awake": all_end_once_awake("ReplyTimeoutError"),
    "byte-a-minute": all_end("ReplyTimeoutError"),
    "just-in-time": {},
    "hangs-up": all_end("LinkClosedError"),
    "hangs-up-once-awake": all_end_once_awake("LinkClosedError"),
    "wrong-sum": all_end("RemoteProtocolError"),
    "short": dict.fromkeys(READS, "RemoteProtocolError"),
    "long": all_end_once_awake("RemoteProtocolError"),
    "other-key": dict.fromkeys([*WALKS, "probe", "waveform"], "LineSharedError"),
    "huge-count": {},
    "restless": {},
    "last-key-nowhere": {"probe": "KeyChainError"},
    "chain-loops": dict.fromkeys(WALKS, "KeyChainError"),
    "chain-endless": dict.fromkeys(WALKS, "KeyChainError"),
    "header-length": dict.fromkeys([*WALKS, "probe", "waveform"], "KeyChainError"),
    "huge-event": {"waveform": "RemoteProtocolError"},
    "long-event": {},
    "huge-samples": {},
    "not-numbers": {},
    "control-characters": {},
    "path-serial": dict.fromkeys(["info", "probe"], "RemoteProtocolError"),
    "control-serial": dict.fromkeys(["info", "probe"], "RemoteProtocolError"),
    "many-serials": {},
}
"""The error that each verb ends in; a verb that is not named is answered."""


class PulledLink(FaultyLink):
    """The host's end; counts what the host took."""

    pulled_bytes = 0

    async def receive(self) -> bytes:
        data = await super().receive()
        self.pulled_bytes += len(data)
        return data


@dataclass
class Met:
    """What came of one verb at a hostile unit, and what it cost."""

    name: str
    answer: Any = None
    error: MiniMateError | None = None
    took_s: float = 0.0
    pulled_bytes: int = 0
    kept_bytes: int = 0

    @property
    def ended(self) -> str | None:
        return None if self.error is None else type(self.error).__name__


async def _meet(kind: str, verb: str, deadlines: Deadlines) -> Met:
    async with connect_memory(build_unit(), wrap_link=hostile_link(kind)) as ours:
        link = PulledLink(ours)
        met = Met(link.name)
        started_s = virtual_time.now_s()
        host = MiniMate(link, deadlines)
        try:
            await host.wake()
            met.answer = await VERBS[verb](host)
        except MiniMateError as error:
            met.error = error
        finally:
            await host.close()
        met.took_s = virtual_time.now_s() - started_s
        met.pulled_bytes = link.pulled_bytes
        met.kept_bytes = len(host._reader.pending) + len(host._reader.rubbish)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return met


def meet(kind: str, verb: str, *, operation_s: float = OPERATION_S) -> Met:
    """Run one verb at a hostile unit."""
    deadlines = Deadlines(reply_s=REPLY_S, operation_s=operation_s)
    return virtual_time.run(_meet(kind, verb, deadlines))


def test_every_kind_has_its_row() -> None:
    assert set(ENDS) == set(BEHAVIOURS)
    assert all(kind.description.endswith(".") for kind in BEHAVIOURS.values())


@pytest.mark.parametrize("kind", BEHAVIOURS)
def test_every_limit_holds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MAX_KEYS", MAX_KEYS)
    for verb in VERBS:
        met = meet(kind, verb)
        assert met.ended == ENDS[kind].get(verb), verb
        assert met.kept_bytes <= MAX_WIRE_BYTES + RUBBISH_KEPT_BYTES
        if met.error is None:
            assert met.took_s <= OPERATION_S
            assert met.pulled_bytes <= 2 * MAX_IMAGE_BYTES
        else:
            # Nobody waits beyond two POLLs that go unanswered.
            assert met.took_s <= 2 * REPLY_S + 1
            most = MAX_RUBBISH_BYTES + MAX_WIRE_BYTES + 2 * PIECE_BYTES
            assert met.pulled_bytes <= most
            message = str(met.error)
            assert message.startswith(f"{met.name}: ")
            assert message.isprintable()
            assert len(message) <= 300


def test_a_unit_that_is_always_just_in_time_is_read_on_while_records_come() -> None:
    met = meet("just-in-time", "events", operation_s=55.0)
    assert [event.key for event in met.answer] == [e.key for e in build_unit().events]
    assert met.took_s > 3 * 55.0


def test_a_unit_that_is_always_just_in_time_is_given_up_where_no_record_comes() -> None:
    met = meet("just-in-time", "events", operation_s=50.0)
    assert isinstance(met.error, DeadlineError)
    assert "made no progress for 50 s" in str(met.error)
    # Awake after 2 exchanges, the first record's header after 4; to the next one they are 6.
    assert met.took_s == pytest.approx((2 + 4) * 9.0 + 50.0, abs=0.1)


def test_frames_of_other_commands_are_borne_up_to_their_bound() -> None:
    met = meet("other-commands", "info")
    assert f"by {MAX_LEFTOVER_FRAMES + 1} frames of other commands" in str(met.error)


def test_an_endless_chain_is_left_at_the_bound_of_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MAX_KEYS", MAX_KEYS)
    assert f"is longer than {MAX_KEYS}" in str(meet("chain-endless", "log").error)


def test_a_chain_that_loops_is_left_where_it_closes() -> None:
    assert str(meet("chain-loops", "log").error).endswith("the chain of keys returns to 01110000")


def test_more_samples_than_there_are_cost_nothing_and_are_not_valid() -> None:
    truth = build_unit().counts_of(0)
    waveform = meet("huge-samples", "waveform").answer
    assert np.array_equal(waveform.counts, truth)
    assert max(waveform.valid_samples) == truth.shape[1]


def test_an_event_as_long_as_the_whole_memory_is_read_and_no_further() -> None:
    met = meet("long-event", "waveform")
    assert len(met.answer.image) == MAX_IMAGE_BYTES
    assert np.array_equal(met.answer.counts, build_unit().counts_of(0))


def test_what_is_no_number_and_no_date_is_unknown() -> None:
    for event in meet("not-numbers", "events").answer:
        assert event.device_time is None
        peaks = event.peaks
        assert (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s, peaks.mic_psi) == (None,) * 4


def test_texts_are_whole_and_what_cannot_be_shown_is_marked() -> None:
    setup = meet("control-characters", "info").answer.setup
    assert setup.project == "Sim\ufffd[2J\ufffd\ufffdé\ufffd%srry, north face"
    assert setup.client.startswith("Nob\ufffd[2J")
    for event in meet("control-characters", "events").answer:
        assert event.project.startswith("Bla\ufffd[2J")


def test_a_count_of_four_thousand_million_makes_no_longer_walk() -> None:
    assert meet("huge-count", "probe").answer.lifetime_count == 0xFFFFFFFF
    assert len(meet("huge-count", "events").answer) == 2


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no hostile behaviour is named 'x'; there are endless"):
        hostile_link("x")


@pytest.mark.parametrize("kind", ["endless-bytes", "endless-frames", "hangs-up"])
async def test_a_hostile_unit_on_a_real_socket_ends_when_its_host_leaves(kind: str) -> None:
    async with serve_tcp(build_unit(), wrap_link=hostile_link(kind)) as served:
        for _ in range(2):
            with pytest.raises(MiniMateError):
                async with MiniMate.connect(served.url) as host:
                    await host.read_info()
        assert served.callers == 2


def test_an_error_of_the_layouts_names_the_unit_and_not_twice() -> None:
    met = meet("path-serial", "info")
    assert isinstance(met.error, RemoteProtocolError)
    assert str(met.error).count(met.name) == 1
