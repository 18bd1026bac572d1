"""What every command uses: the app, its consoles and parameters, how a command ends."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import httpx
from cyclopts import App, Parameter
from cyclopts.validators import Number
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minimateplus.errors import MiniMateError
from minimateplus.link import Address, parse_address
from minimateplus.model import Progress as Step
from sfm.access.names import parse_unit
from sfm.cli import views
from sfm.cli.views import safe_text
from sfm.errors import SfmError
from sfm.server import CertificateError, PortTakenError
from sfm.store import StoreError

__all__ = [
    "DEFAULT_RELAY",
    "FAILED",
    "MISUSED",
    "PARTIAL",
    "UNKNOWN",
    "CommandError",
    "Force",
    "Json",
    "PortNumber",
    "Relay",
    "Unit",
    "advance",
    "app",
    "err",
    "failure",
    "handles_errors",
    "main",
    "out",
    "print_body",
    "progress_bar",
    "relay_client",
    "shown_token",
    "where",
]

DEFAULT_RELAY = "http://127.0.0.1:8200"
FAILED, MISUSED, UNKNOWN, PARTIAL, INTERRUPTED = 1, 2, 5, 7, 130
TOKEN_VARIABLE, TOKEN_FILE_VARIABLE = "SFM_TOKEN", "SFM_TOKEN_FILE"
"""Environment variables with the token that is shown to a relay, or with the file that has it."""

P = ParamSpec("P")

app = App(
    name="seismo-relay",
    help="Read Instantel MiniMate Plus seismographs, and serve them from a live cache.",
    version=version("seismo-relay"),
)
out = Console()
err = Console(stderr=True)

Unit = Annotated[
    str,
    Parameter(
        help="Name of a location, serial number, tcp://HOST:PORT, /dev/ttyUSB0, serial:PORT:BAUD, "
        "HOST:PORT"
    ),
]
Relay = Annotated[str | None, Parameter(help=f"Ask through this relay [default: {DEFAULT_RELAY}].")]
Force = Annotated[bool, Parameter(help="Go to the device, whatever a cache holds.", negative=())]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.", negative=())]
PortNumber = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]


class CommandError(SfmError):
    """A message for the person at the terminal, and an exit status."""

    def __init__(
        self,
        message: RenderableType,
        status: int = FAILED,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(str(message))
        self.message = message
        self.status = status
        self.problem = problem or {}
        """The problem document that the relay answered with, if it is one."""


def failure(problem: Mapping[str, Any]) -> CommandError:
    """Return the error of a problem document; what is unknown has an exit status of its own."""
    status = UNKNOWN if problem.get("outcome") == "unknown" else FAILED
    return CommandError(views.problem_view(problem), status, problem)


def shown_token(file: Path | None = None) -> str | None:
    """
    Return the token to show to a relay: from ``file``, ``SFM_TOKEN`` or the ``SFM_TOKEN_FILE``.

    Never from an argument: the process list shows those to every user of the machine.

    Raises:
        CommandError: the file cannot be read, or has no token.
    """
    named = os.environ.get(TOKEN_FILE_VARIABLE)
    if file is None and (secret := os.environ.get(TOKEN_VARIABLE)):
        return secret
    if file is None and not named:
        return None
    path = file or Path(named or "")
    try:
        words = path.read_text("ascii").split()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it holds something else than a token"
        raise CommandError(f"the token file {path} cannot be read: {reason}", MISUSED) from error
    if len(words) != 1:
        raise CommandError(f"{path}: expected one token and nothing else in the file", MISUSED)
    return words[0]


def where(unit: str, relay: str | None) -> tuple[str | None, Address | str]:
    """
    Return the relay to ask, ``None`` for the unit itself, and the unit's address, name or number.

    A word is a name or serial number of the relay's roster first, then a host name.
    """
    try:
        return relay, parse_address(unit)
    except ValueError:
        pass
    try:
        return relay or DEFAULT_RELAY, parse_unit(unit)
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from None


def relay_client(base: str) -> httpx.AsyncClient:
    """Return a client of the relay at ``base``, with the token of this terminal if there is one."""
    timeout = httpx.Timeout(None, connect=10.0)
    secret = shown_token()
    headers = {"Authorization": f"Bearer {secret}"} if secret else None
    return httpx.AsyncClient(base_url=base, timeout=timeout, headers=headers)


def progress_bar() -> Progress:
    """Return a bar on standard error that vanishes when done; its tasks carry a ``figure``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figure]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True)
    add_task = bar.add_task
    bar.add_task = lambda *args, **more: add_task(*args, **{"figure": "", **more})  # type: ignore[method-assign]
    return bar


def advance(bar: Progress, task: Any, step: Step) -> None:
    """Move a task of the bar to where a read is."""
    of = "" if step.total is None else f" of {step.total:,}"
    bar.update(task, completed=step.done, total=step.total, figure=f"{step.done:,}{of} {step.what}")


def print_body(body: dict[str, Any], view: Callable[[Any], RenderableType], as_json: bool) -> None:
    """Print an answer as JSON, or as its view and where it comes from."""
    if as_json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        views.show(out, view(body), body)


def handles_errors(body: Callable[P, Coroutine[Any, Any, None] | None]) -> Callable[P, None]:
    """
    Return ``body`` as a command: every expected error becomes a message and an exit status.

    A coroutine function runs in an event loop of its own. A plain function does too, so that Ctrl-C
    has the same effect on both.
    """

    @functools.wraps(body)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        _run(_awaited(body, *args, **kwargs))

    return command


async def _awaited(
    body: Callable[P, Coroutine[Any, Any, None] | None], *args: P.args, **kwargs: P.kwargs
) -> None:
    running = body(*args, **kwargs)
    if running is not None:
        await running


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(main)
    except CommandError as error:
        message = error.message
        err.print(safe_text(message) if isinstance(message, str) else message, soft_wrap=True)
        raise SystemExit(error.status) from error
    except (MiniMateError, PortTakenError, CertificateError, StoreError) as error:
        err.print(safe_text(str(error)), soft_wrap=True)
        raise SystemExit(FAILED) from error
    except ValidationError as error:
        for one in error.errors():
            err.print(safe_text(_setting_fault(one)), soft_wrap=True)
        raise SystemExit(MISUSED) from None
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = "a setting" if found is None else f"SFM_{found[1].upper()}"
        err.print(safe_text(f"{name}: the value is not JSON; see `serve --help`"), soft_wrap=True)
        raise SystemExit(MISUSED) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _setting_fault(fault: Mapping[str, Any]) -> str:
    """Return a line that names a setting and says what is wrong with it."""
    first, *rest = (str(part) for part in fault["loc"] or ("settings",))
    place = "".join(f", {part}" for part in rest)
    return f"SFM_{first.upper()}{place}: {fault['msg'].removeprefix('Value error, ')}"


def main() -> None:
    """
    Run the command line.

    A reader who has seen enough (``| head``) ends it without a word. Not by the signal that the
    system has for it: that would end a relay, or a command to a unit, when a client disconnects.
    """
    try:
        try:
            app()
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        # What is left in the buffer has no reader either, and would be complained of at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None
