"""
Sessions of browsers: a cookie that stands for a token, so that no page holds the token itself.

The rule: a session is as good as its token and no longer than ``SESSION_S``; it lives in memory and
ends with the relay. The cookie is not to be read by scripts and not sent by other sites' pages;
what changes something must repeat a second secret that only our own pages can have read.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

__all__ = ["COOKIE", "MAX_SESSIONS", "SESSION_S", "Session", "Sessions"]

COOKIE = "sfm_session"
SESSION_S = 12 * 3600.0
MAX_SESSIONS = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that showed a token."""

    id: str
    csrf: str
    token_id: int
    ends_mono: float

    def is_csrf(self, shown: bytes | None) -> bool:
        """Whether ``shown`` is this session's second secret."""
        return shown is not None and hmac.compare_digest(self.csrf.encode(), shown)


class Sessions:
    """
    All sessions. Lives as long as the application.

    Args:
        clock: monotonic seconds.
        secret: makes text that cannot be guessed.
    """

    def __init__(self, clock: Callable[[], float], secret: Callable[[], str]) -> None:
        self._clock = clock
        self._secret = secret
        self._held: OrderedDict[str, Session] = OrderedDict()

    def begin(self, token_id: int) -> Session:
        """Return a new session of that token; the oldest goes where there are too many."""
        session = Session(self._secret(), self._secret(), token_id, self._clock() + SESSION_S)
        self._held[session.id] = session
        if len(self._held) > MAX_SESSIONS:
            self._held.popitem(last=False)
        return session

    def left_s(self, session: Session) -> float:
        """Return for how long a session is still good, s."""
        return max(0.0, session.ends_mono - self._clock())

    def of_cookie(self, cookie: bytes) -> Session | None:
        """Return the session that a Cookie header names, if it is still good."""
        if COOKIE.encode() not in cookie:
            return None
        try:
            morsel = SimpleCookie(cookie.decode("latin-1")).get(COOKIE)
        except CookieError:
            return None
        session = None if morsel is None else self._held.get(morsel.value)
        if session is not None and self._clock() >= session.ends_mono:
            self.end(session)
            return None
        return session

    def end(self, session: Session) -> None:
        """End a session."""
        self._held.pop(session.id, None)

    def end_of_token(self, token_id: int) -> None:
        """End every session of a token."""
        for session in [s for s in self._held.values() if s.token_id == token_id]:
            self.end(session)
