"""
Which unit a request names, and whether its client may have it: by its token, by the egress policy.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import Scope

from minimateplus.link import Address
from sfm.access.egress import ForbiddenAddressError
from sfm.access.principal import Principal
from sfm.api.problems import NOT_ALLOWED, RequestRejectedError, problem_of
from sfm.api.schemas.reading import DeviceQuery
from sfm.devices.gateway import Gateway
from sfm.devices.target import Target
from sfm.store.errors import NoSuchUnitError

__all__ = ["TargetChecks"]

MAX_REMEMBERED_QUERIES = 4096


class TargetChecks:
    """
    Finds the target of each request, ``sfm.target`` in its scope. Lives as long as the application.

    Args:
        gateway: its roster has the units, its egress policy the permitted addresses.
        has_egress: whether the settings name what may be connected to.
    """

    def __init__(self, gateway: Gateway, *, has_egress: bool) -> None:
        self._gateway = gateway
        self._has_egress = has_egress
        self._named: dict[bytes, Target | str | None] = {}
        """What each query names, by its bytes: an address, a name or serial number, or nothing."""

    async def find_local(self, scope: Scope, principal: Principal) -> None:
        """Find the target of a client of this machine, which is restricted by the egress alone."""
        known = self._named.get(scope["query_string"])
        if isinstance(known, Target) and not self._has_egress:
            scope["sfm.target"] = known  # the usual hit: nothing is left to find or check
            return
        await self.find(scope, principal)
        self._check_egress(scope, principal)

    async def find(self, scope: Scope, principal: Principal) -> None:
        """Find the address of the unit that a request names, once for all who need it."""
        if not scope["path"].startswith(("/device/", "/cache/device")):
            return
        try:
            which = self._which(scope["query_string"])
        except RequestRejectedError:
            if principal.token_id is None and not self._has_egress:
                return  # the route reads one of them, which is permitted whichever it is
            raise
        if which is None:
            return  # the route reports what is wrong with it
        roster = self._gateway.roster
        if isinstance(which, str) or principal.token_id is not None:
            await roster.load()
        if isinstance(which, str):
            scope["sfm.named"] = which
        try:
            scope["sfm.target"] = roster.target(which) if isinstance(which, str) else which
        except NoSuchUnitError as error:
            if principal.is_limited:
                detail = f"your token does not permit {which}"
                raise RequestRejectedError(NOT_ALLOWED, detail) from None
            raise RequestRejectedError(problem_of(error), str(error)) from None

    def _which(self, query_string: bytes) -> Target | str | None:
        """Return what a query names, remembered; ``None``: it names no unit."""
        try:
            return self._named[query_string]
        except KeyError:
            if len(self._named) >= MAX_REMEMBERED_QUERIES:
                self._named.clear()
            which = _unit_named(query_string)
            found = self._gateway.roster.target(which) if isinstance(which, Address) else which
            self._named[query_string] = found
            return found

    def check_units(self, scope: Scope, principal: Principal) -> None:
        """
        Let a limited token name routes that are its own, and routes of its units.

        Over the latter it gets answers of its units alone, whichever unit is there now: the gateway
        asks, and answers 403 and nothing else for another one.
        """
        target: Target | None = scope.get("sfm.target")
        if target is None:
            return
        if principal.is_limited:
            # A refusal repeats what the client named: the address behind a name is not for it.
            named = scope.get("sfm.named", target.conn_key)
            scope["sfm.target"] = self._limited(target, principal, named)
        self._check_egress(scope, principal)

    def _limited(self, target: Target, principal: Principal, named: str) -> Target:
        pairs = zip(target.addresses, target.conn_keys, strict=True)
        its_own = [address for address, key in pairs if principal.may_use_route(key)]
        if its_own and len(its_own) == len(target.addresses):
            return target
        if not principal.units.isdisjoint(self._gateway.roster.units_at(target)):
            return replace(target, only=principal.units)
        if its_own:
            return target.over(*its_own)
        raise RequestRejectedError(NOT_ALLOWED, f"your token does not permit {named}")

    def _check_egress(self, scope: Scope, principal: Principal) -> None:
        """Reject a forbidden address before anything else about it is disclosed."""
        is_local = principal.token_id is None
        if is_local and not self._has_egress:
            return  # addresses that are never permitted are rejected at the connection
        target: Target | None = scope.get("sfm.target")
        if target is None or not target.addresses:
            return
        permitted, refused = [], None
        for address in target.addresses:
            try:
                self._gateway.egress.check(address, is_local=is_local)
            except ForbiddenAddressError as error:
                refused = refused or error
            else:
                permitted.append(address)
        if refused is not None:
            if not permitted:
                raise RequestRejectedError(problem_of(refused), str(refused)) from None
            scope["sfm.target"] = target.over(*permitted)


def _unit_named(query_string: bytes) -> Address | str | None:
    """Return the unit that a query names; ``None`` when the parameters name none."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    wanted = {name: value for name, value in pairs if name in DeviceQuery.model_fields}
    try:
        which = DeviceQuery.model_validate(wanted).which
    except ValidationError:
        return None
    repeated = [name for name, _ in pairs if name in wanted]
    if len(repeated) != len(wanted):
        raise RequestRejectedError(NOT_ALLOWED, "name the unit once")
    return which
