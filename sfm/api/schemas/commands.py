"""
Bodies and answers of commands, for validation and OpenAPI.

The limits of a setting are described here and checked in ``wire.setup_changes``: a value outside
them is a refused command, which the audit log records. The web app's form is generated from this.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from minimateplus.model import CallHomeChange, RecordMode, SetupChange
from minimateplus.wire.setup_changes import DIAL, LIMITS, MAX_DIAL_LETTERS, TEXT, TIME
from sfm.api.schemas.reading import DeviceQuery, DeviceTime, ProvenanceOut

__all__ = [
    "CallHomeIn",
    "CallHomeOut",
    "CommandQuery",
    "ConfigIn",
    "EraseIn",
    "EraseOut",
    "FetchQuery",
    "MonitorOut",
    "OperationOut",
    "RescueIn",
    "RescueOut",
    "Serial",
    "StartQuery",
    "StopQuery",
    "WriteQuery",
    "WrittenOut",
]

Serial = Annotated[str, Field(min_length=1, max_length=16, description="The unit's serial number.")]
Mode = Literal["single_shot", "continuous", "histogram", "histogram_combo"]
Text = Annotated[
    str | None,
    Field(
        max_length=64,
        description="Letters of Windows-1252; empty: no text. A unit may have room for less.",
        json_schema_extra={"pattern": f"^{TEXT}$"},
    ),
]


def _number(name: str) -> Any:
    """Describe a numeric setting by its limit, in words and as JSON Schema has it."""
    limit = LIMITS[name]
    extra: dict[str, Any]
    if limit.among:
        text = "One of " + ", ".join(f"{choice:g}" for choice in limit.among)
        extra = {"enum": [*limit.among, None]}
    else:
        text = f"{limit.low:g} to {limit.high:g}"
        extra = {"minimum": limit.low, "maximum": limit.high}
    return Field(
        description=f"{text} {limit.unit}".rstrip() + f" ({limit.mark}: {limit.source}).",
        json_schema_extra=extra | {"x-unit": limit.unit},
    )


class CommandQuery(DeviceQuery):
    """Which unit."""


class StartQuery(DeviceQuery):
    """Which unit, and whether to wait."""

    serial: Annotated[Serial | None, Field(description="Whose; 409 when another unit answers.")] = (
        None
    )
    follow: Annotated[
        bool,
        Field(description="Answer when the unit monitors, or after 60 s; else at once."),
    ] = True


class StopQuery(DeviceQuery):
    """Which unit, and what to wait for."""

    serial: Annotated[Serial | None, Field(description="Whose; 409 when another unit answers.")] = (
        None
    )
    follow: Annotated[bool, Field(description="Read the monitor status afterwards.")] = True
    wait_for_reply: Annotated[
        bool,
        Field(
            description="false: send the command and do not wait for the unit's reply, for a busy "
            "unit; the outcome is then unknown."
        ),
    ] = True


class FetchQuery(DeviceQuery):
    """Which unit, and which of its events."""

    since: Annotated[
        DeviceTime | None,
        Field(
            description="Only events of this unit time or later: the unit's own clock, ISO 8601 "
            "without zone; a date alone is its midnight. Events without a time, or from before "
            "2000, are always read: their clock was not set."
        ),
    ] = None
    all: Annotated[
        bool,
        Field(
            description="Also read again recordings that are complete but contradict themselves "
            "and were received only once."
        ),
    ] = False


class WriteQuery(DeviceQuery):
    """Which unit, and whether to write."""

    dry_run: Annotated[
        bool, Field(description="Report what would change, byte by byte, and send nothing.")
    ] = False


def _setting(name: str, hint: Any) -> tuple[Any, Any]:
    """Return type and default of one recording setting, with its limits as JSON Schema."""
    if name in LIMITS:
        return Annotated[hint, _number(name)], None
    return (Mode | None if name == "mode" else Text), None


_settings: Any = {name: _setting(name, hint) for name, hint in get_type_hints(SetupChange).items()}
_SettingsIn: Any = create_model(
    "_SettingsIn",
    __config__=ConfigDict(extra="forbid", allow_inf_nan=False),
    serial=(Serial | None, Field(None, description="Whose; 409 when another unit answers.")),
    **_settings,
)
"""The fields of ``SetupChange``, which is the one table of the recording settings."""


class ConfigIn(_SettingsIn):  # type: ignore[misc]  # its fields are those of SetupChange
    """New recording settings. What is absent stays as it is; unknown ones are rejected."""

    @property
    def change(self) -> SetupChange:
        """The requested change, as the client library takes it."""
        given = self.model_dump(exclude={"serial", "mode"})
        mode = None if self.mode is None else RecordMode[self.mode.upper()]
        return SetupChange(mode=mode, **given)


Clock = Annotated[
    str | None,
    Field(
        max_length=5,
        description="HH:MM, the unit's own clock.",
        json_schema_extra={"pattern": f"^{TIME}$", "x-unit": "HH:MM"},
    ),
]


class CallHomeIn(BaseModel):
    """New call-home settings. What is absent stays as it is; unknown ones are rejected."""

    model_config = ConfigDict(extra="forbid")

    serial: Serial | None = Field(None, description="Whose; 409 when another unit answers.")
    enabled: bool | None = None
    dial: Annotated[
        str | None,
        Field(
            max_length=64,
            description="Dial string for the modem.",
            json_schema_extra={"pattern": f"^{DIAL}$", "maxLength": MAX_DIAL_LETTERS},
        ),
    ] = None
    after_event: bool | None = None
    at_times: bool | None = None
    first_enabled: bool | None = None
    first_time: Clock = None
    second_enabled: bool | None = None
    second_time: Clock = None
    retries: Annotated[int | None, _number("retries")] = None
    retry_wait_s: Annotated[int | None, _number("retry_wait_s")] = None
    connect_wait_s: Annotated[int | None, _number("connect_wait_s")] = None
    warm_up_s: Annotated[int | None, _number("warm_up_s")] = None

    @property
    def change(self) -> CallHomeChange:
        """The requested change, as the client library takes it."""
        return CallHomeChange(**self.model_dump(exclude={"serial"}))


class EraseIn(BaseModel):
    """Which unit's memory to erase; serial number and count must match the unit."""

    model_config = ConfigDict(extra="forbid")

    serial: Serial
    count: int = Field(ge=0, le=1_000_000, description="Number of events it stores now.")
    discard_unarchived: bool = Field(
        False, description="Also erase events whose samples are not archived."
    )


