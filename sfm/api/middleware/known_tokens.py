"""
The tokens of requests: known for a few seconds, checked against their secrets, wrong ones counted.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from sfm.access.principal import TokenBucket, rate_limit_key
from sfm.access.sessions import Session, Sessions
from sfm.api.problems import STORE_FAILED, Problem, RequestRejectedError
from sfm.logs import ClientLog
from sfm.store import StoreError, tokens
from sfm.store.service import StoreService
from sfm.store.tokens import Token, number_of

__all__ = [
    "FAILURES_PER_S",
    "MAX_FAILURES",
    "NO_TOKEN",
    "RATE_LIMITED",
    "TOKEN_KEPT_S",
    "KnownTokens",
]

MAX_FAILURES = 10
FAILURES_PER_S = 60.0
"""An address may send this many wrong tokens at once; they refill in a minute."""
TOKEN_KEPT_S = 5.0
"""How long a token is trusted before it is loaded from the database again."""
MAX_KNOWN_TOKENS = 1000

NO_TOKEN = Problem("token-required", 401, "A token is required")
RATE_LIMITED = Problem("rate-limited", 429, "Too many requests", 60)

log = structlog.get_logger(__name__)


class KnownTokens:
    """
    Finds the token of a bearer or a session. Lives as long as the application.

    Args:
        store_service: has the tokens.
        sessions: browser sessions; they end with their token.
        clock: monotonic seconds.
        client_log: rate-limited log of what clients cause.
    """

    def __init__(
        self,
        store_service: StoreService,
        sessions: Sessions,
        clock: Callable[[], float],
        client_log: ClientLog,
    ) -> None:
        self._store_service = store_service
        self._sessions = sessions
        self._clock = clock
        self._client_log = client_log
        self._failures = TokenBucket(MAX_FAILURES, FAILURES_PER_S, clock)
        self._tokens: dict[int, tuple[float, Token | None]] = {}

    async def of_session(self, session: Session) -> Token:
        """Return the token that a session was begun with; raises as ``of_secret``."""
        token = await self._load(session.token_id)
        if token is None:
            self._sessions.end(session)
            raise RequestRejectedError(
                NO_TOKEN, "sign-in expired: this session's token was revoked; sign in again"
            )
        return token

    async def of_bearer(self, authorization: bytes, origin: str) -> Token:
        """Return the token of an ``Authorization`` header; raises as ``of_secret``."""
        kind, _, secret = authorization.decode("latin-1").partition(" ")
        return await self.of_secret(secret.strip() if kind.lower() == "bearer" else "", origin)

    async def of_secret(self, secret: str, origin: str) -> Token:
        """
        Return the token of a secret; count a wrong secret against its address.

        Raises:
            RequestRejectedError: the secret is wrong, or the address sent too many wrong ones.
        """
        where = rate_limit_key(origin)
        wait_s = self._failures.wait_s(where)
        if wait_s > 0:
            raise RequestRejectedError(
                RATE_LIMITED, "too many wrong tokens came from your address", wait_s
            )
        number = number_of(secret)
        token = None if number is None else await self._load(number)
        if token is None or not token.is_of(secret):
            self._failures.take(where)
            self._client_log.write(log.warning, "wrong_token", where)
            raise RequestRejectedError(NO_TOKEN, "the token is wrong or was revoked")
        return token

    async def _load(self, number: int) -> Token | None:
        """Return a valid token, loaded again after ``TOKEN_KEPT_S``; ``None``: there is none."""
        now = self._clock()
        known = self._tokens.get(number)
        if known is not None and now - known[0] < TOKEN_KEPT_S:
            return known[1]
        try:
            found = await self._store_service.read(tokens.load, number)
        except StoreError:
            if known is None:
                raise RequestRejectedError(
                    STORE_FAILED, "tokens cannot be loaded now; see /health", 5.0
                ) from None
            return known[1]
        valid = found if found is not None and found.revoked_at is None else None
        if len(self._tokens) >= MAX_KNOWN_TOKENS:
            self._tokens.clear()
        self._tokens[number] = (now, valid)
        return valid

    def forget(self, number: int) -> None:
        """Drop a revoked token and end its sessions."""
        self._tokens.pop(number, None)
        self._sessions.end_of_token(number)
