"""``seismo-relay completion``: a script that completes commands and options in a shell."""

from __future__ import annotations

import sys
from typing import Literal

from sfm.cli.application import app, handles_errors

__all__ = ["completion"]


@app.command
@handles_errors
def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """
    Print the completion script of a shell, made of the commands as they are now.

    bash: `source <(seismo-relay completion bash)` in ~/.bashrc. zsh: the output as `_seismo-relay`
    in a folder of $fpath. fish: the output in ~/.config/fish/completions/seismo-relay.fish.
    PowerShell: `seismo-relay completion powershell | Out-String | Invoke-Expression` in $PROFILE.

    Parameters
    ----------
    shell
        Whose script.
    """
    sys.stdout.write(app.generate_completion(shell=shell))
