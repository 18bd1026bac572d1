"""
Exit statuses of every command, and which problem of the relay ends with which.

======  ============================================================================
0       done
1       our fault: the program, its database or the disk failed
2       usage: the command line, a setting or a file that it names is wrong
3       the unit was not reached, or did not answer as a unit does
4       refused: by the unit's state, by the relay, or because something is not there
5       the outcome of a command is unknown
6       no relay answers
7       answered, but not completely
130     interrupted
======  ============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "KIND_OF_STATUS",
    "MISUSED",
    "NO_RELAY",
    "PARTIAL",
    "REFUSED",
    "STATUS_OF_KIND",
    "TYPE_PREFIX",
    "UNKNOWN",
    "UNREACHED",
    "kind_of",
    "status_of",
]

FAILED, MISUSED, UNREACHED, REFUSED, UNKNOWN, NO_RELAY, PARTIAL = range(1, 8)
INTERRUPTED = 130

TYPE_PREFIX = "urn:seismo-relay:problem:"

_KINDS: dict[int, str] = {
    FAILED: "internal computing-failed damaged-record store-busy store-full store-damaged "
    "store-failed store-replaced not-ready",
    MISUSED: "invalid-parameter bad-request too-large query-too-long headers-too-large "
    "request-incomplete bad-capture",
    UNREACHED: "unit-unreachable link-lost unit-silent deadline-exceeded backing-off "
    "memory-changing not-a-unit key-chain-damaged line-shared duplicate-reply unit-failed",
    REFUSED: "command-conflict not-allowed token-required cross-site forbidden-address "
    "unwritable-event extra-missing report-impossible "
    "rate-limited not-monitoring not-writable roster-conflict token-name-taken event-mismatch "
    "busy computing-busy too-many-connections shutting-down no-such-event no-such-record "
    "no-such-token unknown-unit unknown-curve limit-conflict ambiguous-id no-archive not-cached "
    "not-found method-not-allowed gone",
    UNKNOWN: "outcome-unknown read-back-mismatch",
    PARTIAL: "list-incomplete fetch-incomplete samples-undecoded",
}
STATUS_OF_KIND = {kind: status for status, kinds in _KINDS.items() for kind in kinds.split()}
"""The exit status of each kind of problem (docs/reference/http.md, Errors)."""

KIND_OF_STATUS = {
    FAILED: "failed",
    MISUSED: "usage",
    UNREACHED: "unit-unreachable",
    REFUSED: "refused",
    UNKNOWN: "outcome-unknown",
    NO_RELAY: "no-relay",
    PARTIAL: "partial",
    INTERRUPTED: "interrupted",
}
"""The kind of a problem that the command line itself finds."""


def kind_of(problem: Mapping[str, Any]) -> str:
    """Return the kind of a problem document; empty where it names none of ours."""
    found = str(problem.get("type", ""))
    return found.removeprefix(TYPE_PREFIX) if found.startswith(TYPE_PREFIX) else ""


def status_of(problem: Mapping[str, Any]) -> int:
    """
    Return the exit status of a problem document.

    A command whose outcome is unknown says so whatever the kind is. A kind that this program does
    not know, of a newer relay, is judged by its HTTP status.
    """
    if problem.get("outcome") == "unknown":
        return UNKNOWN
    known = STATUS_OF_KIND.get(kind_of(problem))
    if known is not None:
        return known
    status = problem.get("status")
    return REFUSED if isinstance(status, int) and 400 <= status < 500 else FAILED
