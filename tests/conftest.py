"""What applies to every test: a loop for asynchronous ones, and none of this user's own data."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A test that needs a database names one. This also applies to the processes that tests start.
os.environ["SFM_DATABASE_URL"] = "none"

# No example is judged by how fast this machine is; by default one may take 0.2 s.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

HANGS_AFTER_S = float(os.environ.get("SFM_TEST_HANGS_AFTER_S", "300"))
"""A bound for a test that waits for ever; nothing is judged by it. Longer for a thousand flips."""


def pytest_runtest_setup() -> None:
    """Undo what a command line that ran in this process did to the log."""
    structlog.reset_defaults()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test in a loop of its own; its fixtures are not asynchronous."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    given = {name: pyfuncitem.funcargs[name] for name in names}

    async def bounded() -> None:
        async with asyncio.timeout(HANGS_AFTER_S):
            await test(**given)

    asyncio.run(bounded())
    return True


def pytest_collection_finish() -> None:
    """Let the garbage collector, which tests call, skip what was imported and collected."""
    gc.collect()
    gc.freeze()
