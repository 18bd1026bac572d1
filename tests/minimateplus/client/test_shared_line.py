"""Two programs on one unit through a real ser2net; ``shared_line.py`` runs more of the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kit.peers import lack
from kit.shared_line import find_ser2net, share_the_line

LISTS = 20
SEED = 11


@pytest.mark.peer
def test_two_programs_behind_ser2net_never_make_a_short_list_good(tmp_path: Path) -> None:
    if find_ser2net() is None:
        lack("ser2net is not installed (Debian: apt-get install ser2net)")
    outcome = asyncio.run(share_the_line(tmp_path, LISTS, SEED))
    assert outcome.lists == LISTS
    assert outcome.disturbances > LISTS, "the other program hardly sent anything"
    assert outcome.short_called_good == []
    assert outcome.erases_done == 0, "events that nobody has were erased"
    assert outcome.failed_while_quiet == []
    assert outcome.served_good >= outcome.quiet
