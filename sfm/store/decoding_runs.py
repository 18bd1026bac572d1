"""
Decoding archived images again after an upgrade of the decoder.

Each batch is one short transaction, so that a relay on the same database is not kept waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sfm.records.payloads import Payload
from sfm.store import decodings
from sfm.store.engine import Engines

__all__ = ["decode_outdated", "has_outdated"]

BATCH_SIZE = 50
"""Images decoded in one transaction."""
MAX_DECODED = 1_000_000

OnProgress = Callable[[int, int], None]
"""Receives how many images are done, of how many."""


def has_outdated(engines: Engines) -> bool:
    """Whether an older decoder produced some image's latest reading."""
    with engines.read() as connection:
        return bool(decodings.outdated(connection, 1))


def decode_outdated(
    engines: Engines, at: datetime, on_progress: OnProgress = lambda _done, _total: None
) -> list[Payload]:
    """
    Decode every image whose latest reading is an older decoder's; return what became of each.

    Readings that do not match their hash are removed first, and their images decoded again.
    """
    results: list[Payload] = []
    done = last = 0
    with engines.write() as connection:
        decodings.drop_damaged(connection, at)
    with engines.read() as connection:
        total = len(decodings.outdated(connection, MAX_DECODED))
    while True:
        with engines.write() as connection:
            numbers = decodings.outdated(connection, BATCH_SIZE, last)
            found = [decodings.read_again(connection, number, at) for number in numbers]
        if not numbers:
            return results
        results += [payload for payload in found if payload is not None]
        done, last = done + len(numbers), numbers[-1]
        on_progress(done, max(total, done))
