"""
The durable tier: an archive of everything ever read, a mirror of what units hold now, and who may
command them and did.
"""

from sfm.store.archive import Origin, Page, Samples, Wanted
from sfm.store.audit import AuditEntry, AuditVerdict
from sfm.store.database import Store, WriteResult
from sfm.store.decodings import EraseCheck
from sfm.store.engine import NO_DATABASE, default_url
from sfm.store.errors import StoreError
from sfm.store.mirror import Fenced, LoadedDevice, LoadedWaveform, ReadTime
from sfm.store.tokens import Token

__all__ = [
    "NO_DATABASE",
    "AuditEntry",
    "AuditVerdict",
    "EraseCheck",
    "Fenced",
    "LoadedDevice",
    "LoadedWaveform",
    "Origin",
    "Page",
    "ReadTime",
    "Samples",
    "Store",
    "StoreError",
    "Token",
    "Wanted",
    "WriteResult",
    "default_url",
]
