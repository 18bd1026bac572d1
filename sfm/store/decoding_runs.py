"""
Decoding archived images again after an upgrade of the decoder.

Each batch is one short transaction, so that a relay on the same database is not kept waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from sfm.records.payloads import Payload
from sfm.store import decodings

if TYPE_CHECKING:
    from sfm.store.database import Store  # which decodes again after an upgrade

__all__ = ["decode_outdated", "has_outdated"]

BATCH_SIZE = 50
"""Images decoded in one transaction."""
MAX_DECODED = 1_000_000

OnProgress = Callable[[int, int], None]
"""Receives how many images are done, of how many."""


def has_outdated(store: Store) -> bool:
    """Whether an older decoder produced some image's latest reading."""
    return bool(store.read(decodings.outdated, 1))


def decode_outdated(
    store: Store, at: datetime, on_progress: OnProgress = lambda _done, _total: None
) -> list[Payload]:
    """
    Decode every image whose latest reading is an older decoder's; return what became of each.

    Readings that do not match their hash are removed first, and their images decoded again.

    Raises:
        StoreError: the database failed; the batches before are stored.
    """
    results: list[Payload] = []
    done = last = 0
    store.write(decodings.drop_damaged, at)
    total = len(store.read(decodings.outdated, MAX_DECODED))
    while True:
        numbers, found = store.write(_decode_batch, last, at)
        if not numbers:
            return results
        results += found
        done, last = done + len(numbers), numbers[-1]
        on_progress(done, max(total, done))


def _decode_batch(
    connection: Connection, after: int, at: datetime
) -> tuple[list[int], list[Payload]]:
    """Decode the next images; return their numbers, and what became of each."""
    numbers = decodings.outdated(connection, BATCH_SIZE, after)
    found = [decodings.read_again(connection, number, at) for number in numbers]
    return numbers, [payload for payload in found if payload is not None]
