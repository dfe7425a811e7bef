"""Policies from strangers: only what can be read in little time is read at all."""

import re
import tomllib

from eigengate.contract import Policy
from eigengate.errors import PolicyError
from eigengate.gate import load_policy

_PRESET = re.compile(rb"\s*(builtin:[a-z0-9_-]+)\s*")
_MAX_DOTS = 500


def policy_of_text(text: bytes) -> Policy:
    """The policy in ``text``: TOML, JSON, or the name of a preset such as ``builtin:strict``.

    Raises:
        PolicyError: It is none of these, or makes no sense. YAML is for policy files: deep nesting keeps its parser
            busy for minutes.
    """
    if preset := _PRESET.fullmatch(text):
        return load_policy(preset[1].decode())
    if not text.lstrip().startswith(b"{"):
        _require_toml(text)
    return load_policy(text)


def _require_toml(text: bytes) -> None:
    # The time tomllib takes for a key of n dotted parts grows with n².
    if any(line.count(b".") > _MAX_DOTS for line in text.splitlines()):
        raise PolicyError(f"a line of the policy has more than {_MAX_DOTS} dots", hint="Write longer text as JSON.")
    try:
        tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise PolicyError("the policy is not UTF-8 text", hint="Send TOML or JSON.") from None
    except RecursionError:
        raise PolicyError("the policy is nested too deeply", hint="Send TOML or JSON.") from None
    except tomllib.TOMLDecodeError as error:
        message = f"not valid TOML: {error}"
        raise PolicyError(
            f"the policy is {message}",
            hint="Send TOML, JSON, or the name of a preset such as builtin:recommended.",
            context={"errors": [{"pointer": "", "message": message}]},
        ) from None