class RescueIn(BaseModel):
    """Which unit to rescue, and whether to erase its memory."""

    model_config = ConfigDict(extra="forbid")

    serial: Serial
    erase: bool = Field(
        False, description="Erase everything, archived or not: no list is read in a rescue."
    )


class ByteChange(BaseModel):
    """Bytes of the unit's block that differ."""

    offset: int = Field(description="In the un-escaped block.")
    before: str = Field(description="Hexadecimal.")
    after: str = Field(description="Hexadecimal.")


class SettingChange(BaseModel):
    """One setting before and after."""

    field: str
    before: Any
    after: Any
    bytes: list[ByteChange]


class CommandOut(BaseModel):
    """How a command ended. One that failed is a problem, with ``outcome`` as well."""

    command: str
    outcome: Literal["done", "unchanged", "dry_run", "unknown"] = Field(
        description="unchanged: no change was needed. dry_run: nothing was sent. unknown: it was "
        "sent, and whether the unit followed it is not known."
    )
    conn_key: str
    serial: str | None
    simulated: bool | None
    epoch: int
    exchanges: int = Field(description="Requests sent to the unit.")
    took_s: float
    audit_number: int | None = Field(description="Of the audit entry; null: there is no log.")


class MonitorOut(CommandOut):
    """How a start or stop of monitoring ended."""

    monitoring: bool | None = Field(None, description="As polled afterwards; null: unknown.")
    waited_s: float | None = Field(None, description="How long the sensor check was followed.")
    poll_failed: str | None = None
    reported: str | None = Field(
        None, description="Of a stop without waiting for the reply: that its effect is unknown."
    )


class OperationOut(BaseModel):
    """A long command answered with 202: its progress and result."""

    id: str
    kind: str
    unit: str = Field(description="Connection key.")
    begun_at: str = Field(description="UTC, by the relay's clock.")
    ended_at: str | None = Field(description="UTC; null: it is running.")
    state: Literal["running", "done", "failed"]
    what: str | None = Field(description="What done and total count, with its unit of measure.")
    done: float | None
    total: float | None
    read_bytes: int | None = Field(
        description="Bytes that it has read so far; null: it does not count them."
    )
    trying_again: dict[str, Any] | None = Field(
        description="The problem document of the last try, while it waits for another one."
    )
    result: dict[str, Any] | None = Field(
        description="What the request would have answered; of a fetch: what was archived."
    )
    problem: dict[str, Any] | None = Field(
        description="The problem document that it would have answered."
    )


class WrittenOut(CommandOut):
    """Result of a write of settings, or of its dry run."""

    changes: list[SettingChange]
    elsewhere_bytes: int = Field(
        description="Bytes of the block that came back otherwise than written, elsewhere."
    )


class EraseOut(CommandOut):
    """Result of an erase."""

    erased: int
    not_archived: list[int] = Field(
        description="Indices of which the archive has no whole image, or one that is contradicted "
        "and was downloaded once."
    )
    contradicted: list[int] = Field(
        description="Indices whose record, start record, footer and samples contradict one another."
    )


class RescueOut(WrittenOut):
    """Result of a rescue."""

    erased: bool


class CallHomeOut(BaseModel):
    """When and whom the unit calls by itself; times are of its own clock."""

    enabled: bool
    dial: str | None
    after_event: bool
    at_times: bool
    first_enabled: bool
    first_time: str | None
    second_enabled: bool
    second_time: str | None
    retries: int
    retry_wait_s: int
    connect_wait_s: int
    warm_up_s: int
    provenance: ProvenanceOut
