"""The schema's history, one revision a file; ``Database.migrate`` applies it. No other code lives here."""

__all__: list[str] = []
