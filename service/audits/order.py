"""What a caller asks for besides the files: configuration, policy and labels, each mistake named by its place."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from eigengate.contract import AuditConfig, AuditRequest, Policy
from eigengate.errors import ConfigError, PolicyError
from eigengate.gate import load_policy
from service.audits.policy_text import policy_of_text
from service.problems import pointer
from service.refusals import InvalidRequestError, MalformedRequestError

_SHOWN = 300
_TOLD = 5
_MAX_FAULTS = 20
_MAX_LABELS = 64


def request_of_form(model: str, probe: str, fields: Mapping[str, bytes], *, time_limit_s: float) -> AuditRequest:
    """The request that the small fields of a form make of two digests.

    Raises:
        ConfigError, PolicyError, InvalidRequestError: A field makes no sense.
    """
    config = _config(_json("config", fields.get("config") or b"{}"), time_limit_s)
    policy = policy_of_text(fields["policy"]) if fields.get("policy") else None
    labels = _json("labels", fields.get("labels") or b"{}")
    return _request({"model": model, "probe": probe, "config": config, "policy": policy, "labels": labels})


def request_of_json(body: bytes, *, time_limit_s: float) -> AuditRequest:
    """The request that a JSON body makes; raises as ``request_of_form`` does."""
    try:
        values = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise MalformedRequestError("the body is not a JSON object")
    config = _config(values.get("config", {}), time_limit_s)
    return _request({**values, "config": config, "policy": _policy_of_json(values.get("policy"))})


def _policy_of_json(value: Any) -> Policy | None:
    if value is None:
        return None
    if isinstance(value, str):
        return policy_of_text(value.encode())
    if isinstance(value, dict):
        return load_policy(value)
    raise PolicyError(f"a policy is a table or its text, not {type(value).__name__}")


def _config(values: Any, time_limit_s: float) -> AuditConfig:
    try:
        config = AuditConfig.model_validate(values)
    except ValidationError as error:
        errors = _faults(error, AuditConfig)
        raise ConfigError(
            _in_words(errors), hint="GET /v1/info and /openapi.json tell what can be set.", context={"errors": errors}
        ) from None
    if config.time_limit_s is not None and config.time_limit_s > time_limit_s:
        message = f"{config.time_limit_s:g} s is more than the {time_limit_s:g} s this service allows"
        fault = {"pointer": "/time_limit_s", "message": message}
        raise ConfigError(f"time_limit_s: {message}", hint="Ask for less time.", context={"errors": [fault]})
    return config


def _request(values: dict[str, Any]) -> AuditRequest:
    if isinstance(values.get("labels"), dict) and len(values["labels"]) > _MAX_LABELS:
        message = f"{len(values['labels'])} labels are more than {_MAX_LABELS}"
        raise InvalidRequestError(message, context={"errors": [{"pointer": "/labels", "message": message}]})
    try:
        return AuditRequest.model_validate(values)
    except ValidationError as error:
        errors = _faults(error, AuditRequest)
        raise InvalidRequestError(_in_words(errors), context={"errors": errors}) from None


def _json(field: str, content: bytes) -> Any:
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        message = f"not JSON: {error}"
        context = {"errors": [{"pointer": "", "message": message}]}
        if field == "config":
            raise ConfigError(f"the configuration is {message}", context=context) from None
        raise InvalidRequestError(f"{field} is {message}", context=context) from None


def _faults(error: ValidationError, shape: type[BaseModel]) -> list[dict[str, str]]:
    return [
        {"pointer": pointer(fault["loc"]), "message": _message(fault["type"], fault["msg"], fault["loc"], shape)}
        for fault in error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_FAULTS]
    ]


def _message(kind: str, message: str, location: tuple[int | str, ...], shape: type[BaseModel]) -> str:
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")[:_SHOWN]
    name = str(location[-1])
    near = difflib.get_close_matches(name, _known(shape, location[:-1]), 1)
    return f"unknown key {name[:64]!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _known(shape: type[BaseModel], path: Sequence[int | str]) -> Sequence[str]:
    """The keys of the table at ``path``, as far as they are fixed."""
    for part in path:
        field = shape.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return ()
        shape = field.annotation
    return tuple(shape.model_fields)


def _in_words(errors: Sequence[Mapping[str, str]]) -> str:
    told = [f"{error['pointer'].lstrip('/') or 'the whole'}: {error['message']}" for error in errors[:_TOLD]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f" (and {more} more)" if more else "")
