"""The relay's settings, each with default and description; read from ``SFM_<NAME>``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from minimateplus.link import Address, Deadlines, parse_address
from sfm.access.egress import EgressPolicy
from sfm.access.names import check_name, folded

__all__ = ["Settings"]


class Settings(BaseSettings):
    """All settings; a name ends in its unit of measure."""

    model_config = SettingsConfigDict(env_prefix="SFM_", frozen=True, extra="ignore")

    host: Annotated[str, Field(description="Address the relay listens on.")] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535, description="Port of the HTTP API.")] = 8200
    connect_s: Annotated[float, Field(gt=0, description="Timeout for opening a link, s.")] = 10.0
    reply_s: Annotated[float, Field(gt=0, description="Timeout for one reply of a unit, s.")] = 10.0
    operation_s: Annotated[float, Field(gt=0, description="Timeout for one complete read, s.")] = (
        900.0
    )
    keep_open_s: Annotated[
        float,
        Field(
            ge=0,
            description="How long a link stays open after a read, for reuse by the next one, s.",
        ),
    ] = 5.0
    keep_open_s_by_address: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(
            description="The same for single addresses, or names in SFM_UNITS, as JSON: "
            '{"tcp://10.0.0.5:12345": 60}. For a modem that frees its only connection late.',
        ),
    ] = {}
    status_ttl_s: Annotated[
        float,
        Field(
            gt=0, description="How long a monitor status is served, from the start of its read, s."
        ),
    ] = 30.0
    validated_s: Annotated[
        float,
        Field(
            ge=0,
            description="How long a waveform is served without a probe, from the last proof "
            "that the unit's memory is unchanged, s; 0: never.",
        ),
    ] = 30.0
    max_readers: Annotated[
        int, Field(ge=1, description="Maximum number of readers that wait for one unit.")
    ] = 5000
    queue_s: Annotated[
        float, Field(gt=0, description="How long a reader waits for the unit, s.")
    ] = 300.0
    cache_limit_bytes: Annotated[
        int,
        Field(gt=0, description="Size limit of the live cache, including encoded answers, bytes."),
    ] = 256 * 1024 * 1024

    require_tokens: Annotated[
        bool,
        Field(description="Require a token from local clients too."),
    ] = False
    insecure: Annotated[
        bool,
        Field(description="Disable authentication for all clients."),
    ] = False
    units: Annotated[
        dict[str, str],
        Field(
            description="Names of locations and the address of the unit at each, as JSON: "
            '{"north face": "tcp://10.0.0.5:12345"}. Remote clients reach only these, '
            "unless SFM_EGRESS permits more.",
        ),
    ] = {}
    egress: Annotated[
        list[str] | None,
        Field(
            description="Permitted destinations, as JSON: networks, addresses, HOST:PORT, serial "
            'ports by pattern, registered, any: ["registered", "10.1.0.0/16", "/dev/ttyUSB*"].',
        ),
    ] = None
    max_sessions: Annotated[
        int, Field(ge=1, description="Maximum number of open sessions with units.")
    ] = 64
    max_unknown_sessions: Annotated[
        int,
        Field(
            ge=1,
            description="Maximum number of additional sessions with addresses that are not "
            "registered and where no unit has answered yet.",
        ),
    ] = 8
    max_connections: Annotated[
        int | None,
        Field(
            ge=1,
            description="Maximum number of open HTTP connections; default: as many as the "
            "process's limit of open files permits, at most 10000.",
        ),
    ] = None
    max_requests_per_client: Annotated[
        int,
        Field(ge=1, description="Maximum number of concurrent device requests per token."),
    ] = 32
    max_forced_per_minute: Annotated[
        int, Field(ge=1, description="Maximum number of forced reads per token and minute.")
    ] = 30
    tls_cert: Annotated[str | None, Field(description="Certificate file (PEM); enables HTTPS.")] = (
        None
    )
    tls_key: Annotated[str | None, Field(description="The certificate's key file (PEM).")] = None
    trusted_proxies: Annotated[
        list[str],
        Field(
            description="Addresses or networks of reverse proxies whose X-Forwarded-For is "
            'trusted, as JSON: ["10.0.0.2"].',
        ),
    ] = []

    database_url: Annotated[
        str | None,
        Field(
            description="Database URL: sqlite:////path/to/file or "
            "postgresql://user:password@host/name; none: no database. "
            "Default: a SQLite file in the user's data folder.",
        ),
    ] = None
    site_zones: Annotated[
        dict[str, str],
        Field(
            description="Time zone of each unit's clock, by serial number or location, as JSON: "
            '{"BE12345": "Europe/Oslo", "*": "UTC"}; * applies to all other units. Added to the '
            "roster where it has none.",
        ),
    ] = {}

    @field_validator("site_zones")
    @classmethod
    def _are_zones(cls, value: dict[str, str]) -> dict[str, str]:
        for serial, name in value.items():
            try:
                ZoneInfo(name)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"{serial}: unknown time zone {name!r}") from error
        return value

    @field_validator("units")
    @classmethod
    def _are_addresses(cls, value: dict[str, str]) -> dict[str, str]:
        for name, address in value.items():
            check_name(name)
            if parse_address(address).kind == "replay":
                raise ValueError(f"{name}: a capture cannot be a unit's address")
        if len({folded(name) for name in value}) < len(value):
            raise ValueError("two names differ only in case")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for one in value:
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(
                    f"{one!r} is not an IP address or network; a name or * is not accepted"
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
        """Return how long the link to ``address`` stays open after a read, s."""
        for name, keep_open_s in self.keep_open_s_by_address.items():
            if parse_address(self.units.get(name, name)) == address:
                return keep_open_s
        return self.keep_open_s

    @property
    def registered(self) -> dict[str, Address]:
        """The addresses of ``units``."""
        return {name: parse_address(address) for name, address in self.units.items()}

    @property
    def deadlines(self) -> Deadlines:
        """The three timeouts as the one value that links and clients take."""
        return Deadlines(
            connect_s=self.connect_s, reply_s=self.reply_s, operation_s=self.operation_s
        )
