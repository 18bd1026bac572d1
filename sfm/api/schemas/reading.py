"""Query and answer models, for validation and OpenAPI. Units of measure end the names."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, get_type_hints

from fastapi import FastAPI
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
)

from minimateplus.link import Address
from minimateplus.model import RecordingSetup
from sfm.access.names import parse_unit
from sfm.live_cache import DEFAULT_BAUD, DEFAULT_TCP_PORT
from sfm.records.site_time import Unknown
from sfm.store import Wanted
from sfm.store.cursors import MAX_PAGE_SIZE, Cursor
from sfm.store.errors import BadCursorError

__all__ = [
    "MAX_INDEX",
    "ArchivePage",
    "ArchiveQuery",
    "ArchivedOut",
    "ArchivedUnits",
    "ArchivedWaveformOut",
    "ContentQuery",
    "DeviceQuery",
    "DeviceTime",
    "EventOut",
    "EventsOut",
    "EventsQuery",
    "FindingsOut",
    "HealthOut",
    "InfoOut",
    "LifetimeOut",
    "LimitQuery",
    "NoQuery",
    "PortsOut",
    "ProblemOut",
    "ProvenanceOut",
    "ReadQuery",
    "ReviewIn",
    "ReviewOut",
    "ReviewsOut",
    "StatsOut",
    "StatusOut",
    "StorageRangeOut",
    "VerdictOut",
    "WaveformOut",
    "describe_problems",
]

_NO_NAME = re.compile(r"[\s\x00-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_NOTE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Lines and tabs may be in a note. NUL may not: PostgreSQL stores none."""


class NoQuery(BaseModel):
    """No parameters; an unknown one is rejected, as everywhere."""

    model_config = ConfigDict(extra="forbid")


MAX_INDEX = 1_000_000


class DeviceQuery(BaseModel):
    """
    Which unit: ``unit``, or ``host`` and ``tcp_port``, or ``port`` and ``baud``.

    Others are rejected.
    """

    model_config = ConfigDict(extra="forbid")

    unit: Annotated[
        str | None,
        Field(
            max_length=300,
            description="Name of a location, serial number, or address in any spelling; the "
            "roster has its route.",
        ),
    ] = None

    port: Annotated[
        str | None,
        Field(max_length=256, description="Serial port: /dev/ttyUSB0, COM3, rfc2217://HOST:PORT."),
    ] = None
    baud: Annotated[int, Field(ge=1, le=4_000_000, description="Speed of the serial port.")] = (
        DEFAULT_BAUD
    )
    host: Annotated[
        str | None,
        Field(
            max_length=253,
            validate_default=True,
            description="Host name or IP address of the modem or serial server.",
        ),
    ] = None
    tcp_port: Annotated[int, Field(ge=1, le=65535, description="TCP port of the unit.")] = (
        DEFAULT_TCP_PORT
    )

    @field_validator("port", "host")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip("[]") or _NO_NAME.search(value)):
            raise ValueError("must not be empty or contain spaces or control characters")
        return value

    @field_validator("host")
    @classmethod
    def _one_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "port" not in info.data or "unit" not in info.data:
            return value
        given = [one for one in (value, info.data["port"], info.data["unit"]) if one is not None]
        if not given:
            raise ValueError("give unit (name or serial number), host (TCP) or port (serial)")
        if len(given) > 1:
            raise ValueError(
                "give one of unit (name or serial number), host (TCP) and port (serial)"
            )
        return value

    @field_validator("unit")
    @classmethod
    def _is_a_unit(cls, value: str | None) -> str | None:
        if value is not None:
            unit = parse_unit(value)
            if isinstance(unit, Address) and unit.kind == "replay":
                raise ValueError("a capture cannot be a unit's address")
            if isinstance(unit, str) and not unit.isprintable():
                raise ValueError("must contain only printable characters")
        return value

    @property
    def which(self) -> Address | str:
        """The unit's address, or its name or serial number; the roster knows the address."""
        if self.unit is not None:
            return parse_unit(self.unit)
        if self.host is not None:
            return Address("tcp", self.host.strip("[]"), self.tcp_port)
        assert self.port is not None
        return Address("serial", self.port, self.baud)


