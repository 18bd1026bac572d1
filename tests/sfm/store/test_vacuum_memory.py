"""A vacuum needs room on the disk, and none in memory for the whole database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert

from sfm.store import Store, schema

SIZE_MIB = 96
CHILD = """
import resource, sys
from sfm.store.maintenance import vacuum
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
vacuum("sqlite:///" + sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_a_vacuum_takes_a_small_part_of_the_database_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.sqlite"
    row = {"unit_id": "a", "waveform_key": "b", "event_timestamp": ""}
    with Store.open(f"sqlite:///{path}") as store:
        for start in range(SIZE_MIB):
            data = start.to_bytes(1, "big") * (1 << 20)
            with store.engines.write() as connection:
                connection.execute(
                    insert(schema.download_chunks), [{**row, "start": start, "data": data}]
                )
    assert path.stat().st_size > SIZE_MIB << 20
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True
    )
    grown_mib = int(done.stdout) / 1024
    assert grown_mib < SIZE_MIB / 4, f"{grown_mib:.0f} MiB more for a database of {SIZE_MIB} MiB"
