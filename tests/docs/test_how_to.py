"""The how-to pages and the tutorial: every block of them runs, or says what it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kit.pages import ROOT, Block, block, blocks_of
from kit.peers import lack
from kit.ports import reserve_port
from kit.relay_process import Relay, new_token, relay
from kit.unit_thread import UnitThread
from sqlalchemy import make_url

from minimateplus.simulator import SimulatedUnit
from sfm.access.principal import Role
from sfm.settings import Settings

if TYPE_CHECKING:
    from kit.durable_databases import Postgres

pytest_plugins = ["kit.durable_databases"]

PAGES = sorted((ROOT / "docs").glob("how-to/*.md")) + sorted((ROOT / "docs").glob("tutorial/*.md"))
OFFICE = "docs/how-to/serve-an-office.md"
PROMETHEUS = "docs/how-to/prometheus.md"
CONNECT = "docs/how-to/connect-a-unit.md"
POSTGRESQL = "docs/how-to/postgresql.md"
BACKUP = "docs/how-to/back-up-restore-upgrade.md"
EVIDENCE = "docs/how-to/send-evidence.md"
LOGS = "docs/how-to/logs.md"
REPORT = "docs/how-to/print-a-report.md"
TUTORIAL = "docs/tutorial/first-hour.md"
RUN_HERE = {
    (CONNECT, "console"),
    (CONNECT, "sh"),
    (POSTGRESQL, "sql"),
    (POSTGRESQL, "console"),
    (BACKUP, "console"),
    (EVIDENCE, "console"),
    (REPORT, "console"),
    (TUTORIAL, "console"),
    (LOGS, "sh"),
    (OFFICE, "sh"),
    (OFFICE, "ini"),
    (OFFICE, "nginx"),
    (OFFICE, "caddyfile"),
    (OFFICE, "console"),
    (OFFICE, "dockerfile"),
    (PROMETHEUS, "yaml"),
}
"""Blocks that a test of this file runs. Python runs in ``test_readme``."""
NOT_RUN = 8
"""Blocks that need what is not here. May fall."""


def program(name: str) -> str:
    """Return the path of a program that the pages are tried with."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    return found or lack(f"{name} is not installed")


def test_every_block_is_run_or_says_what_it_needs() -> None:
    blocks = [one for page in PAGES for one in blocks_of(page)]
    assert unrun(blocks) == []
    assert len([one for one in blocks if one.needs]) <= NOT_RUN


def unrun(blocks: list[Block]) -> list[str]:
    """Return the blocks that neither run nor say why not."""
    return [
        f"{one.page}: {one.text.splitlines()[0]}"
        for one in blocks
        if one.needs is None
        and one.language != "python"
        and (one.page, one.language) not in RUN_HERE
    ]


def test_a_block_that_is_not_run_is_found() -> None:
    assert unrun([Block(OFFICE, "powershell", "winget install\n", None)]) == [
        f"{OFFICE}: winget install"
    ]
    assert unrun([Block(OFFICE, "powershell", "winget install\n", "Windows")]) == []


# --- commands


@pytest.fixture(scope="module")
def unit() -> Iterator[UnitThread]:
    """A simulated unit that answers at the address that the pages name."""
    simulated = SimulatedUnit("BE12345")
    for seed in range(2):
        simulated.record_event(seed=seed)
    served = UnitThread(simulated)
    yield served
    served.close()