class ReadQuery(DeviceQuery):
    """Which unit, and how fresh."""

    force: Annotated[bool, Field(description="Read the unit, whatever the cache contains.")] = False
    max_age: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Accept an answer that the unit confirmed at most this many seconds ago.",
        ),
    ] = None
    only_if_cached: Annotated[
        bool, Field(description="Do not read the unit; 504 when nothing suitable is cached.")
    ] = False
    stale_if_error: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="If the unit cannot be read, accept an answer up to this many seconds old.",
        ),
    ] = None

    @field_validator("only_if_cached")
    @classmethod
    def _one_wish(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("force"):
            raise ValueError("force reads the unit, only_if_cached does not: give one of them")
        return value


class EventsQuery(ReadQuery):
    """Which unit, how fresh, and whether an incomplete list is acceptable."""

    partial: Annotated[
        bool,
        Field(description="While the list is not complete, return the events read so far."),
    ] = False


PAGE_LIMIT = 100

Limit = Annotated[
    int, Field(ge=1, le=MAX_PAGE_SIZE, description="Maximum number, the newest first.")
]


class LimitQuery(BaseModel):
    """Maximum number of entries."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = PAGE_LIMIT


def _device_time(value: str) -> str:
    """Return a time as it stands in the archive, so that the two compare as texts."""
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            "give unit time, ISO 8601 without zone, as 2026-04-01T00:28:12 or 2026-04-01"
        ) from None
    if time.tzinfo is not None:
        raise ValueError(
            "give it without zone: it is the unit's own clock, whose zone the unit does not "
            "know; utc of a recording is there where the roster has a zone for it"
        )
    return time.isoformat()


DeviceTime = Annotated[str, Field(max_length=40), AfterValidator(_device_time)]
"""Unit time as every ``since`` and ``until`` takes it."""


class ArchiveQuery(LimitQuery):
    """Which recordings (every given condition must match), and which page of them."""

    serial: Annotated[
        str | None, Field(min_length=1, max_length=64, description="Serial number, whole.")
    ] = None
    since: Annotated[
        DeviceTime | None,
        Field(
            description="Unit time, at or after: the unit's own clock, ISO 8601 without zone; "
            "a date alone is its midnight.",
        ),
    ] = None
    until: Annotated[
        DeviceTime | None,
        Field(description="Unit time, before; written as with since."),
    ] = None
    min_pvs: Annotated[
        float | None,
        Field(ge=0, allow_inf_nan=False, description="Peak vector sum, at least, in/s."),
    ] = None
    project: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=100,
            description="Text that the project contains, in any case.",
        ),
    ] = None
    cursor: Annotated[
        str | None,
        Field(max_length=100, description="next_cursor of the page before; same other parameters."),
    ] = None

    @field_validator("serial", "project")
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        if value is not None and _CONTROL.search(value):
            raise ValueError("must not hold control characters")
        return value

    @field_validator("cursor")
    @classmethod
    def _is_of_ours(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Cursor.read(value)
            except BadCursorError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def wanted(self) -> Wanted:
        """The same in the words of the archive."""
        return Wanted(
            serial=self.serial,
            since=self.since,
            until=self.until,
            min_pvs_in_s=self.min_pvs,
            project=self.project,
        )


class ContentQuery(BaseModel):
    """Which samples of a recording, if the unit returned several contents."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9a-fA-F]{64}$",
            description="One of the recording's contents, in hex; without it, the first read.",
        ),
    ] = None

    @property
    def content_hash(self) -> bytes | None:
        """The hash itself."""
        return None if self.content is None else bytes.fromhex(self.content)


