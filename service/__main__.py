"""``python -m service``: serve until told to stop, with the settings of the environment."""

from service.logs import log_to_stderr
from service.server import Server
from service.settings import Settings

if __name__ == "__main__":
    log_to_stderr()
    Server(Settings()).run()
