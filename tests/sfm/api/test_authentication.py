from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from kit.access_world import (
    HERE,
    KEY,
    LOCAL,
    NETWORK,
    PEER,
    UNIT,
    ProtectedApp,
    ended_operation,
    protected_app,
    protected_app_of,
)
from kit.api_page import api_page
from kit.relay_world import HERE as UNIT_HERE
from kit.relay_world import FieldUnit, World
from kit.stored_rows import public_id
from kit.virtual_time import in_virtual_time
from starlette.routing import Route
from structlog.testing import capture_logs

from minimateplus.link.ports import SerialPort
from sfm.access.principal import Role
from sfm.access.sessions import SESSION_S
from sfm.api.app import ROUTERS, build_app
from sfm.api.middleware.authentication import AUTHENTICATION_PROBLEMS, SECURITY
from sfm.api.middleware.known_tokens import MAX_FAILURES, TOKEN_KEPT_S
from sfm.api.rules import OF_ALL_UNITS, RULES
from sfm.settings import Settings
from sfm.store import tokens
from sfm.store.errors import StoreFullError

ROLES: tuple[Role | None, ...] = (None, *Role)
PROGRESS = "/device/progress"


def concrete(path: str) -> str:
    """Return a target that fits a template."""
    target = path.replace("{index}", "0").replace("{id}", "1")
    return f"{target}?{UNIT}" if target.startswith(("/device/", "/cache/device")) else target


# --- the matrix -----------------------------------------------------------------------------------


def test_every_route_has_a_rule_and_every_rule_a_route() -> None:
    app = build_app(Settings(database_url="none"))
    found = [*app.routes, *(route for router in ROUTERS for route in router.routes)]
    routes = {
        (method, route.path)
        for route in found
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(RULES)
    assert {path for _, path in routes} >= set(api_page()["paths"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: " ".join(rule))
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.value if role else "none")
@pytest.mark.parametrize("state", ["right", "wrong", "revoked"])
@in_virtual_time
async def test_exactly_the_allowed_ones_pass(
    rule: tuple[str, str], role: Role | None, state: str
) -> None:
    needed = RULES[rule]
    allowed = (
        needed is None
        if role is None
        else state == "right" and (needed is None or role.includes(needed))
    )
    async with protected_app() as found:
        secret = None
        if role is not None:
            secret = found.token("t", role)
            if state == "revoked":
                found.store.write(tokens.revoke, "t", datetime.now(UTC))
            if state == "wrong":
                secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        assert await found.passes(rule[0], concrete(rule[1]), secret=secret) is allowed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: " ".join(rule))
@in_virtual_time
async def test_who_sits_at_this_machine_may_do_everything(rule: tuple[str, str]) -> None:
    async with protected_app() as found:
        assert await found.passes(
            rule[0], concrete(rule[1]), server=HERE, peer=HERE, host="127.0.0.1:8200"
        )


@in_virtual_time
async def test_a_missing_path_is_hidden_from_clients_without_a_token() -> None:
    async with protected_app(real=True) as found:
        secret = found.token("t", Role.VIEWER)
        asked: tuple[dict[str, Any], ...] = ({}, {"secret": secret}, LOCAL)
        answers = [await found.ask("GET", "/secret/plans", **how) for how in asked]
        assert [answer.status_code for answer in answers] == [401, 404, 404]


@pytest.mark.parametrize("behind", ["\n", "/", "\r\n", " ", "\x00", "\u2028"], ids=ascii)
@in_virtual_time
async def test_no_other_way_to_write_a_path_passes_its_rule(behind: str) -> None:
    async with protected_app() as found:
        viewer = found.token("v", Role.VIEWER)
        for (method, path), needed in RULES.items():
            written, _, query = concrete(path).partition("?")
            target = f"{written}{behind}?{query}"
            # What stands at the end may hold anything but a slash; its rule holds.
            is_known = path.endswith("}") and behind != "/"
            may = is_known and (needed is None or Role.VIEWER.includes(needed))
            assert await found.passes(method, target, secret=viewer) is may, target
            if not is_known:
                assert (await found.ask(method, target, secret=viewer)).status_code == 404


@pytest.mark.parametrize("method", ["OPTIONS", "get", "TRACE", "PATCH"])
@in_virtual_time
async def test_no_other_method_passes_a_rule(method: str) -> None:
    async with protected_app(real=True) as found:
        viewer = found.token("v", Role.VIEWER)
        for path in {path for _, path in RULES if (method, path) not in RULES}:
            target = concrete(path)
            status = (await found.ask(method, target, secret=viewer)).status_code
            assert status == 405, target


