"""Limit curves, confirmations and choices over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
from kit.access_world import LOCAL, ProtectedApp, protected_app
from kit.virtual_time import in_virtual_time

from sfm.access.principal import Role
from sfm.analysis.limits import load_shipped
from sfm.store import audit

OWN = {
    "id": "permit-7",
    "title": "Permit 7",
    "unit": "mm/s",
    "applies_to": "each_axis",
    "shape": {"kind": "points", "join": "linear", "vertices": [[1, 5], [100, 20]]},
    "source": "Permit 7 of the county",
    "author": "Ada",
    "date": "2026-03-01",
}
DISPUTED = "osmre-figure-1"


async def tell(found: ProtectedApp, method: str, target: str, body: Any = None, **more: Any) -> Any:
    sent = b"" if body is None else json.dumps(body).encode()
    answer: httpx.Response = await found.ask(method, target, body=sent, **(more or LOCAL))
    return answer.status_code, answer.json() if answer.content else None


@in_virtual_time
async def test_every_curve_is_listed_with_mark_and_source() -> None:
    async with protected_app(real=True) as found:
        status, body = await tell(found, "GET", "/limits")
        assert status == 200
        shipped = load_shipped()
        assert {one["id"] for one in body["curves"]} == {*shipped.curves, *shipped.withheld}
        off = {one["id"] for one in body["curves"] if not one["usable"]}
        assert off == {DISPUTED, "bs7385-2-line2", "sn640312a-normal-permanent", *shipped.withheld}
        _, body = await tell(found, "GET", "/limits?region=DE")
        assert {one["region"] for one in body["curves"]} == {"DE"}
        status, one = await tell(found, "GET", "/limits/npc119")
        assert (status, one["mark"], one["shape"]) == (
            200,
            "secondary",
            {"kind": "constant", "value": 12.5},
        )
        assert one["sources"]
        assert (await tell(found, "GET", "/limits/nothing"))[0] == 404


@in_virtual_time
async def test_a_value_or_why_there_is_none() -> None:
    async with protected_app(real=True) as found:
        path = "/limits/{}/value?where={}"
        _, body = await tell(found, "GET", path.format("usbm-ri8507-drywall", "10"))
        assert (body["value"], body["unit"], body["reason"]) == (0.75, "in/s", None)
        _, body = await tell(found, "GET", path.format(DISPUTED, "8"))
        assert (body["value"], body["reason"]) == (None, "disputed")
        _, body = await tell(found, "GET", path.format("fta-damage", "I"))
        assert (body["value"], body["reason"]) == (None, "unread")
        _, body = await tell(found, "GET", path.format("bs7385-2-line1", "3"))
        assert (body["value"], body["reason"]) == (None, "outside-range")
        factors = "&set=gamma_t=repeated&set=gamma_s=sensitive&set=gamma_v=indicative"
        _, body = await tell(found, "GET", path.format("sbr-a-2017-cat2", "10") + factors)
        assert round(body["value"], 4) == 1.2255
        status, body = await tell(found, "GET", path.format("npc119", "ten"))
        assert (status, body["errors"][0]["field"]) == (422, "where")
        assert (await tell(found, "GET", path.format("npc119", "1") + "&set=x"))[0] == 422
        assert (await tell(found, "GET", path.format("nothing", "1")))[0] == 404


@in_virtual_time
async def test_every_change_is_made_once_and_is_in_the_audit_log() -> None:
    async with protected_app(real=True) as found:
        assert (await tell(found, "POST", "/locations", {"name": "North"}))[0] == 201
        steps: list[tuple[str, str, Any, int]] = [
            ("POST", "/limits", OWN, 201),
            ("POST", "/limits", OWN, 409),
            ("POST", "/limits", {**OWN, "id": "x-1", "author": ""}, 422),
            ("POST", "/limits", {**OWN, "id": "x-1", "shape": {"kind": "ri8507"}}, 422),
            ("POST", "/limits", {**OWN, "id": "x-1", "mark": "primary"}, 422),
            ("PUT", f"/limits/{DISPUTED}/confirmation", {"by": "Ada"}, 200),
            ("PUT", f"/limits/{DISPUTED}/confirmation", {}, 422),
            ("PUT", "/limits/npc119/confirmation", {"by": "Ada"}, 409),
            ("PUT", "/limits/nothing/confirmation", {"by": "Ada"}, 404),
            ("PUT", "/limit-choices", {"curves": [DISPUTED, "permit-7"]}, 200),
            ("PUT", "/limit-choices", {"location": "north", "curves": ["npc119"]}, 200),
            ("PUT", "/limit-choices", {"location": "South", "curves": ["npc119"]}, 404),
            ("PUT", "/limit-choices", {"curves": ["nothing"]}, 404),
            ("PUT", "/limit-choices", {"curves": ["fta-damage"]}, 409),
            ("PUT", "/limit-choices", {"curves": []}, 422),
            ("PUT", "/limit-choices", {"curves": ["sbr-a-2017-cat2"]}, 422),
            ("PUT", "/limit-choices", {"curves": ["npc119"], "parameters": {"x": 1}}, 422),
            (
                "PUT",
                "/limit-choices",
                {"location": "North", "project": "Tunnel", "curves": ["npc119"]},
                422,
            ),
            ("DELETE", "/limits/permit-7", None, 409),
            ("DELETE", "/limit-choices", None, 204),
            ("DELETE", "/limit-choices", None, 404),
            ("DELETE", "/limits/permit-7", None, 204),
            ("DELETE", f"/limits/{DISPUTED}/confirmation", None, 204),
            ("DELETE", f"/limits/{DISPUTED}/confirmation", None, 409),
        ]
        for method, target, body, expected in steps:
            status, answer = await tell(found, method, target, body)
            assert status == expected, (method, target, answer)
        assert (await tell(found, "GET", "/health"))[1]["status"] == "ok"
        entries = [*reversed(found.store.read(audit.load_latest, 100, None))]
        assert [one["command"] for one in entries[1:]] == [
            "limit_add",
            "limit_confirm",
            "limit_choose",
            "limit_choose",
            "limit_unchoose",
            "limit_remove",
            "limit_withdraw",
        ]
        detail = entries[2]["detail"]
        assert (detail["curve"], detail["by"]) == (DISPUTED, "Ada")
        assert detail["digest"] == load_shipped().curves[DISPUTED].digest
        assert detail["on"]


@in_virtual_time
async def test_a_confirmation_says_who_and_when() -> None:
    async with protected_app(real=True) as found:
        body = {"by": "Ada Engineer", "on": "2026-02-03", "reason": "page 5 of the figure"}
        _, one = await tell(found, "PUT", f"/limits/{DISPUTED}/confirmation", body)
        assert (one["usable"], one["confirmed"]) == (True, body)
        _, value = await tell(found, "GET", f"/limits/{DISPUTED}/value?where=8")
        assert (value["value"], value["mark"]) == (0.75, "disputed")
        assert value["dispute"]


@in_virtual_time
async def test_choices_are_listed_with_the_location_s_name() -> None:
    async with protected_app(real=True) as found:
        await tell(found, "POST", "/locations", {"name": "North"})
        given = {
            "location": "North",
            "curves": ["osmre-distance-table"],
            "results": "refined",
            "parameters": {"distance_ft": 800},
        }
        await tell(found, "PUT", "/limit-choices", given)
        _, body = await tell(found, "GET", "/limit-choices")
        [one] = body["choices"]
        assert {name: one[name] for name in given} == given
        assert (one["scope"], one["chosen_by"], body["region"]) == ("location", "local", None)


@in_virtual_time
async def test_a_limited_token_changes_no_limits() -> None:
    async with protected_app(real=True) as found:
        secret = found.token("limited", Role.ADMIN, "BE12345")
        status, _ = await tell(
            found, "PUT", "/limit-choices", {"curves": ["npc119"]}, secret=secret
        )
        assert status == 403
        assert (await tell(found, "GET", "/limit-choices", secret=secret))[0] == 403
        assert (await tell(found, "GET", "/limits", secret=secret))[0] == 200


@in_virtual_time
async def test_the_corner_of_a_microphone_is_a_field_of_the_unit() -> None:
    async with protected_app(real=True) as found:
        await tell(found, "POST", "/units", {"serial": "BE12345"})
        status, one = await tell(found, "PATCH", "/units/BE12345", {"microphone_low_hz": 2})
        assert (status, one["microphone_low_hz"]) == (200, 2)
        assert (await tell(found, "PATCH", "/units/BE12345", {"microphone_low_hz": 0}))[0] == 422
