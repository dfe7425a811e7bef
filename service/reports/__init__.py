"""Reports of finished audits in every form they are wanted in. Nothing is measured or judged here."""

__all__: list[str] = []