@in_virtual_time
async def test_head_is_answered_as_get_is_without_the_body() -> None:
    async with World() as world:
        disk = await world.with_disk()
        world.plug(FieldUnit().record(2))
        await world.gateway.waveform(UNIT_HERE, 0)
        found = protected_app_of(world.gateway, world.settings, disk, real=True)
        operation = await ended_operation(found.app, "tcp:unit.invalid:12345")
        # An asset has no fixed name, the stream of a unit no end, and no operation made a file.
        made = ("/archive/exports/{id}", "/archive/reports/{id}")
        unknown = ("/assets/{name}", PROGRESS, *made)
        paths = [p for m, p in RULES if m == "GET" and p not in unknown]
        assert len(paths) > 22
        for path in paths:
            if path.startswith("/operations/"):
                path = path.replace("{id}", operation.id)
            if path.startswith("/limits/"):
                path = path.replace("{id}", "usbm-ri8507-plaster")
                path += "?where=12" if path.endswith("/value") else ""
            target = concrete(path).replace(UNIT, "host=unit.invalid&tcp_port=12345")
            target = target.replace("recordings/1", f"recordings/{public_id(disk, 1)}")
            if target.startswith("/archive/events/"):
                continue  # gone, whatever is asked
            got, head = [await found.ask(m, target, **LOCAL) for m in ("GET", "HEAD")]
            assert (got.status_code, head.status_code) == (200, 200), target
            assert got.content, target
            assert head.content == b"", target
            # Only what is read from the unit says how long that took; the second may be cached.
            assert set(head.headers) ^ set(got.headers) <= {"server-timing"}, target
            for name in ("content-type", "cache-control", "etag"):
                assert head.headers.get(name) == got.headers.get(name), target


@in_virtual_time
async def test_head_of_a_stream_ends() -> None:
    async with protected_app(real=True) as found:
        answer = await found.ask("HEAD", f"{PROGRESS}?{UNIT}", **LOCAL)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


@in_virtual_time
async def test_a_method_that_is_not_there_names_head_beside_get() -> None:
    async with protected_app(real=True) as found:
        refused = await found.ask("PATCH", "/health", **LOCAL)
        assert refused.headers["allow"] == "GET, HEAD"
        assert (await found.ask("HEAD", "/nothing")).status_code == 401


# --- who is of this machine -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"server": NETWORK},
        {"peer": PEER},
        {"host": "evil.example:8200"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "[::1]evil.example"},
        {"host": "[::1].evil.example:8200"},
        {"host": "[::1"},
        {"host": "[::1]:evil"},
        {"host": "127.0.0.1:8200.evil.example"},
        {"host": "localhost:80@evil.example"},
        {"host": "[localhost]"},
        {"host": ""},
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x_real_ip": "127.0.0.1"},
        {"x_forwarded_host": "localhost"},
    ],
    ids=str,
)
@in_virtual_time
async def test_one_part_that_is_not_of_this_machine_needs_a_token(change: dict[str, Any]) -> None:
    async with protected_app() as found:
        assert await found.passes(**LOCAL)
        assert not await found.passes(**{**LOCAL, **change})


@pytest.mark.parametrize("host", ["localhost:8200", "[::1]:8200", "127.0.0.1", "127.8.8.8:1"])
@in_virtual_time
async def test_the_names_of_this_machine_are_known(host: str) -> None:
    async with protected_app() as found:
        assert await found.passes(**{**LOCAL, "host": host})


@in_virtual_time
async def test_tokens_can_be_required_of_all_clients() -> None:
    async with protected_app(require_tokens=True) as found:
        assert not await found.passes(**LOCAL)


