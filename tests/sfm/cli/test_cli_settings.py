"""Wrong settings: one line for each, which names it; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

import sfm.cli
from sfm.cli import app


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SFM_UNITS", '{"BE12345": "tcp://10.0.0.5"}', "SFM_UNITS: 'BE12345' reads as a serial"),
        ("SFM_UNITS", "{", "SFM_UNITS: expected JSON, got '{'; for example: SFM_UNITS="),
        (
            "SFM_REPLY_S",
            "soon",
            "SFM_REPLY_S: expected a number greater than 0, got 'soon'; for example: SFM_REPLY",
        ),
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


def test_a_name_that_is_no_setting_is_warned_about_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFM_REPLYS", "3")
    for _ in range(2):
        with pytest.raises(SystemExit):
            app(["operation", "x"])
    shown = capsys.readouterr().err
    assert shown.count("Warning: SFM_REPLYS is no setting and has no effect") == 1


@pytest.mark.parametrize("words", [["--help"], ["info", "--help"], ["--version"], ["doctor"]])
def test_help_version_and_doctor_work_whatever_the_settings_are(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "file.toml").write_text("http_port = [")
    monkeypatch.setenv("SFM_CONFIG", "none")  # restored afterwards; the option sets it
    monkeypatch.setenv("SFM_REPLY_S", "soon")
    monkeypatch.setenv("SFM_DATABASE_URL", "nonsense")
    for config in ("none", str(tmp_path / "file.toml"), str(tmp_path / "missing.toml")):
        monkeypatch.setattr("sys.argv", ["seismo-relay", *words, "--config", config])
        status: object = 0
        try:
            sfm.cli.main()
        except SystemExit as end:
            status = end.code or 0
        shown = capsys.readouterr()
        assert (status, shown.err) == (1 if words == ["doctor"] else 0, "")
        if words == ["doctor"]:
            fault = "SFM_REPLY_S: expected" if config == "none" else "file.toml"
            words_shown = "".join(shown.out.split())  # the table may fold a path anywhere
            assert "failed" in words_shown
            assert "".join(fault.split()) in words_shown or "missing.toml" in words_shown


def test_the_config_option_names_the_file_and_wants_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("reply_s = -1")
    for words in (["--config", str(path), "serve"], ["serve", f"--config={path}"]):
        monkeypatch.setattr("sys.argv", ["seismo-relay", *words])
        monkeypatch.setenv("SFM_CONFIG", "none")
        with pytest.raises(SystemExit) as ended:
            sfm.cli.main()
        assert ended.value.code == 2
        assert capsys.readouterr().err == (
            f"{path}: reply_s: expected a number greater than 0, got -1; "
            "for example: reply_s = 10\n"
        )
    monkeypatch.setattr("sys.argv", ["seismo-relay", "serve", "--config"])
    with pytest.raises(SystemExit) as ended:
        sfm.cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("--config: expected a settings file")
