from __future__ import annotations

from pathlib import Path

import pytest

from sfm.cli import doctor
from sfm.store import network_share
from sfm.store.network_share import share_of

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /srv tmpfs rw 0 0
server:/data /srv/data nfs4 rw,vers=4.2 0 0
//office/records /srv/with\\040blank cifs rw 0 0
/dev/sdb1 /srv/data/local ext4 rw 0 0
server:/old /twice nfs rw 0 0
/dev/sdc1 /twice ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/seismo-relay/relay.sqlite", None),
        ("/srv/relay.sqlite", None),
        ("/srv/data/relay.sqlite", "nfs4"),
        ("/srv/data/deep/not/there/yet.sqlite", "nfs4"),
        ("/srv/database/relay.sqlite", None),
        ("/srv/with blank/relay.sqlite", "cifs"),
        ("/srv/data/local/relay.sqlite", None),
        ("/twice/relay.sqlite", None),
    ],
)
def test_a_path_lies_on_the_mount_that_is_nearest_to_it(path: str, kind: str | None) -> None:
    assert share_of(Path(path), MOUNTS) == kind


def test_this_machines_own_mounts_can_be_read(tmp_path: Path) -> None:
    assert share_of(tmp_path / "relay.sqlite") is None


def test_the_doctor_names_a_database_on_a_network_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "relay.sqlite"
    monkeypatch.setenv("SFM_DATABASE_URL", f"sqlite:///{path}")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"{MOUNTS}server:/home {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(network_share, "_MOUNTS", mounts)
    with pytest.raises(SystemExit):
        doctor.doctor(as_json=True)
    assert "is on a network share (nfs)" in capsys.readouterr().out
