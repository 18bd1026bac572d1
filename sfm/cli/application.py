"""What every command uses: the app, its consoles and parameters, how a command ends."""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, get_args

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    Token,
    convert,
)
from cyclopts.validators import Number
from rich.console import RenderableType
from rich.text import Text

from sfm.cli import views
from sfm.cli.consoles import AnyConsole
from sfm.cli.exits import (
    FAILED,
    KIND_OF_STATUS,
    MISUSED,
    PARTIAL,
    TYPE_PREFIX,
    UNKNOWN,
    status_of,
)
from sfm.cli.measures import UnitsName
from sfm.cli.views import safe_text
from sfm.errors import SfmError

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

__all__ = [
    "FAILED",
    "MISUSED",
    "PARTIAL",
    "UNKNOWN",
    "CommandError",
    "Force",
    "Json",
    "PortNumber",
    "Unit",
    "advance",
    "app",
    "check_units",
    "err",
    "failure",
    "handles_errors",
    "out",
    "print_body",
    "print_done",
    "print_json",
    "print_note",
    "print_view",
    "progress_bar",
    "relay_client",
    "shown_token",
]

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
TOKEN_VARIABLE, TOKEN_FILE_VARIABLE = "SFM_TOKEN", "SFM_TOKEN_FILE"
"""Environment variables with the token that is shown to a relay, or with the file that has it."""

P = ParamSpec("P")


def _version() -> str:
    from importlib.metadata import version

    return version("seismo-relay")


def _missing(error: CycloptsError) -> str | None:
    """Return which argument is not there, as the usage line of the help calls it."""
    if not isinstance(error, MissingArgumentError) or error.argument is None or error.keyword:
        return None  # an option without its value, or another mistake
    if error.argument.field_info.is_keyword_only or error.target is None:
        return f"{error.argument.name} is missing."
    parameters = inspect.signature(error.target).parameters.values()
    wanted = [
        one.name.strip("_").upper()
        for one in parameters
        if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty
    ]
    command = " ".join(("seismo-relay", *(error.command_chain or ()), *wanted))
    name = str(error.argument.field_info.name).strip("_").upper()
    return f"{name} is missing; expected: {command}."


def _usage_line(error: CycloptsError) -> RenderableType:
    """Return what is wrong with a command line; with ``--json`` print it as a problem document."""
    sentence = _missing(error) or " ".join(str(error).split())
    # The help lists the commands; these would come in whatever order they were imported.
    sentence = sentence.partition(" Available commands:")[0]
    if "--json" in (error.root_input_tokens or ()):
        print_json(_problem(sentence, MISUSED))
    chain = " ".join(("seismo-relay", *(error.command_chain or ())))
    if sentence.startswith("expected a") and isinstance(error, CoercionError) and error.argument:
        name = str(error.argument.field_info.name).upper()  # no option: those are named already
        sentence = f"Invalid value for {name}: {sentence}"
    end = "" if sentence.endswith((".", "?")) else "."
    return Text(views.plain(f"{sentence}{end} See: {chain} --help"))


def _converted(type_: Any, tokens: Sequence[Token]) -> Any:
    """
    Convert the words of one parameter; a number must be finite, and a whole one must be whole.

    Cyclopts rounds: without this, ``waveform UNIT 1.5`` showed event 2. JSON has no NaN.

    Raises:
        ValueError: a word is no such number.
    """
    kinds = get_args(type_) or (type_,)  # a number that may be removed is `float | str`
    for token in tokens:
        if int in kinds and not WHOLE_NUMBER.fullmatch(token.value):
            raise ValueError(f"expected a whole number, got {token.value!r}")
        if float in kinds and not (token.value == "" and len(kinds) > 1):
            _check_finite(token.value)
    return convert(type_, tokens)


def _check_finite(word: str) -> None:
    try:
        is_finite = math.isfinite(float(word))
    except ValueError:
        is_finite = False
    if not is_finite:
        raise ValueError(f"expected a number, got {word!r}")


out = AnyConsole()
err = AnyConsole(stderr=True)
_help_console = AnyConsole()
_help_console.pipe_columns = 100  # its boxes are as wide as there is room

app = App(
    name="seismo-relay",
    help="Read Instantel MiniMate Plus seismographs, and serve them from a live cache. "
    "`--config FILE`, with any command, names the settings file.",
    version=_version,
    default_parameter=Parameter(converter=_converted),
    error_formatter=_usage_line,
    # Ctrl-C is answered by ``sfm.cli.main``, wherever it arrives.
    suppress_keyboard_interrupt=False,
    console=_help_console,
    error_console=err,
)

Unit = Annotated[
    str,
    Parameter(
        help="Name of a location, serial number, tcp://HOST:PORT, /dev/ttyUSB0, serial:PORT:BAUD, "
        "HOST:PORT"
    ),
]
Force = Annotated[bool, Parameter(help="Go to the device, whatever a cache holds.", negative=())]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for machines.", negative=())]
PortNumber = Annotated[int, Parameter(validator=Number(gte=0, lte=65535))]