class ReviewIn(BaseModel):
    """A person's verdict on a recording."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reviewer: Annotated[
        str, Field(min_length=1, max_length=100, description="The reviewer's name.")
    ]
    false_trigger: Annotated[
        bool | None, Field(description="Whether the event is a false trigger; null: not given.")
    ] = None
    note: Annotated[str | None, Field(max_length=4000, description="Any further remark.")] = None

    @field_validator("reviewer")
    @classmethod
    def _is_somebody(cls, value: str) -> str:
        if not value.strip() or _CONTROL.search(value):
            raise ValueError("must not be blank or hold control characters")
        return value

    @field_validator("note")
    @classmethod
    def _can_be_kept(cls, value: str | None) -> str | None:
        if value is not None and _NO_NOTE.search(value):
            raise ValueError("must not hold control characters other than line ends and tabs")
        return value


class ReasonOut(BaseModel):
    """Why samples are not all, or not certain."""

    code: str = Field(description="Stable: samples-missing, body-goes-on, peaks-differ, ...")
    detail: str = Field(description="The same in a sentence, with figures.")
    contradiction: bool = Field(
        description="True: parts of the event contradict one another; its bytes may be wrong."
    )


Bound = Literal[">"]
"""The figure lies at the end of the range: the motion was at least that."""
Flag = Literal["over_range", "scale_unconfirmed"]
"""What makes a figure less than it seems."""


class ProvenanceOut(BaseModel):
    """Where an answer comes from."""

    conn_key: str = Field(description="tcp:HOST:PORT or serial:PORT:BAUD.")
    serial: str | None
    epoch: int = Field(description="Which memory of the unit; rises with every erase noticed.")
    source: Literal["device", "cache", "disk"] = Field(
        description="disk: read before the relay's last start, or brought back from the store."
    )
    why: Literal["hit", "miss", "request", "stale", "partial"]
    quality: Literal["good", "partial", "unchecked", "last_known", "not_verified_since_restart"]
    read_at: str | None = Field(
        description="Start of the device read, UTC, by the host's clock; null: that was never set."
    )
    age_s: float | None = Field(description="null: unknown, the machine started since the read.")
    checked_age_s: float | None = Field(
        description="Seconds since the unit was last asked whether this is still so."
    )
    exchanges: int = Field(description="Requests sent to the unit for this answer.")
    took_s: float
    stored: bool = Field(description="Whether what was read is now kept.")
    store_problem: str | None = Field(
        description="What is wrong with the database now, as in /health; null: nothing."
    )
    ttl_s: float | None = Field(
        description="Seconds for which it may be served again without asking the unit."
    )
    shared: bool
    simulated: bool | None = Field(description="True: the unit is a simulation; null: not asked.")
    reasons: list[ReasonOut] = Field(
        default=[], description="Why the quality is partial; empty: nothing speaks against it."
    )


_settings: Any = {name: (hint, ...) for name, hint in get_type_hints(RecordingSetup).items()}
_settings["mode"] = (
    Literal["single_shot", "continuous", "histogram", "histogram_combo"] | None,
    ...,
)
_SettingsOut: Any = create_model("_SettingsOut", **_settings)
"""The fields of ``RecordingSetup``, which is the one table of what a setup has."""


class SetupOut(_SettingsOut):  # type: ignore[misc]  # its fields are those of RecordingSetup
    """How the unit records. ``null`` is unknown."""

    note_titles: dict[str, str] | None = Field(
        None,
        description="Titles that were edited on the unit, by the text they precede; unknown: "
        "a title whose text is not read, since the setup does not show which one it is.",
    )


class InfoOut(BaseModel):
    """Who the unit is."""

    serial: str
    firmware: str | None
    dsp_firmware: str | None
    manufacturer: str | None
    model: str | None
    calibrated_on: str | None = Field(
        description="null on a real unit: where the wire carries it is unknown."
    )
    simulated: bool
    setup: SetupOut
    provenance: ProvenanceOut


class PeaksOut(BaseModel):
    """Peaks as the unit computed them."""

    tran_in_s: float | None
    vert_in_s: float | None
    long_in_s: float | None
    mic_psi: float | None
    vector_sum_in_s: float | None
    mic_db: float | None = Field(description="dB(L), from mic_psi.")
    bound: dict[
        Literal["tran_in_s", "vert_in_s", "long_in_s", "mic_psi", "vector_sum_in_s", "mic_db"],
        Bound | None,
    ] = Field(description="'>' for each peak at the end of the range: it was at least that.")


Outcome = Literal["complies", "exceeds", "no_verdict"]
Results = Literal["vendor", "refined", "peaks"]


class EventBase(BaseModel):
    """One event: its stamp, its peaks, its project."""

    index: int
    waveform_key: str = Field(description="Eight hexadecimal digits.")
    timestamp: str | None = Field(description="The unit's own clock, no zone.")
    peaks: PeaksOut
    project: str | None


class VerdictOut(BaseModel):
    """Whether an event keeps to one limit curve, in a list."""

    curve: str
    outcome: Outcome
    results: Results
    share_percent: float | None = Field(description="Of the limit; of airblast, of its pressure.")
    bound: Bound | None = Field(description="'>': the share is at least that.")
    channel: str | None = Field(description="The axis that decides.")
    frequency_hz: float | None
    frequency_bound: Literal[">", "<"] | None
    reason: str | None = Field(description="Why there is no verdict, a stable code.")
    other_outcome: Outcome | None = Field(
        description="By the other set of figures, where that disagrees."
    )


class ListedEvent(EventBase):
    """One event of a list, with its verdicts."""

    verdicts: list[VerdictOut] | None = Field(
        description="One for each chosen curve; null: not judged yet."
    )
    no_verdict: str | None = Field(
        description="Why no curve is judged, a stable code; null: some are."
    )


class EventOut(EventBase):
    """One event with its provenance."""

    provenance: ProvenanceOut


class EventsOut(BaseModel):
    """The event list, in the order of the unit's memory."""

    complete: bool = Field(description="False: only the beginning was read; see `partial`.")
    count: int | None = Field(description="Stored events; null while the list is incomplete.")
    walked: int = Field(description="Events read so far.")
    estimate_s: float | None = Field(
        description="Estimated time to read the rest, s; null: unknown."
    )
    events: list[ListedEvent]
    provenance: ProvenanceOut
    recorded_since: int | None = Field(
        description="Events that the unit recorded since this read began; null: not known."
    )


