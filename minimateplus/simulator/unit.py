"""
``SimulatedUnit``: memory, clock, battery and behaviour of a MiniMate Plus.

It answers every command of the wire table, including those that change it. Its event memory has
addresses, keys that advance with them, an erase that resets the keys but not the lifetime counter,
and a monitor-log record after each event. Its clock can be set back or never have been set, and it
checks its sensors for 40 s before it monitors. It is strict where real units are known to be: a
bulk read without arming, a frame with a wrong sum and an unknown command get no reply, and 1F
without a visited record reports the null key. Commands that change it are checked as well: an erase
is confirmed only after its first half and a read of status and storage range, and settings are
accepted only when the complete write arrives in the captured order (``settings_write``).

In histogram mode it stores bodies of the one captured format, from which no samples are read.

What it does **not** simulate: a histogram's other forms, dialling out, timers, alarms, filters and
real sensors, a full memory's behaviour, the real contents of unknown payloads
(docs/reference/wire.md lists our choices), and a real battery's life.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from minimateplus.conversions import in_s_per_count, mic_psi, peak_vector_sum_in_s
from minimateplus.model import FIRST_KEY, Event, Peaks, RecordingSetup, RecordMode
from minimateplus.simulator import payloads
from minimateplus.simulator.blast import PRETRIGGER_S, Blast, synthesise
from minimateplus.simulator.histogram import histogram_body, histogram_of
from minimateplus.simulator.memory import EventMemory, StoredEvent
from minimateplus.simulator.settings_write import SettingsWrite
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import ARM
from minimateplus.wire.framing import Frame, encode_reply, reply_sub
from minimateplus.wire.protocol_state import TOKEN_PLACE, ProtocolState
from minimateplus.wire.samples import encode_body

__all__ = [
    "BATTERY_EMPTY_V",
    "BATTERY_FULL_V",
    "DEFAULT_SETUP",
    "DRAIN_V_PER_HOUR",
    "EXTENDED_MEMORY_BYTES",
    "MEMORY_BYTES",
    "NEVER_SET_DEVICE_TIME",
    "SENSOR_CHECK_S",
    "SimulatedUnit",
    "peaks_of",
]

SENSOR_CHECK_S = 40.0
"""From start of monitoring until the status shows it. [C: about 40 s]"""
MEMORY_BYTES = 983_026
"""Event memory of the unit that was captured. [C]"""
EXTENDED_MEMORY_BYTES = 5 * MEMORY_BYTES
"""Our default, for the optional 1,500 events beside the usual 300 that are commonly quoted. [I]"""
NEVER_SET_DEVICE_TIME = datetime(1995, 1, 1, 6, 0, 0)
BATTERY_FULL_V = 6.80
BATTERY_EMPTY_V = 5.90
DRAIN_V_PER_HOUR = {False: 0.0005, True: 0.002}
"""Idle and monitoring; ours, so that the figure follows from what the unit did."""

DEFAULT_SETUP = RecordingSetup(
    mode=RecordMode.CONTINUOUS,
    sample_rate_hz=1024,
    histogram_interval_s=300,
    pretrigger_s=PRETRIGGER_S,
    record_time_s=1.0,
    geo_range_in_s=10.0,
    trigger_level_in_s=0.5,
    alarm_level_in_s=1.0,
    mic_trigger_psi=0.0029,  # 120 dB(L)
    mic_alarm_psi=0.013,  # 133 dB(L), the limit of 30 CFR 816.67 for a microphone from 2 Hz
    setup_name="Standard Recording Setup",
    project="Simulated quarry, north face",
    client="Nobody",
    operator="seismo-relay simulator",
    location="Sim 1",
    notes="Simulated data",
)


class SimulatedUnit:
    """
    One simulated MiniMate Plus. Lives as long as its caller keeps it; owns no link.

    Args:
        serial: its serial number (SUB 15), seven characters at most.
        setup: its recording setup.
        clock: monotonic seconds; the unit's own clock and its sensor check follow it.
        now_device_time: the unit's own clock at the start; the computer's local time if not given.
            ``NEVER_SET_DEVICE_TIME`` is that of a unit whose clock was never set.
        seed: of everything random in its recordings.
        memory_bytes: size of the event memory.
    """

    def __init__(
        self,
        serial: str = "SIM0001",
        *,
        setup: RecordingSetup = DEFAULT_SETUP,
        clock: Callable[[], float] = time.monotonic,
        now_device_time: datetime | None = None,
        seed: int = 0,
        memory_bytes: int = EXTENDED_MEMORY_BYTES,
        firmware: str = "S338.17",
        calibrated_on: date | None = date(2026, 2, 2),
    ) -> None:
        if not serial or len(serial) > 7:
            raise ValueError(f"a serial number has 1 to 7 characters, got {serial!r}")
        self.serial = serial
        self._setup, self._setup_block = setup, payloads.setup_block(setup)
        self.call_home_block = payloads.call_home_block()
        """The 124 bytes of 2C."""
        self.changes_taken: list[int] = []
        """SUBs of the commands that changed this unit, in order."""
        self.firmware = firmware
        self.calibrated_on = calibrated_on
        self.lifetime_count = 0
        self.exchanges = 0
        """Requests answered, over all sessions."""
        self.ignores: set[int] = set()
        """SUBs that this unit does not support and does not answer."""
        self.corrupt_next: dict[bytes, bytes] = {}
        """Keys after which the chain is damaged, and the wrong next keys (seen on BE9558)."""
        self._memory = EventMemory(memory_bytes)
        self._rng = np.random.default_rng(seed)
        self._clock = clock
        self._set_at = self._drained_at = clock()
        self._set_to = now_device_time or datetime.now().replace(microsecond=0)
        self._recording_device_times: tuple[datetime, datetime] | None = None
        """Start and end of the last recording; ``None`` once the clock was set."""
        self._erases: WeakKeyDictionary[ProtocolState, set[int]] = WeakKeyDictionary()
        """SUBs that each session fetched since it began to erase."""
        self._writes: WeakKeyDictionary[ProtocolState, SettingsWrite] = WeakKeyDictionary()
        self._cursors: WeakKeyDictionary[ProtocolState, bytes] = WeakKeyDictionary()
        """The key that each session visited last."""
        self._monitor_since: float | None = None
        self._battery_v = BATTERY_FULL_V

    # --- what a person does at the keypad -------------------------------------------------------

    @property
    def setup(self) -> RecordingSetup:
        """The setup of events recorded from now on."""
        return self._setup

    @setup.setter
    def setup(self, setup: RecordingSetup) -> None:
        self._setup, self._setup_block = setup, payloads.setup_block(setup)

    @property
    def now_device_time(self) -> datetime:
        """What the unit's own clock shows."""
        moment = self._set_to + timedelta(seconds=self._clock() - self._set_at)
        return moment.replace(microsecond=0)

    def set_clock(self, moment: datetime) -> None:
        """Set the unit's own clock, to any time, also back."""
        self._set_to, self._set_at = moment, self._clock()
        self._recording_device_times = None

    @property
    def events(self) -> list[Event]:
        """The stored events, oldest first: the truth to compare an answer with."""
        return [stored.event for stored in self._memory.stored]

    def counts_of(self, index: int) -> NDArray[np.int16]:
        """Return the true counts of a stored event, shape (4, n)."""
        from minimateplus.wire.samples import decode_body

        image = self._memory.stored[index].image
        return decode_body(image[layouts.BODY_OFFSET : -layouts.FOOTER.size])

    def read_memory(self, address: int, length: int) -> bytes:
        """Return bytes of event memory, as a bulk read would."""
        return self._memory.read(address, length)

    def record_event(
        self,
        *,
        blast: Blast | None = None,
        counts: NDArray[np.int16] | None = None,
        project: str | None = None,
        at_device_time: datetime | None = None,
        seed: int | None = None,
    ) -> Event:
        """
        Record one event, as if the ground had moved, and return it as a list would.

        Recording takes its own length: when the unit's clock would still be inside the previous
        recording, it steps on to that recording's end, so two events never share their start.

        Args:
            blast: the blast; one of random strength under the unit's setup if not given.
            counts: exact samples, shape (4, n), instead of a synthetic blast.
            project: overrides the setup's project text.
            at_device_time: the trigger time by the unit's clock; now if not given.
            seed: makes this one recording reproducible; equal seeds under one setup make equal
                samples, hence equal lengths and equal keys.

        Raises:
            MemoryError: the memory is full.
        """
        rng = self._rng if seed is None else np.random.default_rng(seed)
        setup = self.setup if project is None else replace(self.setup, project=project)
        range_in_s = setup.geo_range_in_s or 10.0
        rate = setup.sample_rate_hz or 1024
        if counts is None:
            blast = blast or Blast(
                peak_in_s=float(rng.uniform(0.5, 2.5)) * range_in_s / 10.0,
                air_psi=float(rng.uniform(0.001, 0.01)),
                distance_ft=float(rng.uniform(200.0, 700.0)),
                record_time_s=setup.record_time_s or 1.0,
                sample_rate_hz=rate,
                geo_range_in_s=range_in_s,
                pretrigger_s=_pretrigger_s(setup),
            )
            counts = synthesise(blast, rng)
        length = timedelta(seconds=max(1, round(counts.shape[1] / rate)))
        started = at_device_time or self._next_trigger_device_time()
        if setup.mode is RecordMode.HISTOGRAM:
            interval_s = setup.histogram_interval_s or 300
            counts = histogram_of(counts)
            length = timedelta(seconds=interval_s * counts.shape[1])
        image = self._image(counts, setup, started, started + length)
        event = Event(
            index=len(self._memory.stored),
            key=self._memory.next_address.to_bytes(4, "big"),
            device_time=started,
            peaks=peaks_of(counts, range_in_s),
            project=setup.project,
        )
        level = setup.trigger_level_in_s or 0.0
        self._memory.add(StoredEvent(event, started, started + length, level, image))
        self.lifetime_count += 1
        self._recording_device_times = started, started + length
        return event

    def erase(self) -> None:
        """Erase all events at the keypad: keys start again, the lifetime counter does not."""
        self._memory = EventMemory(self._memory.total_bytes)

    def start_monitoring(self) -> None:
        """Start monitoring; the status shows it after the sensor check of 40 s."""
        self._drain()
        if self._monitor_since is None:
            self._monitor_since = self._clock()

    def stop_monitoring(self) -> None:
        """Stop monitoring at once."""
        self._drain()
        self._monitor_since = None

    @property
    def is_monitoring(self) -> bool:
        """Whether the sensor check is over and the unit listens to the ground."""
        since = self._monitor_since
        return since is not None and self._clock() - since >= SENSOR_CHECK_S

    @property
    def battery_v(self) -> float:
        """The battery, full at the start and lower for every hour idle or monitoring, in V."""
        self._drain()
        return self._battery_v

    # --- replies --------------------------------------------------------------------------------

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        """Return the wire bytes of the reply to ``request``; ``None`` where a unit sends none."""
        if request.sub in self.ignores or not protocol.allows(request):
            lost = request.sub == commands.NEXT_EVENT.sub and request.sub not in self.ignores
            return self._reply(request, bytes(request.length)) if lost else None
        protocol.accept(request)
        command = commands.COMMANDS.get(request.sub)
        if command is None:
            return None
        self._note_erase(protocol, request)
        if command.changes:
            # The acknowledgement is a bare header; its length field is our choice [U].
            return self._reply(request, b"", length=0) if self._do(protocol, request) else None
        if request.sub in (commands.RECORD_HEADER.sub, commands.WAVEFORM_RECORD.sub):
            self._cursors[protocol] = request.params[4:8]
        if request.sub == commands.RECORD_HEADER.sub and request.length == 0:
            return self._header_probe(request)
        payload = self._payload(protocol, request)
        return None if payload is None else self._reply(request, payload[: request.length])

    def _reply(
        self,
        request: Frame,
        payload: bytes,
        params: bytes | None = None,
        length: int | None = None,
    ) -> bytes:
        self.exchanges += 1
        echoed = request.length if length is None else length
        return encode_reply(reply_sub(request.sub), echoed, params or request.params, payload)

    def _note_erase(self, protocol: ProtocolState, request: Frame) -> None:
        """Note what is fetched between the two halves of an erase."""
        if request.sub == commands.ERASE_BEGIN.sub:
            self._erases[protocol] = set()
        elif request.length and protocol in self._erases:
            self._erases[protocol].add(request.sub)

    def _do(self, protocol: ProtocolState, request: Frame) -> bool:
        """Execute a command that changes this unit; return whether it is acknowledged."""
        is_done = self._execute(protocol, request)
        if is_done:
            self.changes_taken.append(request.sub)
        return is_done

    def _execute(self, protocol: ProtocolState, request: Frame) -> bool:
        match request.sub:
            case commands.START_MONITORING.sub:
                self.start_monitoring()
            case commands.STOP_MONITORING.sub:
                self.stop_monitoring()
            case commands.ERASE_BEGIN.sub:
                return request.params[TOKEN_PLACE] == ARM
            case commands.ERASE_CONFIRM.sub:
                fetched = self._erases.pop(protocol, set())
                wanted = {commands.MONITOR_STATUS.sub, commands.STORAGE_RANGE.sub}
                if not wanted <= fetched or request.params[TOKEN_PLACE] != ARM:
                    return False
                self.erase()
            case _:
                write = self._writes.setdefault(protocol, SettingsWrite())
                if not write.takes(request):
                    return False
                self._take_settings(write)
        return True

    def _take_settings(self, write: SettingsWrite) -> None:
        if write.setup is not None:
            self._setup_block, write.setup = write.setup, None
            self._setup = layouts.parse_setup(self._setup_block)
        if write.call_home is not None:
            self.call_home_block, write.call_home = write.call_home, None

    def _header_probe(self, request: Frame) -> bytes:
        """The one probe that carries a length: 46, 2C, or 00 where no record is (00 is ours)."""
        found = self._memory.record_at(request.params[4:8])
        length = found[0] if found else 0
        params = bytes(3) + bytes((length,)) + request.params[4:]
        return self._reply(request, b"", params)

    def _payload(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        """Return the whole payload of a command, of which a fetch takes the first bytes."""
        match request.sub:
            case commands.POLL.sub:
                return payloads.poll_payload()
            case commands.SERIAL.sub:
                return payloads.serial_payload(self.serial, self.firmware)
            case commands.IDENTITY.sub:
                return payloads.identity_payload(
                    self.serial, self.firmware, "10.72", self.calibrated_on
                )
            case commands.STORAGE_RANGE.sub:
                return layouts.STORAGE_RANGE.build(
                    {"first_key": FIRST_KEY, "last_key": self._memory.last_key}
                )
            case commands.EVENT_COUNTER.sub:
                return layouts.EVENT_COUNTER.build({"lifetime_count": self.lifetime_count})
            case commands.RECORDING_SETUP.sub:
                address = int.from_bytes(request.params[2:4], "big")
                return self._setup_block[address:]
            case commands.CALL_HOME.sub:
                return self.call_home_block
            case commands.TRIGGER_BLOCK.sub | commands.UNKNOWN_BLOCK.sub:
                return payloads.unknown_block(request.sub)
            case commands.MONITOR_STATUS.sub:
                return self._status_payload()
            case commands.BULK_READ.sub:
                address = int.from_bytes(request.params[:4], "big")
                return self._memory.read(address, min(request.length, commands.BULK_CHUNK_BYTES))
            case _:
                return self._record_payload(protocol, request)

    def _record_payload(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        """Return the payload for the commands of the record cursor: 0A, 0C, 1E, 1F."""
        if request.sub == commands.FIRST_EVENT.sub:
            if request.params[TOKEN_PLACE] != ARM:
                return layouts.KEY.build(
                    {"key": FIRST_KEY if self._memory.stored else layouts.NULL_KEY}
                )
            return layouts.KEY.build({"key": FIRST_KEY})
        if request.sub == commands.NEXT_EVENT.sub:
            present = self._cursors.get(protocol, layouts.NULL_KEY)
            following = self.corrupt_next.get(present) or self._memory.key_after(present)
            return layouts.KEY.build({"key": following or layouts.NULL_KEY})
        found = self._memory.record_at(request.params[4:8])
        if found is None:
            return None
        length, stored = found
        if request.sub == commands.RECORD_HEADER.sub:
            return payloads.header_payload(
                length,
                self.serial,
                stored.device_time,
                stored.stop_device_time,
                stored.trigger_level_in_s,
            )
        if length != commands.EVENT_HEADER_BYTES:
            return None
        event = stored.event
        return payloads.record_payload(stored.device_time, event.peaks, event.project)

    def _status_payload(self) -> bytes:
        return layouts.MONITOR_STATUS.build(
            {
                "monitoring": 0x10 if self.is_monitoring else 0,
                "clock": self.now_device_time,
                "timer_start": datetime(1995, 1, 1, 6),
                "timer_stop": datetime(1995, 1, 1, 21),
                "battery_centivolts": round(self.battery_v * 100),
                "memory_total_bytes": self._memory.total_bytes,
                "memory_free_bytes": self._memory.free_bytes,
            }
        )

    # --- clock, battery, images -----------------------------------------------------------------

    def _next_trigger_device_time(self) -> datetime:
        now = self.now_device_time
        if self._recording_device_times is not None:
            started, stopped = self._recording_device_times
            if started <= now < stopped:
                self._set_to, self._set_at = stopped, self._clock()
                return stopped
        return now

    def _drain(self) -> None:
        now = self._clock()
        hours = (now - self._drained_at) / 3600
        drained = hours * DRAIN_V_PER_HOUR[self._monitor_since is not None]
        self._battery_v = max(BATTERY_EMPTY_V, self._battery_v - drained)
        self._drained_at = now

    def _image(
        self, counts: NDArray[np.int16], setup: RecordingSetup, started: datetime, stopped: datetime
    ) -> bytes:
        """Return an event as it is stored in memory: tag, STRT, samples, texts, footer."""
        single = setup.mode == RecordMode.SINGLE_SHOT
        if setup.mode is RecordMode.HISTOGRAM:
            body, pretrigger = histogram_body(counts), 0
        else:
            body = encode_body(counts)
            pretrigger = round(_pretrigger_s(setup) * (setup.sample_rate_hz or 1024))
        body += payloads.texts_trailer(setup)
        address = self._memory.next_address
        size = layouts.BODY_OFFSET + len(body) + layouts.FOOTER.size
        start = layouts.STRT.build(
            {
                "magic": b"STRT",
                "recording": bytes.fromhex("fffe" if single else "fffd"),
                "end_address": address + size,
                "start_address": address,
                # 16 bits: how a unit counts beyond them is unknown; ours wraps around [U].
                "samples": counts.shape[1] & 0xFFFF,
                "pretrigger_samples": min(pretrigger, counts.shape[1]) & 0xFFFF,
                "mode_byte": 0x46 if single else 0x0E,
            }
        )
        return layouts.IMAGE_TAG + start + body + payloads.footer(started, stopped)


def _pretrigger_s(setup: RecordingSetup) -> float:
    return PRETRIGGER_S if setup.pretrigger_s is None else setup.pretrigger_s


def peaks_of(counts: NDArray[np.int16], range_in_s: float) -> Peaks:
    """Return the peaks that a unit would compute of ``counts``, shape (4, n), n > 0."""
    scale = in_s_per_count(range_in_s)
    geo = counts[:3].astype(np.float64) * scale
    tran, vert, long = np.abs(geo).max(axis=1)
    return Peaks(
        tran_in_s=float(np.float32(tran)),
        vert_in_s=float(np.float32(vert)),
        long_in_s=float(np.float32(long)),
        mic_psi=float(np.float32(mic_psi(int(np.abs(counts[3].astype(np.int32)).max())))),
        vector_sum_in_s=float(np.float32(peak_vector_sum_in_s(geo))),
    )
