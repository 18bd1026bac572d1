"""What applies to every test: a loop for asynchronous ones, and none of this user's own data."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest

# A test that needs a database names one. This also applies to the processes that tests start.
os.environ["SFM_DATABASE_URL"] = "none"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test in a loop of its own; its fixtures are not asynchronous."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(test(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
