"""
Which relay a command asks, or none.

1. ``--relay`` or ``SFM_RELAY``: that relay alone; if none answers there, exit status 6.
2. ``--direct``: none. While a relay of this machine answers, a read warns and a command is refused.
3. Neither: this machine's relay if it answers within ``PROBE_S``. One that wants a token is never
   passed by for a silent direct read. If nobody is there: none, and a line on standard error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cyclopts import Parameter
from cyclopts.validators import Number

from minimateplus.link.address import Address, parse_address
from sfm.access.names import parse_unit
from sfm.cli.application import CommandError, err, failure, shown_token
from sfm.cli.exits import MISUSED, NO_RELAY, REFUSED, kind_of
from sfm.cli.views import safe_text

__all__ = [
    "DATABASE_DEFAULTS",
    "DEFAULTS",
    "DEFAULT_BASE",
    "PROBE_S",
    "RELAY_VARIABLE",
    "UNIT_DEFAULTS",
    "Baud",
    "Database",
    "DatabaseOptions",
    "Kind",
    "RelayOptions",
    "UnitOptions",
    "answers",
    "checked_base",
    "local_base",
    "no_relay",
    "refusal",
    "relay_of",
    "target_of",
]

RELAY_VARIABLE = "SFM_RELAY"
DEFAULT_BASE = "http://127.0.0.1:8200"
PROBE_S = 0.3
"""How long a relay of this machine may take to answer."""
_CODE = re.compile(r"^\[SSL: \w+\] certificate verify failed: | \(_ssl\.c:\d+\)$")
"""What OpenSSL's reason has around the words."""
EVERYWHERE = ("0.0.0.0", "::", "")


Baud = Annotated[
    int | None, Parameter(help="Speed of a serial port, if not 38400.", validator=Number(gte=1))
]

