"""
Every route, by every role, from every origin: who passes the authentication.

What is expected is written down here once more, in other words than the product's own table. Each
hole that is planted in the authentication must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from kit.access_world import HERE, NETWORK, PEER, UNIT, ProtectedApp, protected_app
from kit.virtual_time import in_virtual_time

from sfm.access.principal import Role
from sfm.api.middleware import authentication, request_head
from sfm.api.rules import RULES
from sfm.store.tokens import number_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ROLES: tuple[Role | None, ...] = (None, *Role)
ORIGINS = (
    "no browser",
    "own page",
    "own page without its second secret",
    "other site, by Sec-Fetch-Site",
    "other site, by Origin",
    "other site, by Referer",
)
PLACES = ("local", "network")

FREE = {"/health", "/health/ready", "/", "/assets/{name}", "/session"}
OPERATORS = {
    ("GET", "/ports"),
    ("POST", "/device/monitor/start"),
    ("POST", "/device/monitor/stop"),
    ("POST", "/device/fetch"),
    ("POST", "/device/config"),
    ("POST", "/device/call_home"),
    ("PUT", "/archive/events/{id}/review"),
    ("PUT", "/archive/recordings/{id}/review"),
    ("PUT", "/archive/recordings/{id}/facts"),
    ("PATCH", "/units/{serial}"),
    ("POST", "/locations/{name}/unit"),
}
ADMINS = {
    ("POST", "/device/events/erase"),
    ("POST", "/device/rescue"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/{id}"),
    ("DELETE", "/cache/device"),
    ("GET", "/audit"),
    ("POST", "/units"),
    ("DELETE", "/units/{serial}"),
    ("POST", "/locations"),
    ("PATCH", "/locations/{name}"),
    ("DELETE", "/locations/{name}"),
    ("POST", "/routes"),
    ("PATCH", "/routes"),
    ("DELETE", "/routes"),
    ("POST", "/zones"),
    ("PATCH", "/zones"),
    ("DELETE", "/zones"),
    ("POST", "/limits"),
    ("DELETE", "/limits/{id}"),
    ("PUT", "/limits/{id}/confirmation"),
    ("DELETE", "/limits/{id}/confirmation"),
    ("PUT", "/limit-choices"),
    ("DELETE", "/limit-choices"),
}


@dataclass(frozen=True)
class Case:
    method: str
    path: str
    role: Role | None
    origin: str
    place: str

    @property
    def passes(self) -> bool:
        """Whether it should get through."""
        changes = self.method not in ("GET", "HEAD")
        if self.origin.startswith("other") and (changes or self.path.startswith("/device/")):
            return False
        if self.place == "local":
            return True
        is_signed_in_browser = self.role is not None and self.origin != "no browser"
        if changes and is_signed_in_browser and "without" in self.origin:
            return False
        asked = ("GET" if self.method == "HEAD" else self.method, self.path)
        if self.path in FREE and asked in RULES:
            return True
        rank = [None, *Role].index(self.role)
        return rank >= (3 if asked in ADMINS else 2 if asked in OPERATORS else 1)


def cases() -> Iterator[Case]:
    paths = sorted({path for _, path in RULES})
    for one in product(METHODS, paths, ROLES, ORIGINS, PLACES):
        yield Case(*one)


HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    "no browser": (),
    "own page": (("sec-fetch-site", "same-origin"), ("origin", "http://HOST")),
    "own page without its second secret": (("sec-fetch-site", "same-origin"),),
    "other site, by Sec-Fetch-Site": (("sec-fetch-site", "cross-site"),),
    "other site, by Origin": (("origin", "http://evil.example"),),
    "other site, by Referer": (("referer", "http://evil.example/page"),),
}


async def passed(found: ProtectedApp, case: Case) -> bool:
    """Whether a case gets through. A browser sends its cookie for every page: the worst case."""
    host = "127.0.0.1:8200" if case.place == "local" else "10.0.0.1:8200"
    more = [(name, value.replace("HOST", host)) for name, value in HEADERS[case.origin]]
    secret = None if case.role is None else found.secrets[case.role.value]
    if secret is not None and case.origin != "no browser":
        session = found.app.state.sessions.begin(number_of(secret))
        more.append(("cookie", f"sfm_session={session.id}"))
        if "without" not in case.origin:
            more.append(("x-csrf-token", session.csrf))
        secret = None
    path = case.path.replace("{index}", "0").replace("{id}", "1")
    where = {"server": HERE, "peer": HERE} if case.place == "local" else {}
    target = f"{path}?{UNIT}" if path.startswith(("/device/", "/cache/device")) else path
    return await found.passes(
        case.method,
        target,
        secret=secret,
        host=host,
        more=more,
        **{"server": NETWORK, "peer": PEER, **where},
    )


async def wrong(*, most: int | None = None) -> tuple[int, list[Case]]:
    """Return how many cases there are, and those that were let in or kept out wrongly."""
    async with protected_app() as found:
        for role in Role:
            found.token(role.value, role)
        total, seen = 0, []
        for case in cases():
            total += 1
            if await passed(found, case) is not case.passes:
                seen.append(case)
                if most is not None and len(seen) >= most:
                    break
        return total, seen


@in_virtual_time
async def test_each_role_gets_through_where_it_may_and_nowhere_else() -> None:
    total, seen = await wrong()
    paths = {path for _, path in RULES}
    assert total == len(METHODS) * len(paths) * len(ROLES) * len(ORIGINS) * len(PLACES)
    assert seen == []


def blind_to(header: bytes) -> Callable[[Any, Any], None]:
    check = request_head.check_own_page

    def blind(asked: Any, scope: Any) -> None:
        asked.known = {name: value for name, value in asked.known.items() if name != header}
        check(asked, scope)

    return blind


def without(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(authentication, "check_own_page", blind_to(name.encode()))

    return plant


def rule(method: str, path: str, role: Role | None) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setitem(RULES, (method, path), role)


def replaced(
    name: str, value: Any, of: Any = authentication
) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(of, name, value)


HOLES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "only changes must come from own pages": replaced(
        "is_for_own_pages", lambda scope: scope["method"] not in request_head.SAFE
    ),
    "a HEAD may come from any page": replaced(
        "is_for_own_pages", lambda scope: not scope.get("sfm.is_head") and scope["path"] != "/"
    ),
    "Sec-Fetch-Site is not looked at": without("sec-fetch-site"),
    "Origin is not looked at": without("origin"),
    "Referer is not looked at": without("referer"),
    "POST counts as safe": replaced("SAFE", frozenset(("GET", "HEAD", "POST")), request_head),
    "PUT counts as safe": replaced("SAFE", frozenset(("GET", "HEAD", "PUT")), request_head),
    "DELETE counts as safe": replaced("SAFE", frozenset(("GET", "HEAD", "DELETE")), request_head),
    "a review is for viewers": rule("PUT", "/archive/events/{id}/review", Role.VIEWER),
    "tokens are revoked by operators": rule("DELETE", "/tokens/{id}", Role.OPERATOR),
    "a unit is dropped by operators": rule("DELETE", "/cache/device", Role.OPERATOR),
    "an erase is for operators": rule("POST", "/device/events/erase", Role.OPERATOR),
    "a route is added by operators": rule("POST", "/routes", Role.OPERATOR),
    "a unit is benched by viewers": rule("PATCH", "/units/{serial}", Role.VIEWER),
    "PATCH counts as safe": replaced("SAFE", frozenset(("GET", "HEAD", "PATCH")), request_head),
    "tokens are for viewers": rule("GET", "/tokens", Role.VIEWER),
    "a status is for everybody": rule("GET", "/device/monitor/status", None),
    "HEAD has no rule": replaced("rule_of", lambda method, path: (path, None)),
    "no role is looked at": replaced(
        "_check_role", staticmethod(lambda *_: None), authentication.Authentication
    ),
    "everybody sits at this machine": replaced(
        "_is_local", lambda *_: True, authentication.Authentication
    ),
    "nobody sits at this machine": replaced(
        "_is_local", lambda *_: False, authentication.Authentication
    ),
}


@pytest.mark.parametrize("hole", HOLES)
@in_virtual_time
async def test_a_planted_hole_is_seen(hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    HOLES[hole](monkeypatch)
    assert (await wrong(most=1))[1], hole