@in_virtual_time
async def test_insecure_admits_all_clients_but_no_page_of_another_site() -> None:
    async with protected_app(insecure=True) as found:
        target = f"/device/events/erase?{UNIT}"
        assert [
            await found.passes("POST", target),
            await found.passes("POST", target, origin="http://evil.example"),
            await found.passes("POST", target, sec_fetch_site="cross-site"),
        ] == [True, False, False]


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:8200", "sec_fetch_site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://127.0.0.1:8200"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "none"}, True),
        ({"referer": "http://127.0.0.1:8200/#/unit/tcp:10.9.9.9:12345"}, True),
        ({"referer": "http://evil.example/127.0.0.1:8200/"}, False),
        ({"referer": "http://127.0.0.1:8200@evil.example/"}, False),
        ({"referer": "https://127.0.0.1:8200/"}, False),
        ({"referer": "android-app://com.example/"}, False),
        ({"referer": "http://[evil"}, False),
        ({"referer": ""}, True),
    ],
    ids=str,
)
@in_virtual_time
async def test_a_web_page_of_another_site_gives_no_command(
    headers: dict[str, str], passes: bool
) -> None:
    async with protected_app() as found:
        asked = [
            ("POST", f"/device/monitor/stop?{UNIT}"),
            # Reads, too: they open ports and use the unit's line.
            ("GET", f"/device/info?{UNIT}"),
            ("GET", f"/device/progress?{UNIT}"),
            ("HEAD", f"/device/event/0/waveform?{UNIT}"),
            # A link to the web app, and what uses no unit.
            ("GET", "/"),
            ("GET", "/units"),
        ]
        seen = [await found.passes(*what, **LOCAL, **headers) for what in asked]
        assert seen == [passes] * 4 + [True, True]


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"referer": "http://e/"}])
@in_virtual_time
async def test_nor_does_one_that_shows_a_token_or_comes_to_an_insecure_relay(
    headers: dict[str, str],
) -> None:
    async with protected_app() as found, protected_app(insecure=True) as open_to_all:
        secret = found.token("t", Role.ADMIN)
        assert [
            await found.passes(secret=secret, **headers),
            await open_to_all.passes(**headers),
            await found.passes(secret=secret),
            await open_to_all.passes(),
        ] == [False, False, True, True]


# --- sessions -------------------------------------------------------------------------------------


async def logged_in(found: ProtectedApp, role: Role, scheme: str = "http") -> tuple[str, str, str]:
    """Return the cookie, the second secret, and the whole Set-Cookie header."""
    secret = found.token("browser", role)
    response = await found.ask(
        "POST", "/session", body=f'{{"token": "{secret}"}}'.encode(), scheme=scheme
    )
    assert response.status_code == 200, response.text
    set_cookie = response.headers["set-cookie"]
    return set_cookie.split(";")[0], response.json()["csrf"], set_cookie


@in_virtual_time
async def test_a_session_reads_with_its_cookie_and_changes_with_its_second_secret() -> None:
    async with protected_app(real=True) as found:
        cookie, csrf, _ = await logged_in(found, Role.ADMIN)
        drop = ("DELETE", f"/cache/device?{UNIT}")
        assert await found.passes("GET", "/cache/stats", cookie=cookie)
        assert not await found.passes(*drop, cookie=cookie)
        assert not await found.passes(*drop, cookie=cookie, x_csrf_token="wrong")
        other = {"origin": "http://evil.example"}
        assert not await found.passes(*drop, cookie=cookie, x_csrf_token=csrf, **other)
        assert await found.passes(*drop, cookie=cookie, x_csrf_token=csrf)
        who = (await found.ask("GET", "/session", cookie=cookie)).json()
        assert (who["name"], who["role"], who["csrf"]) == ("browser", "admin", csrf)
        await found.ask("DELETE", "/session", cookie=cookie, x_csrf_token=csrf)
        assert not await found.passes("GET", "/cache/stats", cookie=cookie)


@pytest.mark.parametrize("scheme", ["http", "https"])
@in_virtual_time
async def test_the_cookie_is_for_no_script_and_no_other_site(scheme: str) -> None:
    async with protected_app(real=True) as found:
        cookie = (await logged_in(found, Role.VIEWER, scheme))[2].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ("secure" in cookie) is (scheme == "https")


@in_virtual_time
async def test_a_session_ends_with_its_token_and_with_the_day() -> None:
    async with protected_app(real=True) as found:
        cookie, _, _ = await logged_in(found, Role.VIEWER)
        admin = found.token("admin", Role.ADMIN)
        await asyncio.sleep(SESSION_S - 10)
        assert await found.passes("GET", "/cache/stats", cookie=cookie)
        await asyncio.sleep(11)
        assert not await found.passes("GET", "/cache/stats", cookie=cookie)
        body = f'{{"token": "{found.secrets["browser"]}"}}'.encode()
        again = (await found.ask("POST", "/session", body=body)).headers["set-cookie"]
        assert await found.passes("GET", "/cache/stats", cookie=again.split(";")[0])
        await found.ask("DELETE", "/tokens/1", secret=admin)
        assert not await found.passes("GET", "/cache/stats", cookie=again.split(";")[0])


