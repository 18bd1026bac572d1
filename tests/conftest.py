"""What applies to every test: a loop for asynchronous ones, and none of this user's own data."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import os
from pathlib import Path
from zlib import crc32

import pytest
import structlog
from hypothesis import HealthCheck, settings
from kit.compiled_statements import share_compiled_statements

from sfm.logs import reset_logs

HERE = Path(__file__).parent

# A test that needs a database names one. This also applies to the processes that tests start.
os.environ["SFM_DATABASE_URL"] = "none"
# Commands look for this machine's relay; a developer's own must not be asked.
os.environ["SFM_HTTP_PORT"] = "1"
os.environ["SFM_CONFIG"] = "none"

# No example is judged by how fast this machine is; by default one may take 0.2 s.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

share_compiled_statements()

TEST_VARIABLES = ("TEST_PROOF_S", "TEST_REQUIRE_PEERS", "TEST_HANGS_AFTER_S")
"""They configure the tests. The command line would warn of them, because they are no settings."""


@pytest.fixture(autouse=True)
def no_name_that_is_no_setting(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.path.parent.name == "cli":
        for name in TEST_VARIABLES:
            monkeypatch.delenv(name, raising=False)


HANGS_AFTER_S = float(os.environ.get("TEST_HANGS_AFTER_S", "300"))
"""A bound for a test that waits for ever; nothing is judged by it. Longer for a thousand flips."""


FREEZES_EVERY = 10
"""Tests between two times that what stays alive is put out of the garbage collector's way."""
COLLECTS_EVERY = (10_000, 10, 10)
"""Python's own 700 took a twentieth of the processor time of tests that are full of coroutines."""
PLAIN_LOG = [
    *structlog.get_config()["processors"][:-1],
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]
"""The log where no command configured it; by default each error is drawn with its variables."""
_tests_begun = itertools.count(1)


def pytest_runtest_setup() -> None:
    """Undo what a command line that ran in this process did to log and garbage collector."""
    reset_logs()
    structlog.configure(processors=PLAIN_LOG)
    gc.set_threshold(*COLLECTS_EVERY)
    if next(_tests_begun) % FREEZES_EVERY == 0:
        freeze_what_stays()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mix the files where several processes share them: each begins with its part of the list.

    In the order of their names one process would have all tests that wait for a browser, and the
    others all that compute.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: crc32(item.path.relative_to(HERE).as_posix().encode()))


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


def freeze_what_stays() -> None:
    """Let the garbage collector, which tests call, skip what is alive between two tests."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Begin with what was imported and collected."""
    freeze_what_stays()
