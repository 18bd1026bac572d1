from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from kit.api_page import api_page
from pydantic import BaseModel

from minimateplus.errors import (
    ConnectError,
    LinkClosedError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.link.diagnosis import SIGNATURES, Diagnosis
from sfm.api.middleware.authentication import REFUSALS
from sfm.api.problems import CUT, INTERNAL, INVALID, PROBLEMS, Problem, problem_of
from sfm.api.routes.accounts import AuditQuery
from sfm.api.routes.device import NOT_READY
from sfm.api.schemas import analysis, commands, exports, limits, reading, reports, roster
from sfm.devices.commands import Outcome
from sfm.http_protocol import TOO_MANY_CONNECTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "http.md").read_text()
PROMISE = (ROOT / "docs" / "explanation" / "promise.md").read_text()


def section(title: str) -> str:
    """The text under one heading, up to the next of its rank."""
    return re.split(r"^## ", PAGE.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def rows(title: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by every name that the first cell holds."""
    found: dict[str, list[str]] = {}
    for line in section(title).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`([\w-]+)`", cells[0]) if line.startswith("| `") else ():
            found[name] = cells
    return found


def operations() -> dict[str, dict[str, Any]]:
    paths = api_page()["paths"]
    return {
        f"{method.upper()} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_route_has_its_heading_and_no_heading_is_without_a_route() -> None:
    headings = re.findall(r"^### `(.+)`$", section("Routes"), re.MULTILINE)
    assert sorted(headings) == sorted(operations())


UNIT = "Which unit, and how fresh"
TABLES: dict[str, tuple[type[BaseModel], ...]] = {
    UNIT: (
        reading.EventsQuery,
        analysis.DeviceAnalysisQuery,
        exports.DeviceExportQuery,
        reports.DeviceReportQuery,
    ),
    "The archive": (
        reading.ArchiveQuery,
        analysis.ArchivedAnalysisQuery,
        exports.ArchivedExportQuery,
        reports.ReportQuery,
    ),
    "The audit log": (AuditQuery,),
    "The roster": (roster.RouteQuery, roster.ZoneQuery),
    "Limit curves": (limits.LimitsQuery, limits.ValueQuery, limits.ScopeQuery),
    "Commands": (
        commands.FetchQuery,
        commands.StartQuery,
        commands.StopQuery,
        commands.WriteQuery,
    ),
}


def documented_words(route: str) -> dict[str, list[str]]:
    """The rows that describe the query parameters of a route."""
    if "/archive/" in route:
        return rows("The archive")
    if re.search(r" /(units|locations|routes|zones)", route):
        return rows("The roster")
    if re.search(r" /limit", route):
        return rows("Limit curves")
    if "/audit" in route:
        return rows("The audit log")
    return rows(UNIT) | (rows("Commands") if route.startswith("POST") else {})


def test_every_query_parameter_has_its_row_with_its_default() -> None:
    for route, operation in operations().items():
        documented = documented_words(route)
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query":
                default = parameter["schema"].get("default")
                expected = "" if default is None else str(default).lower()
                assert documented[parameter["name"]][1].strip("`") == expected


@pytest.mark.parametrize("title", TABLES)
def test_no_parameter_is_described_that_no_route_takes(title: str) -> None:
    taken = {name for model in TABLES[title] for name in model.model_fields}
    of_unit = set(reading.DeviceQuery.model_fields) if title != UNIT else set()
    outcomes = set(get_args(Outcome)) - taken  # dry_run is an outcome and a parameter
    assert set(rows(title)) - outcomes == taken - of_unit


def test_every_outcome_of_a_command_has_its_row() -> None:
    assert set(get_args(Outcome)) <= set(rows("Commands"))


@pytest.mark.parametrize(
    ("route", "model"),
    [
        ("POST /device/config", commands.ConfigIn),
        ("POST /device/call_home", commands.CallHomeIn),
        ("POST /device/events/erase", commands.EraseIn),
        ("POST /device/rescue", commands.RescueIn),
    ],
)
def test_every_field_of_a_body_is_described(route: str, model: type[BaseModel]) -> None:
    documented = re.split(
        r"^### ", section("Routes").split(f"### `{route}`")[1], flags=re.MULTILINE
    )[0]
    assert set(model.model_fields) <= set(re.findall(r"`(\w+)`", documented))


ALL = {*PROBLEMS.values(), *REFUSALS, CUT, TOO_MANY_CONNECTIONS, INTERNAL, INVALID, NOT_READY}
KNOWN = sorted(ALL, key=lambda problem: problem.kind)


@pytest.mark.parametrize("problem", KNOWN, ids=lambda p: p.kind)
def test_every_problem_has_its_row_with_its_status(problem: Problem) -> None:
    cells = rows("Errors")[problem.kind]
    assert str(problem.status) in cells[1].split(", ")
    assert ("`Retry-After`" in cells[2]) == (problem.retry_after_s is not None)


def test_no_problem_is_described_that_cannot_occur() -> None:
    kinds = {problem.kind for problem in KNOWN}
    assert set(rows("Errors")) == kinds | {"not-found", "method-not-allowed"}


def test_every_fact_of_the_provenance_has_its_row() -> None:
    assert set(reading.ProvenanceOut.model_fields) <= set(rows("Where an answer comes from"))


def test_every_test_that_the_promise_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PROMISE)
    assert len(named) > 20
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named:
        assert f"def {test}(" in sources[file], f"{file}::{test}"


def test_the_promise_has_its_fourteen_lines() -> None:
    numbers = re.findall(r"^## (\d+)\. ", PROMISE, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 15)]


def test_every_diagnosis_has_its_row_with_what_a_person_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "minimateplus" / "link"))
    import test_wrong_ends

    page = (ROOT / "docs" / "reference" / "line-faults.md").read_text()
    documented = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \|$", page, re.MULTILINE))
    assert documented == {
        name: row_of(found, test_wrong_ends.CASES.values(), test_wrong_ends.EXIT_STATUS)
        for name, found in SIGNATURES.items()
    }


def row_of(found: Diagnosis, cases: Iterable[Any], exit_status: int) -> str:
    """The cells of a diagnosis; its program and status are those of the cases that end in it."""
    classes = {"refused": ConnectError, "lost": LinkClosedError, "silent": ReplyTimeoutError}
    error = classes.get(found.class_, RemoteProtocolError)
    mine = [case for case in cases if case.diagnosis == found.name]
    [status] = {problem_of(error("")).status, *(case.status for case in mine)}
    programs = "; ".join(case.program for case in mine) or "-"
    return f"{found.sentence} | {found.advice} | {programs} | {status} | {exit_status}"


def test_the_web_app_advises_only_on_problems_that_exist() -> None:
    words = (ROOT / "webapp" / "src" / "words.ts").read_text()
    advice = words.split("    next: {\n")[1].split("\n    }")[0]
    named = set(re.findall(r'^      "?([\w-]+)"?:', advice, re.MULTILINE))
    assert len(named) > 20
    assert named - {"relay-gone"} <= {problem.kind for problem in KNOWN}


def test_the_web_app_has_words_for_every_outcome_of_a_command() -> None:
    words = (ROOT / "webapp" / "src" / "words.ts").read_text()
    outcomes = words.split("    outcomes: {\n")[1].split("\n    }")[0]
    assert set(re.findall(r"^      (\w+):", outcomes, re.MULTILINE)) == set(get_args(Outcome))