class TimeAxis(BaseModel):
    """Sample ``i`` is at ``start + i * step``; 0 is the trigger. ``null``: the rate is unknown."""

    unit: Literal["s"]
    zero: Literal["trigger"]
    start: float | None
    step: float | None
    flags: list[Flag] = Field(description="scale_unconfirmed: the rate is only the setup's.")


class ChannelOut(BaseModel):
    """One channel's values; only valid samples are included."""

    unit: Literal["in/s", "psi", "counts"]
    values: list[float]
    peak: float | None
    bound: Bound | None = Field(description="'>': the channel reached the end of its range.")
    peak_time_s: float | None
    flags: list[Flag]


class ProposedOut(BaseModel):
    """What the unit's setup proposes for an event's scales. It is no proof."""

    sample_rate_hz: int | None
    record_time_s: float | None
    pretrigger_s: float | None
    geo_range_in_s: float | None


class SamplesBase(BaseModel):
    """Samples in physical units."""

    samples: int
    announced_samples: int | None = Field(
        description="Samples per channel that the event's own start record announces, in 16 bits."
    )
    valid_samples: list[int]
    sample_rate_hz: int | None
    sample_rate_source: Literal["event", "setup"] | None = Field(
        description="setup: today's, not confirmed by the event."
    )
    sample_rates_possible: list[int] = Field(description="Those that the event itself allows, Hz.")
    pretrigger_samples: int
    geo_range_in_s: float | None
    geo_range_source: Literal["event", "setup"] | None = Field(
        description="setup: today's, not confirmed by the event."
    )
    geo_ranges_possible: list[float] = Field(
        description="Those that the event itself allows, in/s."
    )
    setup: ProposedOut | None = Field(description="The values of the setup; null: it was not read.")
    reasons: list[ReasonOut] = Field(description="Why this is partial; empty: it is good.")
    mode: Literal["single_shot", "continuous"] | None
    time: TimeAxis
    channels: dict[Literal["Tran", "Vert", "Long", "MicL"], ChannelOut]


class WaveformOut(SamplesBase, EventOut):
    """One event's samples in physical units."""


class StatusOut(BaseModel):
    """The unit's present state."""

    monitoring: bool
    clock_device_time: str | None = Field(description="The unit's own clock, no zone.")
    battery_v: float | None
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    clock_offset_s: float | None = Field(
        None, description="The unit's clock minus UTC, s, at the read, by the relay's clock."
    )
    clock_drift_s: float | None = Field(
        None,
        description="The unit's clock minus what it should show, s; without a zone, what is left "
        "after the nearest quarter of an hour. Resolution 1 s; includes the link's delay.",
    )
    clock_sentence: str | None = Field(
        None, description="How far the unit's clock is off, for people; null: not compared."
    )
    clock_zone: str | None = Field(None, description="In force where the unit is; null: not known.")
    clock_settable: bool = Field(
        False, description="Always false: how the clock is set is not known on the wire."
    )
    provenance: ProvenanceOut


