"""The application. ``build_app`` puts its parts together; nothing is opened before it starts."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from minimateplus.link.ports import list_ports
from sfm.access.egress import EgressPolicy
from sfm.access.sessions import Sessions
from sfm.api import problems
from sfm.api.middleware.authentication import AUTHENTICATION_PROBLEMS, Authentication
from sfm.api.middleware.cache_hits import HitLayer
from sfm.api.routes import device
from sfm.api.routes.accounts import accounts
from sfm.api.routes.archive import archive
from sfm.api.routes.commands import commands
from sfm.api.routes.dependencies import described_problems
from sfm.api.routes.exports import exports
from sfm.api.routes.limits import limits
from sfm.api.routes.operations import operations
from sfm.api.routes.reports import reports
from sfm.api.routes.roster import roster
from sfm.api.routes.web import WebFiles, web
from sfm.api.schemas import reading
from sfm.api.statistics import Statistics
from sfm.api.streams import ending_streams_first
from sfm.devices.analyses import Analyses
from sfm.devices.commands import Commands
from sfm.devices.fetch import Fetches
from sfm.devices.gateway import Gateway
from sfm.devices.operations import Operations
from sfm.exports.made_files import made_files_folder
from sfm.exports.service import Exports
from sfm.live_cache import LiveCache
from sfm.logs import ClientLog
from sfm.reports.service import Reports
from sfm.settings import Settings
from sfm.store import NO_DATABASE, Store, default_url
from sfm.store.engine import read_url
from sfm.store.service import StoreService, boot_id
from sfm.worker import Worker

__all__ = ["Application", "build_app", "build_store_service"]

ROUTERS = (
    device.health,
    device.device,
    device.cache,
    commands,
    operations,
    archive,
    exports,
    reports,
    roster,
    limits,
    accounts,
    web,
)

log = structlog.get_logger(__name__)


class Application(FastAPI):
    """The framework's application, with the layer of cache hits before all of it."""

    front: ASGIApp | None = None

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the framework does."""
        await super().__call__(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the cache at once, if that will do."""
        await (self.front or self.framework)(scope, receive, send)


def _log_upgrade(message: str) -> None:
    log.warning("store_upgraded", what=message)


def build_store_service(settings: Settings, *, read_only: bool = False) -> StoreService:
    """
    Return the store service of the configured database; nothing is opened yet.

    Raises:
        WrongUrlError: no database can be opened by that URL, however often it is tried.
    """
    url = settings.database_url or default_url()
    if url != NO_DATABASE:
        read_url(url)

    def open_store() -> Store:
        return Store.open(url, read_only=read_only, is_relay=not read_only, on_upgrade=_log_upgrade)

    return StoreService(
        None if url == NO_DATABASE else open_store,
        clock=time.monotonic,
        wall=lambda: datetime.now(UTC),
        boot=boot_id(),
        is_read_only=read_only,
    )


def build_app(
    settings: Settings | None = None,
    gateway: Gateway | None = None,
    *,
    egress: EgressPolicy | None = None,
    store_service: StoreService | None = None,
    worker: Worker | None = None,
) -> Application:
    """
    Return the application with its own gateway, or with the one given.

    The gateway is closed when the application shuts down. ``egress`` (what may be connected to) and
    ``store_service`` are for its own gateway; as the settings say if not given. ``worker`` computes
    analyses; it is closed with the application.
    """
    settings = settings or Settings()
    if gateway is None:
        cache = LiveCache(
            limit_bytes=settings.cache_limit_bytes, status_ttl_s=settings.status_ttl_s
        )
        gateway = Gateway(
            cache,
            settings,
            store_service=store_service or build_store_service(settings),
            egress=egress,
        )

    under_way = Operations(
        gateway.store_service,
        wall=lambda: datetime.now(UTC),
        new_id=partial(secrets.token_hex, 16),
        describe=problems.problem_payload,
    )

    analyses = Analyses(gateway.store_service, wall=lambda: datetime.now(UTC), worker=worker)
    analyses.on_stored = gateway.verdicts.renew

    made_exports = Exports(gateway.store_service, analyses, wall=lambda: datetime.now(UTC))
    made = Reports(
        gateway, analyses, wall=lambda: datetime.now(UTC), version=version("seismo-relay")
    )

    def end_streams() -> None:
        gateway.end_streams()
        under_way.end_streams()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.store_service.start()
        await gateway.roster.load()
        await gateway.limits.load()
        analyses.start()
        if gateway.store_service.has_store and not gateway.store_service.is_read_only:
            folder = made_files_folder(settings.database_url)
            made_exports.files.start(folder)
            made.files.start(folder)
        with ending_streams_first(end_streams):
            yield
        await under_way.close()
        await analyses.close()
        made_exports.close()
        made.close()
        await gateway.close()

    application = Application(
        title="seismo-relay",
        version=version("seismo-relay"),
        description="Live cache in front of Instantel MiniMate Plus seismographs.",
        lifespan=lifespan,
        # The framework's own pages load their scripts from another host; ours does not.
        docs_url=None,
        # A path has one form: that of the rules.
        redirect_slashes=False,
        redoc_url=None,
    )
    application.state.gateway = gateway
    application.state.commands = Commands(gateway)
    application.state.fetches = Fetches(gateway)
    application.state.operations = under_way
    application.state.analyses = analyses
    application.state.exports = made_exports
    application.state.reports = made
    application.state.web = WebFiles()
    application.state.list_ports = list_ports
    application.state.statistics = Statistics(gateway)
    application.state.started_mono = time.monotonic()
    client_log = ClientLog()
    problems.install(application, client_log)
    sessions = Sessions(time.monotonic, partial(secrets.token_urlsafe, 32))
    hits = HitLayer(application.framework, gateway)
    guard = application.front = Authentication(
        hits, gateway, settings, sessions, client_log=client_log
    )
    application.state.sessions, application.state.guard = sessions, guard
    for router in ROUTERS:
        # As they are: `include_router` would build each of them anew, at the first request.
        application.router.routes.extend(router.routes)
    reading.describe_problems(application, described_problems(*AUTHENTICATION_PROBLEMS))
    return application
