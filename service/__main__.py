"""``python -m service``: serve until told to stop, with the settings of the environment."""

import uvicorn

from service.app import create_app
from service.logs import log_to_stderr
from service.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    log_to_stderr()
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, log_config=None, access_log=False)