class StorageRangeOut(BaseModel):
    """Keys of the first and the last stored event; both 01110000 after an erase."""

    first_key: str
    last_key: str
    provenance: ProvenanceOut


class LifetimeOut(BaseModel):
    """Events ever recorded; an erase does not lower it."""

    lifetime_count: int
    provenance: ProvenanceOut


class StoreState(BaseModel):
    """The state of the database."""

    state: Literal["ok", "degraded", "none"] = Field(
        description="degraded: answers come from memory and units; new records wait."
    )
    where: str | None = Field(description="The file, or the server without its password.")
    problem: str | None = Field(
        description="full, locked, damaged, lost, replaced (the file was removed, renamed or "
        "replaced under the relay), ..."
    )
    detail: str | None
    since: str | None = Field(description="Since when, UTC, by the relay's clock.")
    writes: int
    failures: int
    waiting_records: int = Field(description="Records read and not archived yet.")
    waiting_bytes: int
    not_archived: int = Field(description="Records dropped from the backlog.")
    damaged: int = Field(description="Reads of stored records that did not match their hash.")


class HealthOut(BaseModel):
    """The state of the relay itself, not of any unit."""

    status: Literal["ok", "degraded"] = Field(
        description="degraded: the database fails (see store), or the host's clock is not set."
    )
    version: str
    uptime_s: float
    host_clock: Literal["ok", "not-set"] = Field(
        description="not-set: it is before this program was made, as without a battery; times "
        "that are read from it are unknown until it is set."
    )
    store: StoreState


class ReadyOut(BaseModel):
    """The relay can do its work."""

    ready: Literal[True]


class PortOut(BaseModel):
    """A serial port of the relay's machine."""

    port: str = Field(description="As the parameter port takes it.")
    description: str | None = Field(description="The adapter's description of itself; null: none.")


class PortsOut(BaseModel):
    """Permitted serial ports."""

    ports: list[PortOut]


class StatsOut(BaseModel):
    """Contents of the cache, state of the database, and cost of the connections."""

    cache: dict[str, Any]
    store: StoreState
    devices: dict[str, Any]


RECORDING_ID = (
    "The recording's public id: BLAKE2b-256 over serial, waveform key, event timestamp and record, "
    "each behind its length as 4 bytes, big-endian; hex. The same in every database."
)


class ArchivedBase(EventBase):
    """An event in the archive: whose, and when and over which route it was read."""

    id: str = Field(description=RECORDING_ID)
    serial: str
    index: int = Field(description="Its slot when it was first read.")
    utc: str | None = Field(
        description="The instant of timestamp, by the zone in force then where the unit stood."
    )
    utc_unknown: Unknown | None = Field(description="Why utc is null; null: it is not.")
    geo_range_in_s: float | None = Field(
        description="The range by which peaks are marked, as its archived samples gave it; null: "
        "not known."
    )
    simulated: bool
    read_at: str | None = Field(
        description="Start of the device read, UTC, by the host's clock; null: that was never set."
    )
    route: str = Field(description="tcp:HOST:PORT or serial:PORT:BAUD, as it was then.")


class ReviewOut(BaseModel):
    """A review of a recording."""

    at: str = Field(description="UTC, by the relay's clock.")
    reviewer: str
    false_trigger: bool | None
    note: str | None


class ArchivedStateOut(BaseModel):
    """Which parts of an event are archived, and whether they are decoded."""

    record: bool
    image: str = Field(description="whole, none, or how much: first 8192 of 11310 bytes.")
    samples: Literal["decoded", "partial", "undecoded"] | None = Field(
        description="null: there is no whole image to decode."
    )


class ArchivedRow(ArchivedBase):
    """An event in the archive's list, with its mutable parts: samples, review."""

    verdicts: list[VerdictOut]
    no_verdict: str | None
    waveforms: int = Field(description="Number of downloaded contents of its samples.")
    contents: list[str] = Field(description="content_hash of each, hex, the first read first.")
    epoch_proven: bool = Field(
        description="False: read by a walk that was cut, and met by no complete walk since."
    )
    archived: ArchivedStateOut
    counted_by_erase: bool = Field(
        description="Whether an erase counts it as archived: a whole image; one whose parts "
        "contradict one another only after a second download brought the same bytes."
    )
    review: ReviewOut | None = Field(description="The latest.")


