"""``BlockingMiniMate`` against a served unit, and a waveform's physical values."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from kit.unit_thread import UnitThread

from minimateplus import BlockingMiniMate, MiniMate
from minimateplus.errors import ConnectError, ReplyTimeoutError
from minimateplus.link import Deadlines
from minimateplus.model import Event
from minimateplus.simulator import SimulatedUnit

FOR_A_RELAY = {
    "erase_proven",
    "erase_without_walk",
    "stop_monitoring_without_reply",
    "wake",
    "close",
}
"""What a program has no use for: an erase is proven by ``erase_all`` itself, ``connect`` wakes."""


@pytest.fixture
def served() -> Iterator[UnitThread]:
    unit = SimulatedUnit("SIM0042", seed=3)
    for seed in range(12):
        unit.record_event(seed=seed)
    thread = UnitThread(unit)
    yield thread
    thread.close()


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let SIGINT raise, also where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_program_without_asyncio_reads_what_an_asynchronous_one_does(served: UnitThread) -> None:
    seen: list[Event] = []
    with BlockingMiniMate.connect(served.url) as unit:
        assert unit.read_info().serial == "SIM0042"
        assert unit.name == served.url
        events = unit.read_events(on_event=seen.append)
        waveform = unit.read_waveform(events[4])
        assert unit.read_lifetime_count() == 12
    assert (len(events), seen) == (12, events)
    assert np.array_equal(waveform.counts, served.do(lambda: served.unit.counts_of(4)))
    assert "minimateplus" not in names_of_threads()
    assert served.callers() == 1


async def test_it_works_where_an_event_loop_is_running_already(served: UnitThread) -> None:
    with BlockingMiniMate.connect(served.url) as unit:
        assert unit.count_events() == 12


def test_it_has_every_operation_of_the_asynchronous_client() -> None:
    operations = {
        name
        for name, _ in inspect.getmembers(MiniMate, inspect.iscoroutinefunction)
        if not name.startswith("_") and name != "open"
    }
    own = {name for name in vars(BlockingMiniMate) if not name.startswith("_")}
    assert own - {"connect", "name"} == operations - FOR_A_RELAY
    for name in operations - FOR_A_RELAY:
        assert getattr(BlockingMiniMate, name).__doc__ == getattr(MiniMate, name).__doc__


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_the_read_and_hangs_up(served: UnitThread) -> None:
    read: list[Event] = []

    def interrupt(event: Event) -> None:
        read.append(event)
        if len(read) == 2:
            press_ctrl_c()

    def read_all() -> None:
        with BlockingMiniMate.connect(served.url) as unit:
            while True:  # an interrupt that comes late meets the next read
                unit.read_events(on_event=interrupt)

    with pytest.raises(KeyboardInterrupt):
        read_all()
    assert "minimateplus" not in names_of_threads()
    with BlockingMiniMate.connect(served.url) as unit:
        assert unit.count_events() == 12


class SilentLink:
    """Interrupts the program once something was sent, and never answers."""

    name = "silent"
    closed = False

    async def send(self, data: bytes) -> None:
        press_ctrl_c()

    async def receive(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_before_the_first_answer_hangs_up_too() -> None:
    link = SilentLink()
    with pytest.raises(KeyboardInterrupt), BlockingMiniMate.connect(link):
        pass
    assert link.closed
    assert "minimateplus" not in names_of_threads()


def test_its_errors_are_those_of_the_asynchronous_client(served: UnitThread) -> None:
    port = served.port
    served.unplug()
    with pytest.raises(ConnectError), BlockingMiniMate.connect(f"tcp://127.0.0.1:{port}"):
        pass
    assert "minimateplus" not in names_of_threads()
    served.plug_in()
    served.do(lambda: setattr(served.unit, "answer", lambda protocol, request: b""))
    quick = Deadlines(reply_s=0.05)
    with (
        pytest.raises(ReplyTimeoutError),
        BlockingMiniMate.connect(served.url, deadlines=quick) as unit,
    ):
        unit.read_info()
    assert "minimateplus" not in names_of_threads()


def test_physical_values_have_units_of_measure_and_no_measurement_is_nan(
    served: UnitThread,
) -> None:
    with BlockingMiniMate.connect(served.url) as unit:
        setup = unit.read_info().setup
        [event, *_] = unit.read_events()
        waveform = unit.read_waveform(event)
    samples = waveform.counts.shape[1]
    velocities = waveform.velocities_in_s(setup.geo_range_in_s)
    assert velocities.shape == (3, samples)
    # 0.005 in/s a count at the range of 10 in/s: the grid of the instrument's own export.
    assert np.array_equal(velocities, waveform.counts[:3] * 0.005)
    assert np.nanmax(np.abs(velocities[0])) == pytest.approx(event.peaks.tran_in_s)
    assert np.max(np.abs(waveform.pressures_psi())) == pytest.approx(event.peaks.mic_psi, rel=2e-3)
    times = waveform.times_s(setup.sample_rate_hz)
    assert times[waveform.pretrigger_samples] == 0.0
    assert times[1] - times[0] == pytest.approx(1 / 1024)
    short = replace(waveform, valid_samples=(samples, 100, samples, 7))
    assert np.isnan(short.velocities_in_s(10.0)).sum(axis=1).tolist() == [0, samples - 100, 0]
    assert np.isnan(short.pressures_psi()).sum() == samples - 7
    assert not np.isnan(waveform.velocities_in_s(10.0)).any()


def test_a_scale_that_the_event_does_not_show_is_asked_for(served: UnitThread) -> None:
    with BlockingMiniMate.connect(served.url) as unit:
        waveform = unit.read_waveform(unit.read_events()[0])
    unknown = replace(waveform, sample_rate_hz=None, geo_range_in_s=None)
    with pytest.raises(ValueError, match="give sample_rate_hz"):
        unknown.times_s()
    with pytest.raises(ValueError, match="give geo_range_in_s"):
        unknown.velocities_in_s()
    with pytest.raises(ValueError, match=r"range 5\.0 in/s"):
        unknown.velocities_in_s(5.0)
    # What the event shows counts, whatever is given.
    known = replace(waveform, sample_rate_hz=1024, geo_range_in_s=10.0)
    assert np.array_equal(known.times_s(4096), known.times_s())
    assert np.array_equal(known.velocities_in_s(1.25), known.velocities_in_s())
