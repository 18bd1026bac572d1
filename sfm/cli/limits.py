"""
Commands for limits: which curves there are, what they allow, who confirmed them, which count where.

``list``, ``show`` and ``at`` need no relay: they read this program's curves, and the database for
those of projects and for confirmations. The others change the database, or with ``--relay`` that
of a relay, as the commands of the roster do.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from sfm.cli.application import (
    MISUSED,
    CommandError,
    Json,
    app,
    err,
    handles_errors,
    print_done,
    print_note,
    print_view,
)
from sfm.cli.database import database_url, relay_before
from sfm.cli.exits import REFUSED
from sfm.cli.limit_views import choice_of, choices_view, curve_view, curves_view, value_view
from sfm.cli.roster import ask_roster, row_path
from sfm.cli.routing import DATABASE_DEFAULTS, RELAY_VARIABLE, DatabaseOptions
from sfm.cli.views import safe_text

if TYPE_CHECKING:
    from sfm.analysis.limits import Catalogue, Curve

__all__ = [
    "add",
    "choose",
    "chosen",
    "confirm",
    "limits",
    "list_",
    "remove",
    "show",
    "unchoose",
    "value_at",
    "withdraw",
]

limits = App(
    name="limits",
    help="List limit curves, show what one allows at a frequency, choose those that judge.",
)
app.command(limits)

Name = Annotated[str, Parameter(help="The curve's name, as `limits list` prints it.")]


def _is_certain(name: str) -> bool:
    """Whether no database can have a say in a curve: the program's own, and not disputed."""
    from sfm.analysis.limits import Catalogue, Withheld

    known = Catalogue()
    if name not in known.names:
        return False
    curve = known.get(name)
    return isinstance(curve, Withheld) or curve.mark != "disputed"


def _relay_of(name: str | None, at: DatabaseOptions) -> str | None:
    """Return the relay to ask of a curve; none is looked for where its answer is certain."""
    is_named = at.relay is not None or bool(os.environ.get(RELAY_VARIABLE))
    if not is_named and name is not None and _is_certain(name):
        return None
    return relay_before(at.database, at)


def _catalogue(name: str | None, database: str | None) -> Catalogue:
    """
    Return the curves; the database is opened only for what it may have a say in.

    Opened to be read: a relay may use it meanwhile.
    """
    from sfm.analysis.limits import Catalogue
    from sfm.store import Store, StoreError
    from sfm.store import limits as stored
    from sfm.store.engine import read_url

    if name is not None and _is_certain(name):
        return Catalogue()
    try:
        url = database_url(database)
        file = read_url(url)
        if file.get_backend_name() == "sqlite" and not Path(str(file.database)).exists():
            return Catalogue()  # nothing was ever added to it
        with Store.open(url, read_only=True) as store:
            return store.read(stored.load).catalogue
    except StoreError as error:
        if database is not None:
            raise
        err.print(safe_text(f"Without curves of projects and confirmations: {error}"))
        return Catalogue()


def _path(curve: str) -> str:
    from sfm.analysis.limits import UnknownCurveError

    return row_path("limits", curve, str(UnknownCurveError(curve)))


async def _asked(relay: str, at: DatabaseOptions, path: str, query: dict[str, Any]) -> Any:
    return await ask_roster(replace(at, relay=relay), "GET", path, query=query)


