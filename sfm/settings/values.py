"""
The relay's settings, each with default, description and example.

Read from ``SFM_<NAME>``, and from a file (``sfm.settings.file``) where the environment has none.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from minimateplus.link import Address, Deadlines, parse_address
from sfm.access.egress import EgressPolicy
from sfm.access.names import check_name, folded
from sfm.settings.file import find_file, read_file

__all__ = ["PREFIX", "Region", "Settings"]

PREFIX = "SFM_"

Region = Literal[
    "US", "US-RI", "US-NH", "DE", "GB", "NL", "FR", "CH", "BR", "CA-ON", "AU-QLD", "IN", "ID"
]
"""Those of ``sfm/analysis/limits/limits.yaml``; a test compares the two."""


class Settings(BaseSettings):
    """All settings; a name ends in its unit of measure."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names all sources
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the strongest first: arguments, environment, file."""
        path = find_file()
        values = {} if path is None else read_file(path)
        known = {name: value for name, value in values.items() if name in cls.model_fields}
        return init_settings, env_settings, InitSettingsSource(settings_cls, known)

    host: Annotated[
        str, Field(examples=["127.0.0.1"], description="Address the relay listens on.")
    ] = "127.0.0.1"
    http_port: Annotated[
        int, Field(examples=[8200], ge=0, le=65535, description="Port of the HTTP API.")
    ] = 8200
    connect_s: Annotated[
        float, Field(examples=[10], gt=0, description="Timeout for opening a link, s.")
    ] = 10.0
    reply_s: Annotated[
        float, Field(examples=[10], gt=0, description="Timeout for one reply of a unit, s.")
    ] = 10.0
    operation_s: Annotated[
        float, Field(examples=[900], gt=0, description="Timeout for one complete read, s.")
    ] = 900.0
    keep_open_s: Annotated[
        float,
        Field(
            examples=[5],
            ge=0,
            description="How long a link stays open after a read, for reuse by the next one, s.",
        ),
    ] = 5.0
    keep_open_s_by_address: Annotated[
        dict[str, Annotated[float, Field(ge=0)]],
        Field(
            examples=[{"tcp://10.0.0.5:12345": 60}],
            description="The same for single addresses, or names in SFM_UNITS, as JSON: "
            '{"tcp://10.0.0.5:12345": 60}. For a modem that frees its only connection late.',
        ),
    ] = {}
    status_ttl_s: Annotated[
        float,
        Field(
            examples=[30],
            gt=0,
            description="How long a monitor status is served, from the start of its read, s.",
        ),
    ] = 30.0
    validated_s: Annotated[
        float,
        Field(
            examples=[30],
            ge=0,
            description="How long a waveform is served without a probe, from the last proof "
            "that the unit's memory is unchanged, s; 0: never.",
        ),
    ] = 30.0
    max_readers: Annotated[
        int,
        Field(
            examples=[5000], ge=1, description="Maximum number of readers that wait for one unit."
        ),
    ] = 5000
    queue_s: Annotated[
        float, Field(examples=[300], gt=0, description="How long a reader waits for the unit, s.")
    ] = 300.0
    cache_limit_bytes: Annotated[
        int,
        Field(
            examples=[268435456],
            gt=0,
            description="Size limit of the live cache, including encoded answers, bytes.",
        ),
    ] = 256 * 1024 * 1024

    require_tokens: Annotated[
        bool,
        Field(examples=[True], description="Require a token from local clients too."),
    ] = False
    insecure: Annotated[
        bool,
        Field(examples=[True], description="Disable authentication for all clients."),
    ] = False
    units: Annotated[
        dict[str, str],
        Field(
            examples=[{"north face": "tcp://10.0.0.5:12345"}],
            description="Names of locations and the address of the unit at each, as JSON: "
            '{"north face": "tcp://10.0.0.5:12345"}. Remote clients reach only these, '
            "unless SFM_EGRESS permits more.",
        ),
    ] = {}
    egress: Annotated[
        list[str] | None,
        Field(
            examples=[["registered", "10.1.0.0/16"]],
            description="Permitted destinations, as JSON: networks, addresses, HOST:PORT, serial "
            'ports by pattern, registered, any: ["registered", "10.1.0.0/16", "/dev/ttyUSB*"].',
        ),
    ] = None
    max_sessions: Annotated[
        int, Field(examples=[64], ge=1, description="Maximum number of open sessions with units.")
    ] = 64
    max_unknown_sessions: Annotated[
        int,
        Field(
            examples=[8],
            ge=1,
            description="Maximum number of additional sessions with addresses that are not "
            "registered and where no unit has answered yet.",
        ),
    ] = 8
    max_connections: Annotated[
        int | None,
        Field(
            examples=[1000],
            ge=1,
            description="Maximum number of open HTTP connections; default: as many as the "
            "process's limit of open files permits, at most 10000.",
        ),
    ] = None
    max_requests_per_client: Annotated[
        int,
        Field(
            examples=[32],
            ge=1,
            description="Maximum number of concurrent device requests per token.",
        ),
    ] = 32
    max_forced_per_minute: Annotated[
        int,
        Field(
            examples=[30], ge=1, description="Maximum number of forced reads per token and minute."
        ),
    ] = 30
    tls_cert: Annotated[
        str | None,
        Field(
            examples=["/etc/seismo-relay/cert.pem"],
            description="Certificate file (PEM); enables HTTPS.",
        ),
    ] = None
    tls_key: Annotated[
        str | None,
        Field(
            examples=["/etc/seismo-relay/key.pem"], description="The certificate's key file (PEM)."
        ),
    ] = None
    trusted_proxies: Annotated[
        list[str],
        Field(
            examples=[["10.0.0.2"]],
            description="Addresses or networks of reverse proxies whose X-Forwarded-For is "
            'trusted, as JSON: ["10.0.0.2"].',
        ),
    ] = []

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(examples=["warning"], description="Least severe lines that the log contains."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "text", "json"],
        Field(
            examples=["json"],
            description="Lines for people, or JSON objects and nothing else; auto: for people on a "
            "terminal, otherwise JSON.",
        ),
    ] = "auto"
    access_log: Annotated[
        bool, Field(examples=[True], description="Log every HTTP request with its status.")
    ] = False
    database_url: Annotated[
        str | None,
        Field(
            examples=["sqlite:////var/lib/seismo-relay/archive.sqlite"],
            description="Database URL: sqlite:////path/to/file or "
            "postgresql://user:password@host/name; none: no database. "
            "Default: a SQLite file in the user's data folder.",
        ),
    ] = None
    site_zones: Annotated[
        dict[str, str],
        Field(
            examples=[{"BE12345": "Europe/Oslo", "*": "UTC"}],
            description="Time zone of each unit's clock, by serial number or location, as JSON: "
            '{"BE12345": "Europe/Oslo", "*": "UTC"}; * applies to all other units. Added to the '
            "roster where it has none.",
        ),
    ] = {}

    region: Annotated[
        Region | None,
        Field(
            examples=["US"],
            description="Whose limit curves are judged where nobody chose any: US, US-RI, US-NH, "
            "DE, GB, NL, FR, CH, BR, CA-ON, AU-QLD, IN, ID. Default: none, and no verdict.",
        ),
    ] = None

    report_paper: Annotated[
        Literal["letter", "a4"],
        Field(examples=["a4"], description="Paper of reports: letter or a4."),
    ] = "letter"
    report_units: Annotated[
        Literal["imperial", "metric"],
        Field(
            examples=["metric"],
            description="Units of measure of reports: imperial (in/s, psi) or metric (mm/s, Pa).",
        ),
    ] = "imperial"
    report_company: Annotated[
        str | None,
        Field(
            max_length=64,
            examples=["Acme Blast Monitoring"],
            description="Company name on reports. Default: none.",
        ),
    ] = None
    report_logo: Annotated[
        str | None,
        Field(
            examples=["/etc/seismo-relay/logo.svg"],
            description="File of the logo on reports: PNG, JPEG or SVG, up to 1 MB. Default: none.",
        ),
    ] = None

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
    def _agree(self) -> Self:
        if self.insecure and self.require_tokens:
            raise ValueError("insecure: expected no require_tokens beside it; they contradict")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key: expected tls_cert beside it; a key needs its certificate")
        return self

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
