from __future__ import annotations

import signal
import subprocess

import pytest

from kit.command_process import CommandProcess
from kit.relay_process import PATIENCE_S, RUN, environment


@pytest.mark.parametrize("words", [("--version",), ("info", "serial:")])
def test_a_forked_command_line_ends_as_one_from_scratch(words: tuple[str, ...]) -> None:
    env = environment(None)
    with CommandProcess(*words, env=env, stdout=True) as forked:
        out, err = forked.communicate(PATIENCE_S)
    ran = subprocess.run([*RUN, *words], env=env, capture_output=True, text=True, check=False)
    assert (forked.returncode, out, err) == (ran.returncode, ran.stdout, ran.stderr)


def test_it_has_signals_and_settings_of_its_own() -> None:
    settings = environment(None, SFM_HTTP_PORT="0")
    with CommandProcess("serve", env=settings) as relay:
        assert "answers at" in relay.stderr.readline()
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(PATIENCE_S) == 0
    with CommandProcess("serve", env=settings) as relay:
        assert "answers at" in relay.stderr.readline()
        relay.kill()
        assert relay.wait(PATIENCE_S) == -signal.SIGKILL
        assert relay.poll() == -signal.SIGKILL
    with CommandProcess("serve", env=environment(None, SFM_TLS_KEY="none.pem")) as refused:
        _, err = refused.communicate(PATIENCE_S)
    assert (refused.returncode, "SFM_TLS_KEY" in err) == (2, True)
