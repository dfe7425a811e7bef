"""What ONNX Runtime's own operators share: their domain, where all of them are of version 1."""

from typing import Any

MICROSOFT = "com.microsoft"

GIVEN: Any = None
"""The default of an operand that is required although it comes after optional ones, which a node may leave empty."""