@in_virtual_time
async def test_a_page_of_another_site_begins_no_session() -> None:
    async with protected_app(real=True) as found:
        secret = found.token("browser", Role.VIEWER)
        body = f'{{"token": "{secret}"}}'.encode()
        answer = await found.ask("POST", "/session", body=body, origin="http://evil.example")
        assert answer.status_code == 403


# --- tokens ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_admin_makes_lists_and_revokes_tokens_and_all_of_it_is_noted() -> None:
    async with protected_app(real=True) as found:
        admin = found.token("admin", Role.ADMIN)
        body = b'{"name": "night watch", "role": "operator", "units": ["tcp:10.9.9.9:12345"]}'
        made = await found.ask("POST", "/tokens", secret=admin, body=body)
        assert made.status_code == 201
        secret = made.json()["secret"]
        assert await found.passes(secret=secret)
        again = await found.ask("POST", "/tokens", secret=admin, body=body)
        assert again.status_code == 409
        listed = (await found.ask("GET", "/tokens", secret=admin)).text
        assert "night watch" in listed
        assert secret not in listed
        gone = await found.ask("DELETE", "/tokens/2", secret=admin)
        assert gone.json()["revoked_at"]
        assert not await found.passes(secret=secret)
        assert (await found.ask("DELETE", "/tokens/2", secret=admin)).status_code == 404
        entries = (await found.ask("GET", "/audit", secret=admin)).json()["entries"]
        assert [(e["command"], e["actor"], e["origin"]) for e in entries] == [
            ("token_revoke", "admin", "10.0.0.7"),
            ("token_create", "admin", "10.0.0.7"),
        ]
        assert secret not in str(entries)


@in_virtual_time
async def test_a_token_revoked_elsewhere_is_good_for_a_few_seconds_more() -> None:
    async with protected_app() as found:
        secret = found.token("t", Role.VIEWER)
        seen = [await found.passes(secret=secret)]
        found.store.write(tokens.revoke, "t", datetime.now(UTC))
        await asyncio.sleep(TOKEN_KEPT_S + 0.1)
        assert [*seen, await found.passes(secret=secret)] == [True, False]


@in_virtual_time
async def test_while_no_token_can_be_looked_up_every_route_returns_the_documented_problem() -> None:
    async with World() as world:
        disk = await world.with_disk()
        found = protected_app_of(world.gateway, world.settings, disk, real=True)
        secret = found.token("t", Role.ADMIN)
        disk.fail(StoreFullError("no room"))
        page = api_page()["paths"]
        for method, path in RULES:
            answer = await found.ask(method, concrete(path), secret=secret)
            assert answer.status_code == 503, path
            assert "no room" not in answer.text
            if path in page:
                assert "503" in page[path][method.lower()]["responses"]


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        (f"/device/info?{UNIT}", True),
        ("/device/info?host=10.9.9.8", False),
        (f"/device/info?{UNIT}&host=10.9.9.8", False),
        ("/device/info?host=10.9.9.8&host=10.9.9.9", False),
        ("/device/progress?host=10.9.9.8", False),
        ("/archive/events?serial=BE1", True),
        *((path, False) for path in sorted(OF_ALL_UNITS) if "{" not in path),
    ],
)
@in_virtual_time
async def test_a_token_for_some_units_is_for_no_other(target: str, passes: bool) -> None:
    async with protected_app(egress=["any"]) as found:
        secret = found.token("t", Role.ADMIN, KEY, "BE1")
        assert await found.passes("GET", target, secret=secret) is passes


@in_virtual_time
async def test_a_token_for_some_units_reveals_nothing_of_others_in_the_archive() -> None:
    async with World() as world:
        disk = await world.with_disk()
        world.plug(FieldUnit().record(2))
        await world.gateway.events(UNIT_HERE)
        await world.gateway.waveform(UNIT_HERE, 0)
        found = protected_app_of(world.gateway, world.settings, disk, real=True)
        own, other = (
            found.token("own", Role.VIEWER, "SIM0001"),
            found.token("x", Role.VIEWER, "Y"),
        )
        for path in ("", "/waveform", "/image", "/review"):
            ids = [public_id(disk, 1), public_id(disk, 2), "f" * 64]
            targets = [f"/archive/recordings/{name}{path}" for name in ids]
            assert (await found.ask("GET", targets[0], secret=own)).status_code == 200
            reported = [await found.ask("GET", target, secret=other) for target in targets]
            assert {answer.status_code for answer in reported} == {404}
            details = [answer.json()["detail"] for answer in reported]
            assert len({one.replace(id_, "") for one, id_ in zip(details, ids, strict=True)}) == 1
            assert "; seismo-relay archive list (GET /archive/events) shows them" in details[0]


