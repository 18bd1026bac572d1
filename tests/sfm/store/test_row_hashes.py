"""The hash of a row, byte by byte as ``sfm.store.row_hashes`` describes it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest

from sfm.store.row_hashes import is_sound, row_hash, with_hash

ROW: dict[str, Any] = {"id": 7, "whole": 1.0, "text": "é", "flag": True, "null": None}
ROW |= {"bytes": b"\0\1", "part": 0.1, "row_hash": b""}
HASHED = b"findings@b 2 s2@image 3 sabbytes 3 b\0\1flag 2 n1part 4 n0.1text 3 s\xc3\xa9whole 2 n1"


def test_a_row_is_hashed_by_the_names_and_values_that_it_has() -> None:
    expected = blake2b(HASHED, digest_size=32).digest()
    assert row_hash("findings", ROW, image="ab", b="2") == expected
    turned = dict(reversed(ROW.items()))
    assert row_hash("findings", turned, b="2", image="ab") == expected


def test_samples_are_left_out_of_the_hash_of_their_row_and_of_no_other() -> None:
    row = {"state": "decoded", "counts": b"x"}
    assert row_hash("recording_decodings", row) == row_hash(
        "recording_decodings", row | {"counts": b""}
    )
    assert row_hash("findings", row) != row_hash("findings", row | {"counts": b""})


@pytest.mark.parametrize("name", ["whole", "text", "flag", "bytes", "part"])
def test_a_changed_value_is_found(name: str) -> None:
    row = with_hash("findings", ROW)
    assert is_sound("findings", row)
    assert not is_sound("findings", row | {name: "other"})
    assert not is_sound("findings", row | {name: None})
    assert not is_sound("findings", row | {name: [1]})
