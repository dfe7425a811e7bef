"""``python -m service.migrations``: bring the configured database to the newest revision, and say so."""

import logging
import sys

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.logs import log_to_stderr
from service.settings import Settings

logger = logging.getLogger("service.migrations")


def main() -> int:
    """The exit status: 0 migrated, 4 the database cannot be used."""
    log_to_stderr()
    address = Settings().database_address
    try:
        shown = make_url(address).render_as_string(hide_password=True)
        database = Database(address)
        database.migrate()
    except SQLAlchemyError as error:
        logger.error("the database cannot be migrated: %s", str(error).partition("\n")[0])
        return 4
    database.close()
    logger.info("%s is at the newest revision", shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
