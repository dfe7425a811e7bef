"""Pages for people: what this is, and the newest audits. The report's page is ``eigengate.page``.

A template sees one frozen dataclass and nothing else; everything it shows is escaped.
"""

__all__: list[str] = []
