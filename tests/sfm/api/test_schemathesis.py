"""
The running API against its own page, from outside, as each role.

Schemathesis makes requests out of the page, right ones and wrong ones; the relay behind it is that
of production, with a simulated unit and a database in memory. Each answer must be one that the page
tells: its status, its content type, its body, and nothing that the page does not tell.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from kit.access_world import LOCAL, ProtectedApp, answer_of, ended_operation, protected_app_of
from kit.api_page import api_page
from kit.relay_world import HERE, FieldUnit, World
from kit.virtual_time import VirtualTimeLoop
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from sfm.access.principal import LOCAL as LOCAL_PRINCIPAL
from sfm.access.principal import Role
from sfm.api.rules import RULES
from sfm.devices.gateway import Gateway
from sfm.store import Wanted, archive, tokens
from sfm.store.tokens import number_of

Case = schemathesis.Case[Any]

UNIT = {"host": "unit.invalid", "tcp_port": 12345}
EXAMPLES = {None: 4, Role.VIEWER: 6, Role.OPERATOR: 6, Role.ADMIN: 12, "local": 16}
"""Requests to each route by each role; every second is aimed at the unit that is there."""
CHECKS: list[CheckFunction] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
FIRST: dict[str, Any] = {"id": 1, "index": 0, "name": "North face"}
"""A token, a slot and a location; a recording is aimed at by its id, a unit by its number."""
ADDED_UNIT, ADDED_ADDRESS = "BE99999", "10.0.0.7"
ROSTER = ("/units", "/locations", "/routes", "/zones")
LIMITS = ("/limits", "/limit-choices")
DISPUTED = "osmre-figure-1"
OPEN = [f"{method} {path}" for (method, path), role in RULES.items() if role is None]


CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            "negative_data_rejection": {
                "expected-statuses": [401, 403, 404, 405, 409, 413, 414, 422, 429, 431]
            }
        }
    }
)


def strict(page: dict[str, Any]) -> dict[str, Any]:
    """The page, where an answer holds what it tells and nothing else."""
    page = copy.deepcopy(page)
    for name, known in page["components"]["schemas"].items():
        # Of a problem the facts beside its sentence depend on its kind.
        if "properties" in known and name != "ProblemOut":
            known.setdefault("additionalProperties", False)
    return page


PAGE = schemathesis.openapi.from_dict(strict(api_page()), config=CONFIG)
OPERATIONS: dict[str, schemathesis.APIOperation[Any, Any, Any, Any]] = {
    found.ok().label: found.ok()  # type: ignore[union-attr]  # a page with a fault fails here
    for found in PAGE.get_all_operations()
}


@dataclass
class Scanned:
    """A relay that somebody of one role asks."""

    runner: asyncio.Runner
    protected: ProtectedApp
    unit: FieldUnit
    who: Role | str | None
    session_secret: str
    operation_id: str
    secret: str | None = None
    made: int = 0

    def ask(self, request: requests.PreparedRequest) -> schemathesis.Response:
        """Send a request as its sender would write it, and return what the relay answers."""
        assert request.url is not None
        assert request.method is not None
        url = urlsplit(request.url)
        body = request.body or b""
        assert isinstance(body, bytes | str)
        headers = {"host": "10.0.0.1:8200", **request.headers}
        how: dict[str, Any] = {}
        if self.who == "local":
            how = {name: LOCAL[name] for name in ("server", "peer")}
            headers["host"] = LOCAL["host"]
        elif self.who is not None:
            headers["authorization"] = f"Bearer {self._good_secret()}"
        answer = self.runner.run(
            answer_of(
                self.protected.app,
                request.method,
                unquote(url.path),
                url.query.encode(),
                [(k.lower().encode(), str(v).encode("latin-1")) for k, v in headers.items()],
                body=body.encode() if isinstance(body, str) else body,
                **how,
            )
        )
        answer_headers = {name: answer.headers.get_list(name) for name in answer.headers}
        return schemathesis.Response(
            answer.status_code, answer_headers, answer.content, request, 0.0, False
        )

    def record(self, count: int) -> None:
        async def record() -> None:
            self.unit.record(count)

        self.runner.run(record())

    def aimed(self, case: Case) -> Case:
        """The same request to the unit, the operation or the first record that is there."""
        if case.path.startswith(("/device/", "/cache/device")):
            kept = {k: v for k, v in case.query.items() if k not in ("unit", "port", "baud")}
            case.query = {**kept, **UNIT}
        first: dict[str, Any] = {**FIRST, "serial": ADDED_UNIT}
        if case.path.startswith("/archive/recordings"):
            rows = self.protected.store.read(archive.load_page, Wanted(), limit=50).rows
            rows.sort(key=lambda row: -row["waveforms"])
            first["id"] = rows[0]["id"][:12] if rows else "0" * 8
        if "/operations/" in case.path:
            first["id"] = self.operation_id
        case.path_parameters |= {name: first[name] for name in case.path_parameters}
        return case

    def ask_directly(self, method: str, path: str, body: dict[str, Any]) -> int:
        """Send a request from this machine; return the status of the answer."""
        headers = [(b"host", LOCAL["host"].encode()), (b"content-type", b"application/json")]
        how = {name: LOCAL[name] for name in ("server", "peer")}
        asked = answer_of(
            self.protected.app, method, path, b"", headers, body=orjson.dumps(body), **how
        )
        return self.runner.run(asked).status_code

    def add_to_roster(self) -> None:
        """Add what the roster's routes are aimed at, as far as an earlier scan removed it."""
        place = FIRST["name"]
        for path, body in (
            ("/units", {"serial": ADDED_UNIT}),
            ("/locations", {"name": place}),
            ("/routes", {"location": place, "address": ADDED_ADDRESS}),
            ("/zones", {"location": place, "zone": "UTC"}),
        ):
            assert self.ask_directly("POST", path, body) in (200, 201, 409), path

    def roster_case(self, case: Case) -> Case:
        """A request that changes the roster as it is meant to be changed."""
        self.made += 1
        place = FIRST["name"]
        meant: dict[str, tuple[dict[str, Any], Any]] = {
            "POST /units": ({}, {"serial": f"BE{self.made}"}),
            "PATCH /units/{serial}": ({}, {"notes": "on the sill"}),
            "POST /locations": ({}, {"name": f"Place {self.made}"}),
            "PATCH /locations/{name}": ({}, {"project": "Quarry"}),
            "POST /locations/{name}/unit": ({}, {"serial": None}),
            "POST /routes": ({}, {"location": place, "address": f"10.0.1.{self.made % 250}"}),
            "PATCH /routes": ({"address": ADDED_ADDRESS}, {"priority": 1}),
            "DELETE /routes": ({"address": ADDED_ADDRESS}, None),
            "POST /zones": (
                {},
                {
                    "location": place,
                    "zone": "Europe/Oslo",
                    "from_device_time": f"{1900 + self.made}-01-01",
                },
            ),
            "PATCH /zones": ({"location": place}, {"zone": "UTC"}),
            "DELETE /zones": ({"location": place}, None),
        }
        query, body = meant.get(f"{case.method} {case.path}", (case.query, case.body))
        case.query = query
        if body is not None:
            case.body = body
        return case

    def limits_case(self, case: Case) -> Case:
        """A request about limits as it is meant to be."""
        self.made += 1
        own = {
            "title": "Permit 7",
            "unit": "mm/s",
            "applies_to": "each_axis",
            "shape": {"kind": "constant", "value": 5},
            "source": "Permit 7 of the county",
            "author": "Ada",
            "date": "2026-03-01",
        }
        name = f"permit-{self.made}"
        if f"{case.method} {case.path}" == "DELETE /limits/{id}":
            assert self.ask_directly("POST", "/limits", {"id": name, **own}) == 201
        elif case.method == "DELETE":
            confirmed = self.ask_directly("PUT", f"/limits/{DISPUTED}/confirmation", {"by": "Ada"})
            chosen = self.ask_directly("PUT", "/limit-choices", {"curves": ["npc119"]})
            assert (confirmed, chosen) == (200, 200)
        meant: dict[str, tuple[str, dict[str, Any], Any]] = {
            "POST /limits": ("", {}, {"id": name, **own}),
            "GET /limits/{id}": (DISPUTED, {}, None),
            "DELETE /limits/{id}": (name, {}, None),
            "GET /limits/{id}/value": ("sbr-a-2017-cat2", {"where": "10"}, None),
            "PUT /limits/{id}/confirmation": (DISPUTED, {}, {"by": "Ada", "reason": "page 5"}),
            "DELETE /limits/{id}/confirmation": (DISPUTED, {}, None),
            "PUT /limit-choices": ("", {}, {"project": "Quarry", "curves": ["npc119"]}),
            "DELETE /limit-choices": ("", {}, None),
        }
        key = f"{case.method} {case.path}"
        if key in meant:
            curve, case.query, body = meant[key]
            case.path_parameters |= {"id": curve} if "{id}" in case.path else {}
            case.body = case.body if body is None else body
        return case

    def meant(self, case: Case) -> Case:
        """The same with a body that is true of that unit, or opens a session."""
        if case.path.startswith(LIMITS):
            return self.limits_case(case)
        if case.path.startswith(ROSTER):
            return self.aimed(self.roster_case(case))
        rows = self.protected.store.read(archive.load_page, Wanted(), limit=2).rows
        facts: dict[str, Any] = {
            "serial": self.unit.serial,
            "count": len(self.unit.events),
            "discard_unarchived": True,
            "token": self.session_secret,
            "recordings": [row["id"] for row in rows],
            "set": {"distance_m": 182.9},
            "author": "Pat",
        }
        if isinstance(case.body, dict):
            case.body = {name: facts.get(name, value) for name, value in case.body.items()}
            if case.path == "/device/events/erase":
                case.body["discard_unarchived"] = True
        return self.aimed(case)

    def _good_secret(self) -> str:
        """A token of the role; another one when an admin has revoked its own."""
        assert isinstance(self.who, Role)
        known = number_of(self.secret) if self.secret else None
        token = None if known is None else self.protected.store.read(tokens.load, known)
        if token is None or token.revoked_at is not None:
            self.made += 1
            self.secret = self.protected.token(f"the scan's {self.made}", self.who)
        assert self.secret is not None
        return self.secret