# --- reach ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        (f"/device/info?{UNIT}", True),
        ("/device/info?host=10.9.9.9&tcp_port=80", False),
        ("/device/info?host=10.9.9.10", False),
        ("/device/info?host=localhost", False),
        ("/device/info?port=/dev/ttyUSB0", False),
        ("/device/info?port=/etc/passwd", False),
        ("/device/progress?host=10.9.9.10", False),
        ("/device/info?host=10.9.9.10&only_if_cached=true", False),
    ],
)
@in_virtual_time
async def test_over_the_network_only_registered_units_are_reached(
    target: str, passes: bool
) -> None:
    async with protected_app() as found:
        secret = found.token("t", Role.OPERATOR)
        assert await found.passes("GET", target, secret=secret) is passes
        reported = (await found.ask("GET", target, secret=secret)).text
    assert passes or "may not connect there" in reported


@in_virtual_time
async def test_clients_are_shown_only_the_registered_units_that_they_may_use() -> None:
    units = {"south": "tcp://10.9.9.9", "north": "tcp://10.0.0.6", "mast": "COM3"}
    async with protected_app(real=True, units=units) as found:
        secrets = [found.token("all", Role.VIEWER), found.token("some", Role.ADMIN, KEY)]
        answers = [await found.ask("GET", "/units", secret=secret) for secret in secrets]
        assert (await found.ask("GET", "/units")).status_code == 401
    of_all, of_some = [answer.json()["units"] for answer in answers]
    assert [one["name"] for one in of_all] == ["mast", "north", "south"]
    assert [one["name"] for one in of_some] == ["south"]
    keys = [one["conn_key"] for one in of_all]
    assert keys == ["serial:COM3:38400", "tcp:10.0.0.6:12345", KEY]


@in_virtual_time
async def test_a_registered_unit_that_may_not_be_reached_is_never_listed() -> None:
    units = {"north": "tcp://10.0.0.6", "south": "tcp://10.9.9.9"}
    async with protected_app(real=True, units=units, egress=["10.9.0.0/16"]) as found:
        answer = await found.ask("GET", "/units", secret=found.token("t", Role.VIEWER))
        assert [one["name"] for one in answer.json()["units"]] == ["south"]


def found_ports() -> list[SerialPort]:
    names = {"/dev/ttyS9": None, "/dev/ttyUSB8": "FT232R", "/dev/ttyUSB9": "CP2102"}
    return [SerialPort(*name) for name in names.items()]


@pytest.mark.parametrize(
    ("settings", "here", "there"),
    [
        ({}, ["/dev/ttyS9", "/dev/ttyUSB8", "/dev/ttyUSB9"], []),
        (
            {"units": {"a": "tcp://10.9.9.9", "b": "serial:/dev/ttyUSB8:9600"}},
            ["/dev/ttyS9", "/dev/ttyUSB8", "/dev/ttyUSB9"],
            ["/dev/ttyUSB8"],
        ),
        (
            {"egress": ["10.0.0.0/8", "/dev/ttyUSB*"]},
            ["/dev/ttyUSB8", "/dev/ttyUSB9"],
            ["/dev/ttyUSB8", "/dev/ttyUSB9"],
        ),
        ({"egress": ["registered"]}, [], []),
    ],
    ids=lambda known: " ".join(known),
)
@in_virtual_time
async def test_clients_are_shown_only_the_serial_ports_that_they_may_reach(
    settings: dict[str, Any], here: list[str], there: list[str]
) -> None:
    async with protected_app(real=True, **settings) as found:
        found.app.state.list_ports = found_ports
        secret = found.token("t", Role.OPERATOR)
        answers = [
            await found.ask("GET", "/ports", **LOCAL),
            await found.ask("GET", "/ports", secret=secret),
        ]
    reported = [{"port": one.port, "description": one.description} for one in found_ports()]
    for answer, expected in zip(answers, (here, there), strict=True):
        assert answer.json()["ports"] == [one for one in reported if one["port"] in expected]