def follow(page: str, folder: Path, *changes: tuple[str, str], **settings: str) -> str:
    """Run a page's commands in their order in an empty home, as typed; return what they print."""
    text = "".join(
        one.text
        for one in blocks_of(ROOT / page)
        if one.language == "console" and one.needs is None
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-exc", text],
        cwd=folder,
        env={**home(folder), "PATH": path, "SFM_HTTP_PORT": str(reserve_port()), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


STAYS_UP = re.compile(r"seismo-relay (simulate|serve)")


def test_the_tutorial_can_be_followed_to_its_end(tmp_path: Path) -> None:
    unit_port, relay_port = str(reserve_port()), str(reserve_port())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**home(tmp_path), "PATH": path, "SFM_HTTP_PORT": relay_port}
    printed = ""
    with ExitStack() as stack:
        for one in blocks_of(ROOT / TUTORIAL):
            text = one.text.replace("12345", unit_port)
            if found := STAYS_UP.match(text):
                port = int(unit_port if found[1] == "simulate" else relay_port)
                option = f" --tcp-port {unit_port}" if found[1] == "simulate" else ""
                words = (text.strip() + option).split()
                stack.enter_context(running(words, port, tmp_path, env))
                continue
            done = subprocess.run(
                ["bash", "-exc", text],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            printed += done.stdout
    [report] = (tmp_path / "reports").glob("*.pdf")
    assert report.read_bytes().startswith(b"%PDF")
    for word in ("SIMULATED", "in/s", "vendor", "usbm-ri8507-plaster", "matches recording"):
        assert word in printed, printed


def test_a_report_is_printed_and_verified(tmp_path: Path, unit: UnitThread) -> None:
    printed = follow(REPORT, tmp_path, ("tcp://10.0.0.5:12345", unit.url))
    [report] = (tmp_path / "reports").glob("*.pdf")
    assert report.read_bytes().startswith(b"%PDF")
    assert "matches recording" in printed


def test_a_unit_is_connected(tmp_path: Path, unit: UnitThread) -> None:
    printed = follow(CONNECT, tmp_path, ("tcp://10.0.0.5:12345", unit.url))
    assert "BE12345" in printed
    assert "north face" in printed
    script = block(CONNECT, "sh") + 'printf %s "$SFM_KEEP_OPEN_S_BY_ADDRESS"'
    value = subprocess.run(["bash", "-ec", script], capture_output=True, check=True).stdout
    settings = Settings(keep_open_s_by_address=json.loads(value))
    assert list(settings.keep_open_s_by_address.values()) == [60.0]


def test_evidence_is_recorded_and_looked_at(tmp_path: Path, unit: UnitThread) -> None:
    printed = follow(EVIDENCE, tmp_path, ("tcp://10.0.0.5:12345", unit.url))
    assert "BE12345" in printed
    with_samples = tmp_path / "my-unit-with-waveforms.jsonl"
    assert with_samples.stat().st_size > (tmp_path / "my-unit.jsonl").stat().st_size


def test_a_database_is_backed_up_and_restored(tmp_path: Path) -> None:
    database = tmp_path / "relay.sqlite"
    new_token(database, Role.VIEWER)
    follow(BACKUP, tmp_path, SFM_DATABASE_URL=f"sqlite:///{database}")
    assert (tmp_path / "relay-2026-05-01.sqlite").exists()
    assert len(list(tmp_path.glob("relay.sqlite*"))) > 1, "the replaced file stays"


def test_a_postgresql_database_is_made_from_nothing(tmp_path: Path, postgres: Postgres) -> None:
    role, name = "seismo", "seismo"
    try:
        for statement in block(POSTGRESQL, "sql").strip().split(";\n"):
            postgres.execute(statement.rstrip(";"))
        made = make_url(postgres.url(name)).set(username=role, password="choose one")
        url = made.set(drivername="postgresql").render_as_string(hide_password=False)
        wrong = "postgresql://seismo:choose one@127.0.0.1:5432/seismo"
        printed = follow(POSTGRESQL, tmp_path, (wrong, url))
        assert "revision" in printed
    finally:
        postgres.drop(name)
        postgres.execute(f"DROP ROLE IF EXISTS {role}")


# --- serve an office


def settings_of_the_page() -> dict[str, str]:
    """Return the page's environment file as systemd reads it."""
    lines = block(OFFICE, "sh").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_settings_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of_the_page().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.require_tokens
    assert settings.trusted_proxies == ["127.0.0.1"]
    assert [str(address) for address in settings.units.values()] == ["tcp://10.0.0.5:12345"]


def test_systemd_accepts_the_unit_file(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    executable = tmp_path / "seismo-relay"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    file = tmp_path / "seismo-relay.service"
    text = block(OFFICE, "ini")
    for wrong in (False, True):
        now = text.replace("/opt/seismo-relay/bin/seismo-relay", str(executable))
        file.write_text(now.replace("Restart=", "Restrat=") if wrong else now)
        done = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ("Restrat" in done.stderr) is wrong
        if not wrong:
            assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate that the page's own command makes."""
    folder = tmp_path_factory.mktemp("tls")
    program("openssl")
    subprocess.run(
        ["bash", "-ec", block(OFFICE, "console")], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, str]]:
    """A relay with the page's settings and a simulated unit; a viewer's token."""
    database = tmp_path_factory.mktemp("office") / "relay.sqlite"
    unit = SimulatedUnit("SIM0601")
    unit.record_event()
    served = UnitThread(unit)
    secret = new_token(database, Role.VIEWER)
    settings = settings_of_the_page()
    del settings["SFM_DATABASE_URL"]
    settings["SFM_UNITS"] = json.dumps({"north face": served.url})
    with relay(database=database, **settings) as started:
        yield started, secret
    served.close()


def ask(base: str, path: str, certificate: Path, token: str | None = None) -> tuple[int, bytes]:
    """Ask over HTTPS, as a client that trusts the page's certificate."""
    trusted = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(base + path, headers=headers)
    try:
        with urllib.request.urlopen(request, context=trusted, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@contextmanager
def running(
    words: list[str], port: int, folder: Path, env: dict[str, str] | None = None
) -> Iterator[None]:
    """Run a server until the block ends; it is up once it accepts a connection."""
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env=env or home(folder)
        )
        try:
            up = f"until (echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.02; done"
            subprocess.run(["timeout", "30", "bash", "-c", up], check=True)
            yield
        except subprocess.CalledProcessError:
            raise AssertionError((folder / f"{port}.log").read_text()) from None
        finally:
            process.terminate()
            process.wait(30)


def home(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFM_")}
    return {**kept, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def check_office(base: str, certificate: Path, secret: str) -> None:
    """A token opens the relay through the proxy, its absence does not, and a unit is read."""
    assert ask(base, "/units", certificate)[0] == 401
    status, body = ask(base, "/device/events?unit=north%20face", certificate, secret)
    assert (status, json.loads(body)["count"]) == (200, 1)


def test_nginx_serves_the_relay(
    tmp_path: Path, certificate: Path, office: tuple[Relay, str]
) -> None:
    started, secret = office
    nginx, port = program("nginx"), reserve_port()
    server = block(OFFICE, "nginx")
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/relay", str(certificate)),
        ("127.0.0.1:8200", f"127.0.0.1:{started.port}"),
    ):
        assert old in server
        server = server.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {tmp_path}/pid; error_log stderr; daemon off; master_process off;"
    (tmp_path / "nginx.conf").write_text(
        f"{main} events {{}} http {{ access_log off; {temporary} {server} }}"
    )
    with running([nginx, "-p", str(tmp_path), "-c", "nginx.conf"], port, tmp_path):
        check_office(f"https://127.0.0.1:{port}", certificate, secret)


def test_the_proxy_waits_as_long_as_the_relay() -> None:
    limits = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", block(OFFICE, "nginx"))
    settings = Settings()
    assert len(limits) == 2
    for limit in limits:
        assert int(limit) > settings.queue_s + settings.operation_s


def test_caddy_serves_the_relay(
    tmp_path: Path, certificate: Path, office: tuple[Relay, str]
) -> None:
    started, secret = office
    caddy, port = program("caddy"), reserve_port()
    site = block(OFFICE, "caddyfile")
    for old, new in (
        ("relay.example {", f"https://127.0.0.1:{port} {{"),
        ("/etc/ssl/relay", str(certificate)),
        ("127.0.0.1:8200", f"127.0.0.1:{started.port}"),
    ):
        assert old in site
        site = site.replace(old, new)
    options = "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}\n"
    (tmp_path / "Caddyfile").write_text(options + site)
    words = [caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    with running(words, port, tmp_path):
        check_office(f"https://127.0.0.1:{port}", certificate, secret)


def test_the_relay_speaks_tls_itself(tmp_path: Path, certificate: Path) -> None:
    database = tmp_path / "relay.sqlite"
    secret = new_token(database, Role.VIEWER)
    files = {name: str(certificate / f"{name}.pem") for name in ("cert", "key")}
    with relay(
        database=database,
        SFM_HOST="0.0.0.0",
        SFM_TLS_CERT=files["cert"],
        SFM_TLS_KEY=files["key"],
    ) as started:
        base = f"https://127.0.0.1:{started.port}"
        assert ask(base, "/units", certificate, secret)[0] == 200


def test_a_linter_accepts_the_container_file(tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        lack("hadolint is not installed")
    for wrong, text in enumerate([block(OFFICE, "dockerfile"), "FROM debian\nRUN cd /tmp\n"]):
        file = tmp_path / "Containerfile"
        file.write_text(text)
        done = subprocess.run(
            [linter, "--no-color", file], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "") if not wrong else done.returncode


# --- logs


def test_a_json_log_is_json_alone_and_has_every_request(tmp_path: Path) -> None:
    settings = dict(line.split("=", 1) for line in block(LOGS, "sh").split())
    port = reserve_port()
    words = ["seismo-relay", "serve", "--http-port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with running(words, port, tmp_path, {**home(tmp_path), "PATH": path, **settings}):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60).close()
    lines = [json.loads(line) for line in (tmp_path / f"{port}.log").read_text().splitlines()]
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/health"]


def test_every_event_that_the_page_names_is_one_of_the_program() -> None:
    page = (ROOT / LOGS).read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    code = "".join(path.read_text() for path in (ROOT / "sfm").rglob("*.py"))
    assert len(named) > 8
    assert {name for name in named if f'"{name}"' not in code} == set()


# --- Prometheus


def test_promtool_accepts_configuration_and_rules(tmp_path: Path) -> None:
    promtool = program("promtool")
    scrape = block(PROMETHEUS, "yaml").replace("/etc/prometheus", str(tmp_path))
    (tmp_path / "seismo-relay-token").write_text("secret")
    (tmp_path / "prometheus.yml").write_text(scrape)
    (tmp_path / "rules.yml").write_text(block(PROMETHEUS, "yaml", 1))
    (tmp_path / "cases.yml").write_text(ALERT_CASES)
    for words in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "cases.yml"],
    ):
        done = subprocess.run(
            [promtool, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


ALERT_CASES = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'up{job="seismo-relay", instance="relay"}'
        values: '1x9 0x30'
      - series: 'seismo_relay_failures_in_a_row{device="tcp:10.0.0.5:12345"}'
        values: '0x9 2+1x60'
    alert_rule_test:
      - {eval_time: 12m, alertname: RelayDown}
      - eval_time: 20m
        alertname: RelayDown
        exp_alerts:
          - exp_labels: {job: seismo-relay, instance: relay}
            exp_annotations: {summary: No answer from the relay relay for 5 minutes.}
      - {eval_time: 30m, alertname: UnitNotReached}
      - eval_time: 50m
        alertname: UnitNotReached
        exp_alerts:
          - exp_labels: {device: "tcp:10.0.0.5:12345"}
            exp_annotations: {summary: "tcp:10.0.0.5:12345 has not answered for 30 minutes."}
"""


def test_every_metric_of_the_rules_is_one_of_the_relay(
    office: tuple[Relay, str],
) -> None:
    started, secret = office
    request = urllib.request.Request(
        started.base + "/metrics", headers={"Authorization": f"Bearer {secret}"}
    )
    exposed = urllib.request.urlopen(request, timeout=60).read().decode()
    known = set(re.findall(r"^# TYPE (\S+)", exposed, re.MULTILINE))
    wanted = set(re.findall(r"seismo_relay_\w+", block(PROMETHEUS, "yaml", 1)))
    assert wanted
    assert wanted <= known
