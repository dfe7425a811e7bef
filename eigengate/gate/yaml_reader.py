"""YAML as far as policies need it: plain mappings, with the numbers and booleans that JSON has. Needs PyYAML."""

import re
from typing import Any

import yaml


class _JsonLikeLoader(yaml.SafeLoader):
    """YAML 1.1 reads ``off`` as false and ``1e-3`` as text; in a policy the first is a level, the second a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class keeps it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_JsonLikeLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_JsonLikeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_mapping(text: str) -> dict[str, Any] | None:
    """The mapping ``text`` stands for, or null if it is none; aliases are refused, for they multiply without end."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            return None
        values = yaml.load(text, _JsonLikeLoader)  # noqa: S506 - a SafeLoader with fewer resolvers
    except (yaml.YAMLError, ValueError):
        return None
    return values if isinstance(values, dict) and all(isinstance(key, str) for key in values) else None