@in_virtual_time
async def test_a_viewer_gets_no_serial_ports() -> None:
    async with protected_app(egress=["any"]) as found:
        assert not await found.passes("GET", "/ports", secret=found.token("t", Role.VIEWER))


@in_virtual_time
async def test_a_token_for_some_units_lists_only_their_serial_ports() -> None:
    async with protected_app(real=True, egress=["any"]) as found:
        found.app.state.list_ports = found_ports
        units = (KEY, "serial:/dev/ttyUSB8:9600", "/dev/ttyS9", "serial:/dev/ttyUSB:38400")
        secret = found.token("t", Role.ADMIN, *units)
        reported = (await found.ask("GET", "/ports", secret=secret)).json()["ports"]
    assert [one["port"] for one in reported] == ["/dev/ttyUSB8"]


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"x_more": "x" * 17_000}, 431),
        ({"target": f"/device/info?{UNIT}&x={'y' * 5000}"}, 414),
        ({"content_length": "70000"}, 413),
        ({"content_length": "-1"}, 413),
        ({"content_length": "4", "transfer_encoding": "chunked"}, 400),
    ],
    ids=["headers", "query", "body", "rubbish", "two lengths"],
)
@pytest.mark.parametrize("local", [True, False])
@in_virtual_time
async def test_too_large_a_request_is_refused_by_the_middleware(
    more: dict[str, Any], status: int, local: bool
) -> None:
    async with protected_app() as found:
        answer = await found.ask(**(LOCAL if local else {}), **more)
    assert answer.status_code == status
    assert status in AUTHENTICATION_PROBLEMS


@in_virtual_time
async def test_a_wrong_token_begins_no_session_and_counts_as_a_guess() -> None:
    async with protected_app(real=True) as found:
        body = b'{"token": "sfm_1_wrong"}'
        *wrong, stopped = [
            await found.ask("POST", "/session", body=body) for _ in range(MAX_FAILURES + 1)
        ]
    for answer in wrong:
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
        assert "bearer" in answer.headers["www-authenticate"].lower()
        assert "set-cookie" not in answer.headers
    assert stopped.status_code == 429
    assert int(stopped.headers["retry-after"]) >= 1


@in_virtual_time
async def test_wrong_tokens_write_one_line_for_each_network_and_minute() -> None:
    async with protected_app() as found:
        with capture_logs() as lines:
            for _ in range(MAX_FAILURES):
                for peer in ("10.0.0.7", "2001:db8::1", "2001:db8::2"):
                    await found.ask(secret="sfm_1_" + "x" * 43, peer=(peer, 1))
        assert sorted(line["client"] for line in lines) == ["10.0.0.7", "2001:db8::/64"]
        await asyncio.sleep(60)
        with capture_logs() as lines:
            await found.ask(secret="sfm_1_" + "x" * 43)
        assert [line["left_out"] for line in lines] == [MAX_FAILURES - 1]


@in_virtual_time
async def test_our_own_fault_writes_one_line_for_each_network_and_minute() -> None:
    async with protected_app(real=True) as found:
        found.app.state.web = None  # the page fails

        with capture_logs() as lines:
            for _ in range(5):
                with pytest.raises(AttributeError):
                    await found.ask("GET", "/", **LOCAL)
        assert [line["event"] for line in lines] == ["internal_error"]


@in_virtual_time
async def test_an_address_that_guesses_is_stopped_for_a_while_and_no_other_is() -> None:
    async with protected_app() as found:
        right = found.token("t", Role.VIEWER)
        for _ in range(MAX_FAILURES):
            assert (await found.ask(secret="sfm_1_" + "x" * 43)).status_code == 401
        stopped = await found.ask(secret="sfm_1_" + "x" * 43)
        assert stopped.status_code == 429
        assert 1 <= int(stopped.headers["retry-after"]) <= 6
        assert (await found.ask(secret=right)).status_code == 429
        assert await found.passes(secret=right, peer=("10.0.0.8", 1))
        await asyncio.sleep(7)
        assert await found.passes(secret=right)


