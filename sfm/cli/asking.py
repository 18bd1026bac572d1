"""One unit, asked through a relay, or through one in this process that nobody else can reach."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimateplus.link.address import Address
from sfm.access.names import folded, parse_host
from sfm.cli import operation
from sfm.cli.application import CommandError, relay_client
from sfm.cli.exits import FAILED, MISUSED, NO_RELAY
from sfm.cli.following import following
from sfm.cli.routing import Kind, UnitOptions, no_relay, refusal, relay_of, target_of

if TYPE_CHECKING:
    import httpx

    from sfm.api.app import Application

__all__ = ["AskedUnit", "ask", "asked_unit", "file_of"]

_SAVED_AS = re.compile(r'attachment; filename="([0-9A-Za-z_-][0-9A-Za-z._-]{0,199})"')
_SHA_256 = re.compile(r"sha-256=:([0-9A-Za-z+/=]+):")


@dataclass
class AskedUnit:
    """A unit and who is asked about it. Lives for one command."""

    client: httpx.AsyncClient
    base: str | None
    """Of the relay; ``None``: ``application``, in this process."""
    target: Address | str
    application: Application | None = None

    async def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        is_long: bool = False,
        on_progress: operation.OnLook | None = None,
    ) -> dict[str, Any]:
        """
        Return the body of one device route, with progress on the way.

        Args:
            is_long: a relay answers at once and is asked for the end, because a proxy between it
                and us may not wait that long. A unit that is asked directly has no proxy before it.
            on_progress: called with an operation each time that it was looked at.

        Raises:
            CommandError: it is a problem; or no relay answers.
        """
        import httpx

        headers = operation.PREFER if is_long and self.base is not None else None
        try:
            which = _parameters(await self._known())
            async with following(self.client, which, self.target, self.application):
                response = await self.client.request(
                    method, path, params={**which, **(query or {})}, json=body, headers=headers
                )
                if location := operation.location_of(response):
                    return await operation.finished(
                        self.client, location, on_look=on_progress, is_direct=self.base is None
                    )
        except CommandError as error:
            if error.problem:
                raise self._refusal(error.problem) from error
            raise
        except httpx.TransportError as error:
            raise no_relay(str(self.base), error) from error
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise CommandError(f"{self.base} answers, but not as a relay does", NO_RELAY) from error
        if response.is_error:
            raise self._refusal(answer)
        return answer

    async def file(self, path: str, query: Mapping[str, Any]) -> tuple[str, bytes]:
        """
        Return the file that a device route answers with: its name and its bytes.

        Raises:
            CommandError: it is a problem; or no relay answers.
        """
        import httpx

        try:
            which = _parameters(await self._known())
            async with following(self.client, which, self.target, self.application):
                response = await self.client.get(path, params={**which, **query})
        except httpx.TransportError as error:
            raise no_relay(str(self.base), error) from error
        return file_of(response, str(self.base), self._refusal)

    def _refusal(self, answer: Mapping[str, Any]) -> CommandError:
        """Return the error of a problem; a word that names nothing at all is no misspelt host."""
        from minimateplus.link.diagnosis import SIGNATURES

        unresolved = SIGNATURES["unknown-host"].sentence
        if isinstance(self.target, str) and unresolved in str(answer.get("detail")):
            detail = (
                f"no unit or location {self.target!r} is registered (seismo-relay unit list), and "
                "no host has this name"
            )
            return refusal({**answer, "detail": detail}, self.base)
        return refusal(answer, self.base)

    async def _known(self) -> Address | str:
        """Return a word that the roster has, as it is; any other as a host name."""
        if isinstance(self.target, Address):
            return self.target
        response = await self.client.get("/units")
        if response.is_error:
            return self.target  # the relay says why at the request itself
        try:
            units = response.json()["units"]
            words = {folded(one[k]) for one in units for k in ("name", "serial") if one[k]}
        except (ValueError, KeyError, TypeError):
            return self.target
        if folded(self.target) in words:
            return self.target
        try:
            return parse_host(self.target)
        except ValueError:
            return self.target


def _parameters(target: Address | str) -> dict[str, Any]:
    if isinstance(target, str):
        return {"unit": target}
    if target.kind == "tcp":
        return {"host": target.target, "tcp_port": target.number}
    if target.kind == "replay":
        raise CommandError("a capture is replayed with: seismo-relay replay FILE", MISUSED)
    return {"port": target.target, "baud": target.number}


def file_of(
    response: httpx.Response,
    base: str,
    refused: Callable[[Mapping[str, Any]], CommandError] | None = None,
) -> tuple[str, bytes]:
    """
    Return the file that a relay answered with: its name and its bytes.

    Raises:
        CommandError: it is a problem, no file with a name that leads out of no folder, or not what
            its digest says.
    """
    if response.is_error:
        try:
            problem = response.json()
        except ValueError as error:
            raise CommandError(f"{base} answers, but not as a relay does", NO_RELAY) from error
        raise refusal(problem, base) if refused is None else refused(problem)
    named = _SAVED_AS.fullmatch(response.headers.get("content-disposition", ""))
    if named is None:
        raise CommandError(f"{base} answers, but not as a relay does", NO_RELAY)
    _check_digest(response, named[1])
    return named[1], response.content


def _check_digest(response: httpx.Response, name: str) -> None:
    """Refuse a file whose bytes are not those that the relay sent, by Repr-Digest (RFC 9530)."""
    from base64 import b64encode
    from hashlib import sha256

    sent = _SHA_256.search(response.headers.get("repr-digest", ""))
    if sent and sent[1] != b64encode(sha256(response.content).digest()).decode():
        raise CommandError(
            f"{name} did not arrive as the relay sent it: its SHA-256 is another one. Ask again.",
            FAILED,
        )


@contextlib.asynccontextmanager
async def asked_unit(
    unit: str, options: UnitOptions, kind: Kind = "read"
) -> AsyncIterator[AskedUnit]:
    """
    Yield the unit, asked as ``sfm.cli.routing`` decides.

    Raises:
        CommandError: it cannot be asked; or a direct command was interrupted, with its audit entry.
    """
    target = target_of(unit, options.baud)
    base = relay_of(options, kind)
    if base is not None:
        async with relay_client(base) as client:
            yield AskedUnit(client, base, target)
        return
    from sfm.cli.direct import direct_client

    async with direct_client(target, is_command=kind == "command") as (client, application):
        yield AskedUnit(client, None, target, application)


async def ask(
    unit: str, path: str, options: UnitOptions, kind: Kind = "read", **more: Any
) -> dict[str, Any]:
    """Return the body of one device route of a unit; see ``AskedUnit.ask``."""
    async with asked_unit(unit, options, kind) as asked:
        return await asked.ask(path, **more)