Database = Annotated[
    str | None,
    Parameter(help="sqlite:////path/to/file or postgresql://... [default: SFM_DATABASE_URL]."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RelayOptions:
    """The options that choose between relays and none."""

    relay: Annotated[
        str | None,
        Parameter(
            help=f"Use only this relay: http://HOST:PORT [{RELAY_VARIABLE}]. Without it: this "
            "machine's relay if one answers, otherwise none."
        ),
    ] = None
    direct: Annotated[bool, Parameter(help="Use no relay.", negative=())] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class UnitOptions(RelayOptions):
    """The options of every command that asks a unit."""

    baud: Baud = None

    def words(self) -> list[str]:
        """Return the options as words of a command line, for advice."""
        return [
            *([] if self.relay is None else ["--relay", self.relay]),
            *(["--direct"] if self.direct else []),
            *([] if self.baud is None else ["--baud", str(self.baud)]),
        ]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DatabaseOptions(RelayOptions):
    """The options of every command that uses the database, or asks the relay that has it."""

    token_file: Annotated[
        Path | None,
        Parameter(help="File with an admin's token, for a relay [SFM_TOKEN, SFM_TOKEN_FILE]."),
    ] = None
    database: Database = None


DEFAULTS = RelayOptions()
UNIT_DEFAULTS = UnitOptions()
DATABASE_DEFAULTS = DatabaseOptions()

Kind = Literal["read", "command"]


def checked_base(text: str) -> str:
    """
    Return the base address of a relay as ``http://HOST:PORT``.

    Raises:
        CommandError: it is not one.
    """
    base = text.strip().rstrip("/")
    try:
        parts = urlsplit(base)
        is_base = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_base = False
    if not is_base or parts.query or parts.fragment or any(c.isspace() for c in base):
        raise CommandError(
            f"--relay: expected http://HOST:PORT or https://HOST:PORT, got {text!r}; for example: "
            f"--relay {DEFAULT_BASE}",
            MISUSED,
        )
    return base


def local_base() -> str:
    """Return where this machine's relay answers by the settings; ``DEFAULT_BASE`` by default."""
    from sfm.cli.configuration import load_settings

    settings = load_settings()
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def answers(base: str) -> bool:
    """
    Whether a relay answers at ``base``, within ``PROBE_S``.

    Raises:
        CommandError: something accepts connections there and does not answer; it may be a relay.
    """
    import httpx

    try:
        # Nothing is sent that a stranger must not see, so any certificate will do.
        response = httpx.get(f"{base}/health", timeout=PROBE_S, trust_env=False, verify=False)
        health = response.json()
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return False
    except httpx.TimeoutException:
        raise CommandError(
            f"something listens at {base} and did not answer within {PROBE_S:g} s; wait for it "
            f"with --relay {base}, or read the unit itself with --direct",
            NO_RELAY,
        ) from None
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(health, dict) and "store" in health


def relay_of(
    options: RelayOptions,
    kind: Kind = "read",
    *,
    instead: str = "the unit",
    needs_relay: bool = False,
) -> str | None:
    """
    Return the base address of the relay to ask; ``None``: none.

    Args:
        options: of the command line.
        kind: a command is refused beside a relay, a read is not.
        instead: what is used where there is no relay, for the messages.
        needs_relay: nothing can be used instead.

    Raises:
        CommandError: the options contradict each other, or the rules above refuse.
    """
    if options.relay is not None and options.direct:
        raise CommandError("--relay and --direct exclude each other", MISUSED)
    if options.direct and needs_relay:
        raise CommandError("--direct: only a relay can answer this", MISUSED)
    if options.direct:
        _check_direct(kind)
        return None
    named = options.relay or os.environ.get(RELAY_VARIABLE)
    if named:
        return checked_base(named)
    base = local_base()
    if answers(base):
        return base
    if needs_relay:
        raise CommandError(
            f"no relay answers at {base}; start one with: seismo-relay serve, or name another with "
            "--relay",
            NO_RELAY,
        )
    _note(f"No relay answers at {base}: using {instead} directly.")
    return None


def _check_direct(kind: Kind) -> None:
    base = local_base()
    if not answers(base):
        return
    if kind == "command":
        raise CommandError(
            f"A relay answers at {base} and may have a session with this unit: nothing was sent. "
            "Leave out --direct to send the command through it, or stop the relay first.",
            REFUSED,
        )
    _note(f"Warning: a relay answers at {base}; it and this read can disturb each other.")


def target_of(unit: str, baud: int | None = None) -> Address | str:
    """
    Return the address of a unit, or the word that may be its name or serial number.

    Raises:
        CommandError: it is neither; or a speed is given for what is no serial port.
    """
    try:
        target = parse_unit(unit)
        if isinstance(target, Address) and target.kind == "serial" and baud is not None:
            return parse_address(f"serial:{target.target}:{baud}")
    except ValueError as error:
        named = "" if repr(unit) in str(error) else f"{unit!r} is no address of a unit: "
        raise CommandError(f"{named}{error}", MISUSED) from None
    if baud is not None:
        raise CommandError(
            f"--baud is the speed of a serial port, and {unit!r} is none; for example: "
            "/dev/ttyUSB0 --baud 19200",
            MISUSED,
        )
    return target


def no_relay(base: str, error: Exception, instead: str = "--direct uses the unit itself") -> Any:
    """Return the error of a relay that does not answer."""
    reason = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return CommandError(
            f"a server answers at {base}, and its certificate is not trusted: "
            f"{_CODE.sub('', reason).rstrip('.')}. If it is yours: set SSL_CERT_FILE to the file "
            "of its certificate, or of the authority that signed it (PEM)",
            NO_RELAY,
        )
    if "Server disconnected" in reason and base.startswith("http://"):
        return CommandError(
            f"a server listens at {base} and does not answer HTTP; if it is a relay with a "
            f"certificate: https://{base.removeprefix('http://')}",
            NO_RELAY,
        )
    return CommandError(
        f"no relay answers at {base} ({reason}); start one with: seismo-relay serve. {instead}.",
        NO_RELAY,
    )


def refusal(problem: Mapping[str, Any], base: str | None) -> CommandError:
    """Return the error of a problem document; one that wants a token says where it is given."""
    if kind_of(problem) == "token-required" and base is not None and shown_token() is None:
        return CommandError(
            f"the relay at {base} needs a token: set SFM_TOKEN to it, or SFM_TOKEN_FILE to its "
            "file; an admin creates one with: seismo-relay token create",
            REFUSED,
            problem,
        )
    return failure(problem)


def _note(sentence: str) -> None:
    err.print(safe_text(sentence), soft_wrap=True)