@pytest.mark.parametrize(
    ("more", "forced"),
    [
        ({"target": f"/device/info?{UNIT}&force=true"}, True),
        ({"target": f"/device/info?{UNIT}&force=1"}, True),
        ({"target": f"/device/info?{UNIT}&force=false"}, False),
        ({"target": f"/device/info?{UNIT}&max_age=0"}, True),
        ({"target": f"/device/info?{UNIT}&max_age=0.5"}, True),
        ({"target": f"/device/info?{UNIT}&max_age=60"}, False),
        ({"cache_control": "no-cache"}, True),
        ({"cache_control": "max-age=0"}, True),
        ({"cache_control": "max-age=60"}, False),
        ({"cache_control": 'max-age="0"'}, True),
        ({"cache_control": "max-age\t=\t0"}, True),
        ({"more": [("cache-control", "no-cache"), ("cache-control", "max-age=60")]}, True),
        ({"cache_control": "no-store"}, False),
        ({"target": f"/device/progress?{UNIT}", "cache_control": "no-cache"}, False),
        ({"more": [("cache-control", "max-age=60"), ("cache-control", "no-cache")]}, True),
    ],
    ids=str,
)
@in_virtual_time
async def test_a_viewer_forces_no_read(more: dict[str, Any], forced: bool) -> None:
    async with protected_app() as found:
        viewer, operator = found.token("v", Role.VIEWER), found.token("o", Role.OPERATOR)
        assert await found.passes(secret=viewer, **more) is not forced
        assert await found.passes(secret=operator, **more)


@in_virtual_time
async def test_a_token_forces_so_many_reads_in_a_minute() -> None:
    async with protected_app(max_forced_per_minute=3) as found:
        one, other = found.token("a", Role.OPERATOR), found.token("b", Role.OPERATOR)
        target = f"/device/info?{UNIT}&force=true"
        seen = [(await found.ask("GET", target, secret=one)).status_code for _ in range(4)]
        seen.append((await found.ask("GET", target, secret=other)).status_code)
        await asyncio.sleep(21)
        seen.append((await found.ask("GET", target, secret=one)).status_code)
        assert seen == [200, 200, 200, 429, 200, 200]


@in_virtual_time
async def test_a_token_has_so_many_requests_under_way() -> None:
    async with protected_app(max_requests_per_client=2) as found:
        waiting = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await waiting.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        found.app.state.guard._app = slow
        secret, other = found.token("a", Role.VIEWER), found.token("b", Role.VIEWER)
        under_way = [asyncio.create_task(found.ask(secret=secret)) for _ in range(2)]
        await asyncio.sleep(0.1)
        third = await found.ask(secret=secret)
        mine = asyncio.create_task(found.ask(secret=other))
        await asyncio.sleep(0.1)
        assert not mine.done()
        waiting.set()
        await asyncio.gather(*under_way, mine)
        assert third.status_code == 429
        assert (await found.ask(secret=secret)).status_code == 200


# --- what every answer is sent with ---------------------------------------------------------------


@in_virtual_time
async def test_every_answer_has_the_security_headers_and_allows_nothing_foreign() -> None:
    async with protected_app(real=True) as found:
        answers = [
            await found.ask("GET", "/health"),
            await found.ask("GET", "/device/info"),
            await found.ask("GET", "/docs", **LOCAL),
            await found.ask("GET", "/nothing", **LOCAL),
            await found.ask("OPTIONS", "/device/info", **LOCAL, origin="http://evil.example"),
        ]
    for answer in answers:
        for name, value in SECURITY:
            assert answer.headers[name.decode()] == value.decode()
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "strict-transport-security" not in answer.headers


@in_virtual_time
async def test_over_tls_browsers_must_stay_with_it() -> None:
    async with protected_app() as found:
        answer = await found.ask("GET", "/health", scheme="https")
    assert "max-age" in answer.headers["strict-transport-security"]


@in_virtual_time
async def test_who_is_not_known_hears_nothing_of_the_machine() -> None:
    async with protected_app(real=True) as found:
        unknown = (await found.ask("GET", "/health")).json()["store"]
        local = (await found.ask("GET", "/health", **LOCAL)).json()["store"]
    assert (unknown["where"], unknown["detail"]) == (None, None)
    assert local.keys() == unknown.keys()


@in_virtual_time
async def test_an_unknown_client_is_reported_by_the_session() -> None:
    async with protected_app(real=True) as found:
        nobody = (await found.ask("GET", "/session")).json()
        local = (await found.ask("GET", "/session", **LOCAL)).json()
    assert nobody["role"] is None
    assert (local["name"], local["role"], local["csrf"]) == ("local", "admin", None)
