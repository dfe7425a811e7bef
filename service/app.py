"""The application: routes, errors and what they work with, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

import eigengate
from service.artifacts.router import router as artifacts
from service.audits.router import router as audits
from service.context import Context
from service.documentation import describe
from service.gates.router import router as gates
from service.health.router import router as health
from service.pages.router import router as pages
from service.problems import install
from service.queue import Doorbell
from service.reports.router import router as reports
from service.request_scope import RequestScope
from service.settings import Settings

_ABOUT = "Is this network stable enough to ship? Spectral stability audits of TorchScript, ONNX and .pt2 models."


def create_app(settings: Settings | None = None, *, doorbell: Doorbell | None = None) -> FastAPI:
    """The service under ``settings``, by default those of the environment; the database is migrated when it starts."""
    context = Context.open(settings or Settings(), doorbell=doorbell)
    app = FastAPI(
        title="Eigengate",
        version=eigengate.__version__,
        description=_ABOUT,
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,  # their scripts come from other people's servers
        redoc_url=None,
    )
    app.state.context = context
    app.add_middleware(RequestScope)
    install(app)
    for router in (audits, reports, gates, artifacts, health, pages):
        app.include_router(router)
    describe(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    await run_in_threadpool(context.database.migrate)
    yield
    context.database.close()