class ArchivePage(BaseModel):
    """Recordings, newest unit time first, unknown times last."""

    events: list[ArchivedRow]
    next_cursor: str | None = Field(description="null: this is the last page.")
    damaged: list[str] = Field(
        description="Recordings of this page that do not match their hash, as sentences."
    )


class ArchivedOut(ArchivedBase):
    """An event in the archive, with the unit's own record of it."""

    content_hash: str = Field(description="BLAKE2b-256 of record, hex.")
    record: str = Field(description="The unit's own record of it, byte for byte, hex.")


class ArchivedWaveformOut(SamplesBase, EventBase):
    """An archived event's samples in physical units."""

    id: str = Field(description=RECORDING_ID)
    serial: str
    simulated: bool
    read_at: str | None = Field(
        description="Start of the download, UTC, by the host's clock; null: that was never set."
    )
    route: str = Field(description="tcp:HOST:PORT or serial:PORT:BAUD, as it was then.")
    content_hash: str = Field(description="BLAKE2b-256 of the unit's memory of it, hex.")
    quality: Literal["good", "partial"]
    decoder: int | None = Field(description="Version of the decoder; null: not known.")


class ArchivedUnit(BaseModel):
    """One unit of the archive."""

    serial: str
    recordings: int
    first_timestamp: str | None = Field(description="Unit time; null: no recording has one.")
    last_timestamp: str | None
    simulated: bool
    last_read_at: str | None = Field(
        description="When its last new recording was read, UTC; null: the clock was never set."
    )
    last_route: str


class ArchivedUnits(BaseModel):
    """Every unit of the archive."""

    units: list[ArchivedUnit]


class ReviewsOut(BaseModel):
    """Reviews of a recording."""

    current: ReviewOut | None
    history: list[ReviewOut] = Field(description="All of them, current included, latest first.")


class FindingOut(BaseModel):
    """A finding about stored data."""

    id: int
    at: str = Field(description="UTC, by the relay's clock.")
    kind: Literal[
        "other_content", "other_waveform", "damaged", "mended", "superseded", "mirror_dropped"
    ] = Field(description="mirror_dropped: a unit's stored list was damaged; it is read again.")
    serial: str
    recording_id: str | None = Field(description="Its public id.")
    detail: str


class FindingsOut(BaseModel):
    """Findings, the latest first."""

    findings: list[FindingOut]


class ProblemOut(BaseModel):
    """Problem details (RFC 9457)."""

    type: Annotated[str, Field(description="urn:seismo-relay:problem: and the kind.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What happened, and to which unit.")]
    outcome: Annotated[
        Literal["refused", "failed", "unknown"] | None,
        Field(
            description="Only of commands. refused, failed: the unit is as it was. unknown: the "
            "command was sent, and its effect is not known."
        ),
    ] = None
    reason: Annotated[str | None, Field(description="Only of refused: how the unit differs.")] = (
        None
    )
    diagnosis: Annotated[
        str | None,
        Field(description="The cause in the connection to the unit, where its bytes prove one."),
    ] = None
    image: Annotated[
        str | None,
        Field(description="Only of samples-undecoded: where the archived image is; null: nowhere."),
    ] = None
    errors: Annotated[
        list[dict[str, str]] | None,
        Field(description="Only of invalid-parameter: each field with a message."),
    ] = None


def describe_problems(app: FastAPI, everywhere: dict[int | str, dict[str, Any]]) -> None:
    """
    Complete the OpenAPI page: the schema of problems, and those that any route may answer with.

    Args:
        app: whose page.
        everywhere: description of each such status.
    """
    describe = app.openapi

    def described() -> dict[str, Any]:
        page = describe()
        known = page.setdefault("components", {}).setdefault("schemas", {})
        known.setdefault("ProblemOut", ProblemOut.model_json_schema())
        for methods in page["paths"].values():
            for operation in methods.values():
                for status, answer in everywhere.items():
                    operation["responses"].setdefault(str(status), answer)
        for unused in ("HTTPValidationError", "ValidationError"):
            known.pop(unused, None)
        return page

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to extend the page
