"""Programs of others that tests need: where one is missing, its tests are skipped, or fail."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("TEST_REQUIRE_PEERS") == "1"
"""Whether everything must be there, as in continuous integration."""


def lack(what: str) -> NoReturn:
    """Say what is missing and skip the test; fail it where everything must be there."""
    if REQUIRED:
        pytest.fail(f"{what}, and TEST_REQUIRE_PEERS=1 demands it")
    pytest.skip(what)
