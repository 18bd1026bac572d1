"""Settings of the relay: name, default, sentence. Each is read from ``SFM_<NAME>``, or given."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from minimateplus.link import Address, Deadlines, parse_address
from sfm.access.egress import EgressPolicy


class Settings(BaseSettings):
    """Everything that can be set; the unit of measure ends the name."""

    model_config = SettingsConfigDict(env_prefix="SFM_", frozen=True, extra="ignore")

    host: Annotated[str, Field(description="Address the relay listens on.")] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535, description="Port of the HTTP API.")] = 8200
    connect_s: Annotated[float, Field(gt=0, description="How long opening a link may take, s.")] = (
        10.0
    )
    reply_s: Annotated[
        float, Field(gt=0, description="How long a unit may take to answer once, s.")
    ] = 10.0
    operation_s: Annotated[
        float, Field(gt=0, description="How long one whole read may take, s.")
    ] = 900.0
    keep_open_s: Annotated[
        float,
        Field(
            ge=0,
            description="How long a link stays open after a read, so that a burst shares it, s.",
        ),
    ] = 5.0
    keep_open_s_by_address: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(
            description="The same of single addresses, or of names of SFM_UNITS, as JSON: "
            '{"tcp://10.0.0.5:12345": 60}. For a modem that frees its one line late.',
        ),
    ] = {}
    status_ttl_s: Annotated[
        float,
        Field(gt=0, description="How long a monitor status is served, from its read's start, s."),
    ] = 30.0
    validated_s: Annotated[
        float,
        Field(
            ge=0,
            description="How long a waveform is served without asking the unit, "
            "from the last proof that its memory is unchanged, s; 0: never.",
        ),
    ] = 30.0
    max_readers: Annotated[
        int, Field(ge=1, description="Readers that may wait for one device at once.")
    ] = 5000
    queue_s: Annotated[
        float, Field(gt=0, description="How long a reader waits for the device's line, s.")
    ] = 300.0
    cache_limit_bytes: Annotated[
        int,
        Field(gt=0, description="What the live cache may hold, encoded answers included, bytes."),
    ] = 256 * 1024 * 1024

    require_tokens: Annotated[
        bool,
        Field(description="Ask for a token also from who sits at this machine."),
    ] = False
    insecure: Annotated[
        bool,
        Field(description="Let everybody do everything, without tokens, wherever he asks from."),
    ] = False
    units: Annotated[
        dict[str, str],
        Field(
            description="The registered devices, name and address, as JSON: "
            '{"north face": "tcp://10.0.0.5:12345"}. Over the network these alone are reached, '
            "unless SFM_EGRESS says more.",
        ),
    ] = {}
    egress: Annotated[
        list[str] | None,
        Field(
            description="What may be reached, as JSON: networks, addresses, HOST:PORT, serial "
            'ports by pattern, registered, any: ["registered", "10.1.0.0/16", "/dev/ttyUSB*"].',
        ),
    ] = None
    max_sessions: Annotated[
        int, Field(ge=1, description="Conversations with units that may be open at once.")
    ] = 64
    max_unknown_sessions: Annotated[
        int,
        Field(
            ge=1,
            description="Of these beside them: with addresses that are not registered, and where "
            "no unit has answered yet.",
        ),
    ] = 8
    max_connections: Annotated[
        int | None,
        Field(
            ge=1,
            description="HTTP connections that may be open at once; without it, as many as the "
            "process's limit of open files leaves, 10000 at most.",
        ),
    ] = None
    max_requests_per_client: Annotated[
        int,
        Field(ge=1, description="Device requests of one token that may be under way at once."),
    ] = 32
    max_forced_per_minute: Annotated[
        int, Field(ge=1, description="Forced reads that one token may ask for in a minute.")
    ] = 30
    tls_cert: Annotated[
        str | None, Field(description="Certificate file (PEM), to answer over HTTPS.")
    ] = None
    tls_key: Annotated[str | None, Field(description="Its key file (PEM).")] = None
    trusted_proxies: Annotated[
        list[str],
        Field(
            description="Addresses or networks of reverse proxies that are believed whom they "
            'forward for, as JSON: ["10.0.0.2"].',
        ),
    ] = []

    database_url: Annotated[
        str | None,
        Field(
            description="Where everything that was read is kept: sqlite:////path/to/file or "
            "postgresql://user:password@host/name; none: nowhere. "
            "Without it, a SQLite file in the user's data folder.",
        ),
    ] = None
    site_zones: Annotated[
        dict[str, str],
        Field(
            description="Time zone of each unit's clock, by serial number, as JSON: "
            '{"BE12345": "Europe/Oslo", "*": "UTC"}; * is for all others.',
        ),
    ] = {}

    @field_validator("site_zones")
    @classmethod
    def _are_zones(cls, value: dict[str, str]) -> dict[str, str]:
        for serial, name in value.items():
            try:
                ZoneInfo(name)
            except (ValueError, OSError) as error:
                raise ValueError(f"{serial}: no time zone is named {name!r}") from error
        return value

    @field_validator("units")
    @classmethod
    def _are_addresses(cls, value: dict[str, str]) -> dict[str, str]:
        for name, address in value.items():
            if parse_address(address).kind == "replay":
                raise ValueError(f"{name}: a capture is no unit")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for one in value:
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(
                    f"{one!r} is no IP address or network; a name or * is not believed"
                ) from None
        return value

    @field_validator("egress")
    @classmethod
    def _is_egress_list(cls, value: list[str] | None) -> list[str] | None:
        if value is not None:
            EgressPolicy(value)
        return value

    @model_validator(mode="after")
    def _name_addresses(self) -> Self:
        for name in self.keep_open_s_by_address:
            if name not in self.units:
                try:
                    parse_address(name)
                except ValueError as error:
                    raise ValueError(f"keep_open_s_by_address: {error}") from error
        return self

    def keep_open_s_of(self, address: Address) -> float:
        """How long the link to ``address`` stays open after a read, s."""
        for name, keep_open_s in self.keep_open_s_by_address.items():
            if parse_address(self.units.get(name, name)) == address:
                return keep_open_s
        return self.keep_open_s

    @property
    def registered(self) -> dict[str, Address]:
        """The addresses of ``units``."""
        return {name: parse_address(address) for name, address in self.units.items()}

    @property
    def zones(self) -> dict[str, ZoneInfo]:
        """The time zones of ``site_zones``."""
        return {serial: ZoneInfo(name) for serial, name in self.site_zones.items()}

    @property
    def deadlines(self) -> Deadlines:
        """The three waits as the one value that links and clients take."""
        return Deadlines(
            connect_s=self.connect_s, reply_s=self.reply_s, operation_s=self.operation_s
        )
