"""The completion script that a shell reads completes commands and options."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sfm.cli import app

ASK = """
source "$1"; shift
COMP_WORDS=(seismo-relay "$@"); COMP_CWORD=$#; COMPREPLY=()
function=$(complete -p seismo-relay | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$function" seismo-relay "${@: -1}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    app(["completion", "bash"], result_action="return_value")
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)

    def completed(*words: str) -> list[str]:
        ran = subprocess.run(
            ["bash", "-c", ASK, "bash", str(script), *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.split()

    assert completed("inf") == ["info"]
    assert "--units" in completed("info", "--un")
    assert completed("unit", "route", "") == ["add", "change", "remove"]


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_other_shells_have_a_script_too(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    app(["completion", shell], result_action="return_value")
    assert "seismo-relay" in capsys.readouterr().out
