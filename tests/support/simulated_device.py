"""A second device that computes on the CPU, for finding what mixes host and device where there is no GPU.

``register`` changes the whole process, so tests use it in one of their own. Its tensors say that they are on the
device; every operator on them runs on the CPU, and is noted where it is also given a tensor of the host that a GPU
would refuse.
Batch normalisation and recurrent kernels are missing: PyTorch asks each kind of device for another operator.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_aten = torch.ops.aten
NAME: Final = "simulated"
MIXED: list[str] = []
"""Names of operators that were given tensors of both sides."""
_ACROSS: Final = frozenset({"copy_", "copy", "_to_copy", "_copy_from"})
# Indices may lie on the host, what they point into may not.
_INDEXED: Final = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})
_BEHIND: dict[int, Tensor] = {}
_ALIVE: list[Tensor] = []  # so that no address of a storage is used twice


class _OnDevice(Tensor):
    __torch_function__ = torch._C._disabled_torch_function_impl


class Draws(torch.Generator):
    """A generator of the device."""

    @property
    def device(self) -> torch.device:
        return torch.device(NAME, 0)


def register() -> torch.device:
    """Make the device known to PyTorch, once in a process."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    for name, operator in _operators():
        library.impl(name, _kernel(operator), "PrivateUse1")
    _ALIVE.append(library)
    plain = Tensor.__matmul__

    def matmul(a: Tensor, b: Tensor) -> Tensor:
        # PyTorch reshapes the result of vector times matrix in place, which a wrapper does not notice.
        return plain(a.unsqueeze(0), b).squeeze(0) if (a.dim(), b.dim()) == (1, 2) else plain(a, b)

    Tensor.__matmul__ = matmul
    return torch.device(NAME, 0)


def _operators() -> Iterator[tuple[str, Any]]:
    kinds = ("CPU", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")
    for name in torch._C._dispatch_get_all_op_names():
        space, _, full = name.partition("::")
        base, _, overload = full.partition(".")
        if space != "aten" or "pin" in base:
            continue
        known = any(torch._C._dispatch_has_kernel_for_dispatch_key(name, kind) for kind in kinds)
        packet = getattr(_aten, base, None)
        if packet is not None and (known or base in _SUBSTITUTES) and (overload or "default") in packet.overloads():
            yield full, getattr(packet, overload or "default")


def _kernel(operator: Any) -> Callable[..., Any]:
    name = operator._schema.name.removeprefix("aten::")
    compute = _SUBSTITUTES.get(name, operator)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        ours = {id(_behind(leaf)): leaf for leaf in leaves if leaf.device.type == NAME}
        host = [leaf for leaf in leaves if leaf.device.type != NAME and leaf.dim()]
        if ours and name not in _ACROSS and any(leaf in _tied(name, args, kwargs) for leaf in map(id, host)):
            MIXED.append(name)
        wanted = kwargs.get("device")
        to_host = wanted is not None and torch.device(wanted).type == "cpu"
        result = compute(*tree_map(_on_host, args), **tree_map(_on_host, kwargs))
        if name == "_local_scalar_dense" or to_host or any(result is leaf for leaf in host):
            return result
        # What was written in place is the wrapper that was given, not a new one.
        return tree_map(lambda leaf: ours[id(leaf)] if id(leaf) in ours else _there(leaf), result)

    return kernel


def _tied(name: str, args: Any, kwargs: Any) -> set[int]:
    """What has to be on one side."""
    operands = (args[0], args[2:]) if name in _INDEXED else (args, kwargs)
    return {id(leaf) for leaf in tree_leaves(operands)}


def _there(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    wrapper = torch._C._acc.create_empty_tensor(tuple(value.shape), value.dtype)
    wrapper.__class__ = _OnDevice
    _BEHIND[wrapper.untyped_storage()._cdata] = value
    _ALIVE.append(wrapper)
    return wrapper


def _behind(leaf: Tensor) -> Tensor:
    # By storage: autograd makes tensors of its own from those it was given.
    return _BEHIND[leaf.untyped_storage()._cdata]


def _on_host(leaf: Any) -> Any:
    if isinstance(leaf, Tensor) and leaf.device.type == NAME:
        return _behind(leaf)
    return torch.device("cpu") if isinstance(leaf, torch.device) else leaf


def _convolution_backward(slope: Tensor, x: Tensor, weight: Tensor, *rest: Any, **kwargs: Any) -> Any:
    rest = (*rest, *kwargs.values())
    return _aten.convolution_backward(slope, x, weight, [weight.shape[0]], *rest)


_SUBSTITUTES: Final[dict[str, Callable[..., Any]]] = {
    "view": lambda x, size: x.reshape(size),  # a wrapper is contiguous, what is behind it need not be
    "_unsafe_view": lambda x, size: x.reshape(size),
    "squeeze_": _aten.squeeze,
    "unsqueeze_": _aten.unsqueeze,
    "t_": _aten.t,
    "transpose_": _aten.transpose,
    "_local_scalar_dense": lambda x: x.item(),
    "convolution_overrideable": _aten.convolution,
    "convolution_backward_overrideable": _convolution_backward,
}