@pytest.fixture(scope="module")
def scanned_by() -> Iterator[Callable[[Role | str | None], Scanned]]:
    """Return the relay that is scanned as one role; each role has its own."""
    with ExitStack() as stack:
        yield functools.cache(lambda who: stack.enter_context(scanned(who)))


@contextmanager
def scanned(who: Role | str | None) -> Iterator[Scanned]:
    async def start(stack: AsyncExitStack) -> tuple[ProtectedApp, FieldUnit]:
        world = await stack.enter_async_context(World())
        disk = await world.with_disk(egress=["any"], max_forced_per_minute=10**6)
        unit = world.plug(FieldUnit().record(2))
        opened = protected_app_of(world.gateway, world.settings, disk, real=True)
        # Something is in the cache, the archive and the audit log, in whatever order tests run.
        for index in (0, 1):
            await world.gateway.waveform(HERE, index)
        await opened.app.state.commands.stop_monitoring(HERE, LOCAL_PRINCIPAL)
        return opened, unit

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        stack = AsyncExitStack()
        found, unit = runner.run(start(stack))
        try:
            secret = found.token("a browser's", Role.VIEWER)
            operation = runner.run(ended_operation(found.app, Gateway.conn_key(HERE)))
            yield Scanned(runner, found, unit, who, secret, operation.id)
        finally:
            runner.run(stack.aclose())


