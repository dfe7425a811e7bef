"""The HTTP server: uvicorn, which stops within seconds even while clients wait for audits."""

import socket
from typing import final

import uvicorn

from service.app import create_app
from service.settings import Settings

_GRACEFUL_S = 5


@final
class Server(uvicorn.Server):
    """Serves the application; told to stop, it lets go of held answers and event streams, which uvicorn waits for."""

    def __init__(self, settings: Settings) -> None:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACEFUL_S,
        )
        super().__init__(config)
        self._stopping = app.state.context.stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)
