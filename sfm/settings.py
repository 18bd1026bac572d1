"""Settings of the relay: name, default, sentence. Each is read from ``SFM_<NAME>``, or given."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from minimateplus.link import Deadlines


class Settings(BaseSettings):
    """Everything that can be set; the unit of measure ends the name."""

    model_config = SettingsConfigDict(env_prefix="SFM_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the relay listens on.")
    http_port: int = Field(8200, ge=0, le=65535, description="Port of the HTTP API.")
    connect_s: float = Field(10.0, gt=0, description="How long opening a link may take, s.")
    reply_s: float = Field(10.0, gt=0, description="How long a unit may take to answer once, s.")
    operation_s: float = Field(900.0, gt=0, description="How long one whole read may take, s.")
    keep_open_s: float = Field(
        5.0,
        ge=0,
        description="How long a link stays open after a read, so that a burst shares it, s.",
    )
    status_ttl_s: float = Field(
        30.0, gt=0, description="How long a monitor status is served, from its read's start, s."
    )
    cache_limit_bytes: int = Field(
        256 * 1024 * 1024, gt=0, description="What the live cache may hold, bytes."
    )

    @property
    def deadlines(self) -> Deadlines:
        """The three waits as the one value that links and clients take."""
        return Deadlines(
            connect_s=self.connect_s, reply_s=self.reply_s, operation_s=self.operation_s
        )