class CommandError(SfmError):
    """
    A message for the person at the terminal, and an exit status.

    Args:
        message: what happened, which unit, what to do next.
        status: of ``sfm.cli.exits``.
        problem: the problem document that the relay answered with, if it is one.
        is_answered: standard output has the answer already, so that ``--json`` adds nothing to it.
    """

    def __init__(
        self,
        message: RenderableType,
        status: int = FAILED,
        problem: Mapping[str, Any] | None = None,
        *,
        is_answered: bool = False,
    ) -> None:
        super().__init__(str(message))
        self.message = message
        self.status = status
        self.problem = problem or {}
        self.is_answered = is_answered


def failure(problem: Mapping[str, Any]) -> CommandError:
    """Return the error of a problem document."""
    return CommandError(views.problem_view(problem), status_of(problem), problem)


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


def relay_client(base: str) -> httpx.AsyncClient:
    """Return a client of the relay at ``base``, with the token of this terminal if there is one."""
    import httpx

    timeout = httpx.Timeout(None, connect=10.0)
    secret = shown_token()
    headers = {"Authorization": f"Bearer {secret}"} if secret else None
    return httpx.AsyncClient(base_url=base, timeout=timeout, headers=headers)


def progress_bar() -> Progress:
    """Return a bar on standard error that vanishes when done; its tasks carry a ``figure``."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figure]}", table_column=Column(no_wrap=False)),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True)
    add_task = bar.add_task
    bar.add_task = lambda *args, **more: add_task(*args, **{"figure": "", **more})  # type: ignore[method-assign]
    return bar


def advance(bar: Progress, task: Any, what: str, done: float, total: float | None) -> None:
    """Move a task of the bar to where a read is."""
    whole = views.counted(done if total is None else total, what)
    figure = whole if total is None else f"{done:,} of {whole}"
    bar.update(task, completed=done, total=total, figure=figure)


def check_units(units: UnitsName | None, *, as_json: bool) -> None:
    """
    Refuse units of measure for JSON.

    Raises:
        CommandError: both were asked for.
    """
    if units is not None and as_json:
        raise CommandError(
            "--units is for people: with --json every name ends in its unit of measure", MISUSED
        )


def print_json(body: Any) -> None:
    """Print a JSON document on standard output."""
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


def print_note(sentence: str) -> None:
    """Print a sentence for people on standard error."""
    err.print(safe_text(sentence), soft_wrap=True)


def print_done(body: Any, sentence: str, as_json: bool) -> None:
    """Print the answer to a change: the document, or what was done in a sentence."""
    if as_json:
        print_json(body)
    else:
        print_note(sentence)


def print_view(
    body: Any, view: Callable[[Any], RenderableType], as_json: bool, *, soft_wrap: bool = False
) -> None:
    """Print an answer that comes from no unit, as JSON or as its view."""
    if as_json:
        print_json(body)
    else:
        out.print(view(body), soft_wrap=soft_wrap)


def print_body(body: dict[str, Any], view: Callable[[Any], RenderableType], as_json: bool) -> None:
    """Print an answer as JSON, or as its view and where it comes from."""
    if as_json:
        print_json(body)
    else:
        views.show(out, view(body), body)


def handles_errors(body: Callable[P, Coroutine[Any, Any, None] | None]) -> Callable[P, None]:
    """
    Return ``body`` as a command: every expected error becomes a message and an exit status.

    A coroutine function runs in an event loop of its own. A plain function does too, so that Ctrl-C
    has the same effect on both. With ``as_json`` an error is a problem document on standard output.
    """

    @functools.wraps(body)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        import asyncio

        try:
            asyncio.run(_awaited(body, *args, **kwargs))
        except Exception as error:
            ending = _ending_of(error)
            if ending is None:
                raise
            _report(ending, as_json=bool(kwargs.get("as_json")))
            raise SystemExit(ending.status) from error

    return command


async def _awaited(
    body: Callable[P, Coroutine[Any, Any, None] | None], *args: P.args, **kwargs: P.kwargs
) -> None:
    running = body(*args, **kwargs)
    if running is not None:
        await running


def _ending_of(error: Exception) -> CommandError | None:
    """Return how a command ends that met ``error``; ``None``: nobody expected it."""
    if isinstance(error, CommandError):
        return error
    from sfm.cli import endings  # what can fail was imported by the command, so this costs little

    return endings.ending_of(error)


def _problem(sentence: str, status: int) -> dict[str, Any]:
    kind = KIND_OF_STATUS[status]
    title = kind.replace("-", " ").capitalize()
    return {
        "type": TYPE_PREFIX + kind,
        "title": title,
        "detail": sentence,
        "exit_status": status,
    }


def _report(ending: CommandError, *, as_json: bool) -> None:
    """Say how a command ended: a line for people, or a problem document."""
    message = ending.message
    if as_json and not ending.is_answered:
        problem = ending.problem or _problem(str(message), ending.status)
        print_json({**problem, "exit_status": ending.status})
        return
    if "sfm.logs" in sys.modules:  # what was not imported was not configured
        from sfm.logs import log_is_json

        if log_is_json():
            import structlog

            structlog.get_logger(__name__).error(str(message), exit_status=ending.status)
            return
    err.print(safe_text(message) if isinstance(message, str) else message, soft_wrap=True)
