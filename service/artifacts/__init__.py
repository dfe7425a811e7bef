"""Artifacts: uploaded model and probe files, kept once each under the digest of their content.

What a file is gets decided here by its first bytes, without parsing it; reading models is the workers' business.
"""

__all__: list[str] = []
