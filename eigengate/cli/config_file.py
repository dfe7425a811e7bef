"""Audit configuration from a TOML, YAML or JSON file."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eigengate.contract import AuditConfig
from eigengate.errors import ConfigError


def load_config(path: Path | None) -> AuditConfig:
    """The configuration in a file, the defaults without one.

    Raises:
        ConfigError: the file cannot be read or parsed, or holds an unknown key or an impossible value.
    """
    if path is None:
        return AuditConfig()
    try:
        return AuditConfig.model_validate(_parse(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        known = ", ".join(AuditConfig.model_fields)
        raise ConfigError(
            f"{path}: {where}: {first['msg']} (got {first['input']!r})", hint=f"settings: {known}"
        ) from error


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix in (".yaml", ".yml"):
            return _yaml(text)
        return json.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML and JSON decoding errors are ValueErrors
        raise ConfigError(f"{path} is not valid {path.suffix.removeprefix('.') or 'JSON'}: {error}") from error


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
