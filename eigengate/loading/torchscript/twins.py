"""The operator without effects that computes what one writes in place."""

import torch


def functional_twin(operator: str, schema: torch._C.FunctionSchema) -> torch._ops.OpOverload | None:
    """The dispatcher's entry that takes the same arguments, if there is one.

    Args:
        operator: Qualified name of the twin, e.g. ``aten::pow``.
        schema: The arguments to take; their overload may have another name there, as that of ``pow_.Scalar`` has.
    """
    namespace, _, name = operator.partition("::")
    packet = getattr(torch.ops.aten, name, None) if namespace == "aten" else None
    if packet is None:
        return None
    own = getattr(packet, schema.overload_name or "default", None)
    overloads = (own, *(getattr(packet, overload) for overload in packet.overloads()))
    return next((found for found in overloads if found and _arguments(found._schema) == _arguments(schema)), own)


def _arguments(schema: torch._C.FunctionSchema) -> list[tuple[str, str, bool]]:
    return [(argument.name, str(argument.type), argument.kwarg_only) for argument in schema.arguments]
