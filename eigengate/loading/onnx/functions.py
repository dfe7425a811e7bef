"""Function bodies: what a model-local function or a standard function operator stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import onnx

FunctionKey = tuple[str, str, str]


@final
@dataclass(frozen=True)
class Scope:
    """How names and attribute references read inside one function call; the top level is the empty scope."""

    opsets: Mapping[str, int]
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    calls: tuple[FunctionKey, ...] = ()

    def name(self, local: str) -> str:
        if not local:
            return ""
        return self.names.get(local, self.prefix + local)

    def enter(self, function: onnx.FunctionProto, node: onnx.NodeProto, prefix: str) -> "Scope":
        """The scope of the function's body when ``node``, which stands in this scope, calls it."""
        inputs = [self.name(name) for name in node.input] + [""] * (len(function.input) - len(node.input))
        names = dict(zip(function.input, inputs, strict=False))
        names |= {inner: self.name(outer) for inner, outer in zip(function.output, node.output, strict=False) if outer}
        given = {attribute.name: self.resolve(attribute) for attribute in node.attribute}
        defaults = {attribute.name: attribute for attribute in function.attribute_proto}
        attributes = defaults | {name: value for name, value in given.items() if value is not None}
        return Scope(
            opset_versions(function.opset_import), prefix, names, attributes, (*self.calls, function_key(function))
        )

    def resolve(self, attribute: onnx.AttributeProto) -> onnx.AttributeProto | None:
        """The attribute itself, or what the calling node gave for the one it refers to."""
        return self.attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute


def function_key(function: onnx.FunctionProto) -> FunctionKey:
    return (plain_domain(function.domain), function.name, function.overload)


def plain_domain(domain: str) -> str:
    """The default domain has two spellings; ours is the empty one."""
    return "" if domain == "ai.onnx" else domain


def opset_versions(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {plain_domain(entry.domain): entry.version for entry in entries}


def standard_function(domain: str, operator: str, version: int) -> onnx.FunctionProto | None:
    """The body by which the ONNX standard itself defines an operator, if it does so independently of types."""
    try:
        schema: Any = onnx.defs.get_schema(operator, version, domain)
    except onnx.defs.SchemaError:
        return None
    # The schema lists from which versions on it has a body; a body that depends on types is not among them.
    if not schema.function_opset_versions:
        return None
    body: onnx.FunctionProto = schema.function_body
    if not body.opset_import:
        body.opset_import.add(domain=domain, version=schema.since_version)
    # The body refers to attributes that the node need not give: the schema, not the body, knows their defaults.
    known = {attribute.name for attribute in body.attribute_proto}
    defaults = (attribute.default_value for name, attribute in schema.attributes.items() if name not in known)
    body.attribute_proto.extend(default for default in defaults if default.name)
    return body
