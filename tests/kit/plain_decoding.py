"""The plain decoder of ``benchmarks``, for tests that hold the product's samples against it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

Decoded = tuple[list[list[int]], int]


def _plain_decoder() -> Callable[..., Decoded]:
    path = Path(__file__).parents[2] / "benchmarks" / "plain_decoder.py"
    spec = importlib.util.spec_from_file_location("plain_decoder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    decode: Callable[..., Decoded] = module.decode_plain
    return decode


decode_plain = _plain_decoder()
