"""The durable tier: an archive of everything ever read, and a mirror of what units hold now."""

from sfm.store.archive import Origin, Page, Samples, Wanted
from sfm.store.engine import NO_DATABASE, default_url
from sfm.store.errors import StoreError
from sfm.store.mirror import Fenced, Noted, Recalled, RecalledWaveform
from sfm.store.store import Kept, Store

__all__ = [
    "NO_DATABASE",
    "Fenced",
    "Kept",
    "Noted",
    "Origin",
    "Page",
    "Recalled",
    "RecalledWaveform",
    "Samples",
    "Store",
    "StoreError",
    "Wanted",
    "default_url",
]
