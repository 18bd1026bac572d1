"""What computes in tests that have no second process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sfm.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")


class InlineWorker(Worker):
    """Computes in this process: the time of a simulation does not wait for another one."""

    computed = 0
    """Calls of all workers."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        InlineWorker.computed += 1
        # Copied, as it would be on its way to the other process and back.
        call = pickle.loads(pickle.dumps((function, args, kwargs)))
        result: T = pickle.loads(pickle.dumps(call[0](*call[1], **call[2])))
        return result
