"""Wrong settings: one line for each, which names it; never a traceback."""

from __future__ import annotations

import pytest

from sfm.cli import app


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SFM_UNITS", '{"BE12345": "tcp://10.0.0.5"}', "SFM_UNITS: 'BE12345' reads as a serial"),
        ("SFM_UNITS", "{", "SFM_UNITS: the value is not JSON"),
        ("SFM_REPLY_S", "soon", "SFM_REPLY_S: Input should be a valid number"),
        ("SFM_SITE_ZONES", '{"*": "Mars/Olympus"}', "SFM_SITE_ZONES: *: unknown time zone"),
        ("SFM_TRUSTED_PROXIES", '["*"]', "SFM_TRUSTED_PROXIES: '*' is not an IP address"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    name: str,
    value: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        app(["serve", "--http-port", "0"])
    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert shown.startswith(expected)
    assert shown.count("\n") == 1
