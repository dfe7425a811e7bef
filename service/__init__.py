"""The HTTP service: it takes models and probe data in, records audits, shows where they stand, and judges reports.

It never measures and never imports torch, onnx or ``workers``: an audit is a row in the database, and the Celery
message is only a bell that wakes a worker. Each resource has a folder (router, operations, repository, tables); only
repositories hold SQL, only ``problems`` knows statuses, and only the boundary commits.
"""

__all__: list[str] = []