@limits.command(name="list")
@handles_errors
async def list_(
    *,
    region: str | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    List every curve, with its mark and whether it may be used.

    Parameters
    ----------
    region
        Only those of a region, as US, DE or FR.
    """
    from sfm.analysis.limits.answers import listed

    if (relay := _relay_of(None, at)) is not None:
        query = {} if region is None else {"region": region}
        body = await _asked(relay, at, "/limits", query)
    else:
        body = {"curves": listed(_catalogue(None, at.database), region)}
    print_view(body, lambda body: curves_view(body["curves"]), as_json)


@limits.command
@handles_errors
async def show(
    curve: Name,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """Show a curve: its values, what it applies to, its mark and sources."""
    from sfm.analysis.limits import UnknownCurveError
    from sfm.analysis.limits.answers import curve_payload

    if (relay := _relay_of(curve, at)) is not None:
        body = await _asked(relay, at, _path(curve), {})
    else:
        try:
            body = curve_payload(_catalogue(curve, at.database), curve)
        except UnknownCurveError as error:
            raise CommandError(str(error), REFUSED) from error
    print_view(body, curve_view, as_json)


@limits.command(name="at")
@handles_errors
async def value_at(
    curve: Name,
    where: Annotated[
        str,
        Parameter(name="HZ", help="Frequency in Hz; of a table its key, such as a distance in ft."),
    ],
    *,
    parameter: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="NAME=VALUE, what the curve needs beside it."),
    ] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """Print what a curve allows, in its own unit of measure, or why it has no value there."""
    from sfm.analysis.limits import UnknownCurveError
    from sfm.analysis.limits.answers import value_payload

    given = _given(parameter or [])
    if (relay := _relay_of(curve, at)) is not None:
        query = {"where": where, "set": [f"{name}={value}" for name, value in given.items()]}
        body = await _asked(relay, at, f"{_path(curve)}/value", query)
    else:
        try:
            body = value_payload(_catalogue(curve, at.database), curve, where, given)
        except UnknownCurveError as error:
            raise CommandError(str(error), REFUSED) from error
        except ValueError as error:
            raise CommandError(str(error), MISUSED) from error
    print_view(body, value_view, as_json, soft_wrap=True)


def _given(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise CommandError(f"--set takes NAME=VALUE, not {word!r}", MISUSED)
        found[name] = value
    return found


# --- curves of projects, confirmations -----------------------------------------------------------


@limits.command
@handles_errors
async def add(
    file: Path,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Add a curve of a project from a YAML or JSON file (docs/reference/limits.md has an example).

    Parameters
    ----------
    file
        With id, title, unit, applies_to, shape, source, author and date.
    """
    curve = _curve_of(file)
    body = await ask_roster(at, "POST", "/limits", dict(curve.entry))
    print_done(
        body, f"Curve {curve.id} is there, written by {curve.author} on {curve.date}.", as_json
    )


def _curve_of(file: Path) -> Curve:
    from sfm.analysis.limits import Catalogue, LimitsError, parse_own, read_yaml

    try:
        return parse_own(read_yaml(file.read_text("utf-8")), Catalogue().names)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", MISUSED) from error
    except LimitsError as error:
        raise CommandError(f"{file}: {error}", MISUSED) from error


@limits.command
@handles_errors
async def remove(
    curve: Name,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
) -> None:
    """Remove a curve of a project that was added by mistake and is chosen nowhere."""
    await ask_roster(at, "DELETE", _path(curve))
    print_note(f"Curve {curve} is removed.")


@limits.command
@handles_errors
async def confirm(
    curve: Name,
    *,
    by: str,
    on: str | None = None,
    reason: str | None = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Switch a disputed curve on: a named person answers for its present content.

    Parameters
    ----------
    by
        The person.
    on
        The date; today if not given.
    reason
        What convinced the person, such as the page that was read.
    """
    given = {"by": by, "on": on, "reason": reason}
    body = await ask_roster(
        at,
        "PUT",
        f"{_path(curve)}/confirmation",
        {name: value for name, value in given.items() if value is not None},
    )
    on = body["confirmed"]["on"]
    print_done(body, f"Curve {curve} is confirmed by {by} on {on} and may be used.", as_json)


@limits.command
@handles_errors
async def withdraw(
    curve: Name,
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
) -> None:
    """Withdraw the confirmation of a disputed curve; it is off again."""
    await ask_roster(at, "DELETE", f"{_path(curve)}/confirmation")
    print_note(f"Curve {curve} is off again.")


# --- choices -------------------------------------------------------------------------------------

Location = Annotated[str | None, Parameter(help="Of this location.")]
Project = Annotated[str | None, Parameter(help="Of all locations of this project.")]


@limits.command
@handles_errors
async def choose(
    *curves: Annotated[str, Parameter(help="Names of curves, as `limits list` prints them.")],
    location: Location = None,
    project: Project = None,
    results: Annotated[
        Literal["vendor", "refined"], Parameter(help="Which figures are judged.")
    ] = "vendor",
    parameter: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="NAME=VALUE, what the curves need."),
    ] = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """Choose the curves of a location, of a project, or with neither of all units."""
    if not curves:
        raise CommandError("name one curve or more; `limits list` has them", MISUSED)
    parameters = {name: _number_or(value) for name, value in _given(parameter or []).items()}
    given = {"location": location, "project": project}
    body = {
        **{name: value for name, value in given.items() if value is not None},
        "curves": list(curves),
        "results": results,
        "parameters": parameters,
    }
    found = await ask_roster(at, "PUT", "/limit-choices", body)
    print_done(
        found,
        f"Judged {choice_of(found)}: {', '.join(found['curves'])}, {results} figures.",
        as_json,
    )


@limits.command
@handles_errors
async def unchoose(
    *,
    location: Location = None,
    project: Project = None,
    at: DatabaseOptions = DATABASE_DEFAULTS,
) -> None:
    """Remove what is chosen for a location, a project, or with neither for all units."""
    given = {"location": location, "project": project}
    query = {name: value for name, value in given.items() if value is not None}
    await ask_roster(at, "DELETE", "/limit-choices", query=query)
    print_note("Removed; the next wider choice counts.")


@limits.command
@handles_errors
async def chosen(
    *,
    at: DatabaseOptions = DATABASE_DEFAULTS,
    as_json: Json = False,
) -> None:
    """List which curves count where."""
    body = await ask_roster(at, "GET", "/limit-choices")
    print_view(body, choices_view, as_json)


def _number_or(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