@functools.cache
def made_requests(label: str) -> list[tuple[str, Case]]:
    """
    Return the requests to one operation, each with how it is aimed.

    Made once for all roles, which are sent the same ones: most of the scan's time goes into making
    them.
    """
    operation = OPERATIONS[label]
    right, wrong = (
        operation.as_strategy(mode)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    )
    ways = (("as made", right), ("as made", wrong), ("meant", right), ("aimed", wrong))
    # In turns: drawn at random, one way may not come up at all.
    made = [[(how, case) for case in _examples(way)] for how, way in ways]
    return [one for turn in itertools.zip_longest(*made) for one in turn if one is not None]


def _examples(made: st.SearchStrategy[Case]) -> list[Case]:
    """Return a quarter of the requests that one role sends."""
    found: list[Case] = []

    @given(case=made)
    @settings(
        max_examples=-(-max(EXAMPLES.values()) // 4),
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def collect(case: Case) -> None:
        found.append(case)

    # An operation without parameters cannot be asked wrongly.
    with suppress(Unsatisfiable):
        collect()
    return found


def copied(case: Case) -> Case:
    """Return a request that can be aimed without changing ``case``."""
    parts = {
        name: copy.deepcopy(getattr(case, name))
        for name in (
            "path_parameters",
            "headers",
            "cookies",
            "query",
            "body",
            "media_type",
            "multipart_content_types",
            "meta",
        )
    }
    return schemathesis.Case(case.operation, case.method, case.path, **parts)


OF_A_MADE_FILE = ("GET /archive/exports/{id}", "GET /archive/reports/{id}")
"""An operation makes the file; the tests of exports and reports fetch it."""


@pytest.mark.parametrize("who", EXAMPLES, ids=lambda who: getattr(who, "value", who) or "none")
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_api_answers_as_its_page_says(
    label: str, who: Role | str | None, scanned_by: Callable[[Role | str | None], Scanned]
) -> None:
    operation = OPERATIONS[label]
    scanned = scanned_by(who)
    scanned.record(2)
    if operation.path.startswith(ROSTER):
        scanned.add_to_roster()
    statuses: list[int] = []
    for how, made in made_requests(label)[: EXAMPLES[who]]:
        case = copied(made)
        if how != "as made":
            case = scanned.meant(case) if how == "meant" else scanned.aimed(case)
        sent = requests.Request(**case.as_transport_kwargs(base_url="http://10.0.0.1:8200"))
        answer = scanned.ask(sent.prepare())
        statuses.append(answer.status_code)
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=CHECKS)
    if who == "local" and label not in OF_A_MADE_FILE:
        assert any(status < 300 for status in statuses), statuses
    elif who is None and label not in OPEN:
        assert set(statuses) <= {401, 414}, statuses
