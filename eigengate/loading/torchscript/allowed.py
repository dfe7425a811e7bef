"""Which operators may run at all: the allow-list of namespaces and the deny-list within them."""

import functools
from typing import Final

import torch

QUANTIZED_NAMESPACES: Final = frozenset({"quantized", "quantized_decomposed", "_quantized"})
QUANTIZING_OPERATORS: Final = frozenset(
    f"aten::{name}"
    for name in [
        "quantize_per_tensor",
        "quantize_per_channel",
        "quantize_per_tensor_dynamic",
        "dequantize",
        "q_scale",
        "q_zero_point",
        "int_repr",
        "fake_quantize_per_tensor_affine",
        "fake_quantize_per_channel_affine",
        "_make_per_tensor_quantized_tensor",
    ]
)

# They touch files, memory behind the tensors, global state, other processes or the autograd engine itself.
DENIED: Final = frozenset(
    f"aten::{name}"
    for name in [
        "from_file",
        "save",
        "set",
        "set_",
        "set_data",
        *(f"{name}{suffix}" for name in ("resize", "resize_as", "resize_as_sparse") for suffix in ("", "_")),
        *(f"{name}{suffix}" for name in ("sparse_resize", "sparse_resize_and_clear") for suffix in ("", "_")),
        "_resize_output_",
        "_resize_output",
        "as_strided",
        "as_strided_",
        "as_strided_copy",
        "as_strided_scatter",
        "set_grad_enabled",
        "manual_seed",
        "seed",
        "initial_seed",
        "backward",
        "grad",
        "requires_grad_",
        "retain_grad",
        "data_ptr",
        "record_stream",
        "share_memory_",
        "pin_memory",
        "wait",
        "fork",
        "get_gradients",
        *("owner", "owner_name", "is_owner", "confirmed_by_owner", "to_here", "local_value"),
        # They take an address for a tensor's content.
        *("fbgemm_pack_gemm_matrix_fp16", "fbgemm_pack_quantized_matrix", "fbgemm_linear_quantize_weight"),
        *("fbgemm_linear_fp16_weight", "fbgemm_linear_fp16_weight_fp32_activation"),
        *("fbgemm_linear_int8_weight", "fbgemm_linear_int8_weight_fp32_activation"),
        "_fw_primal",
        "_make_dual",
    ]
)

# Private operators that appear in honest exports. Every other name with a leading underscore is refused.
PRIVATE: Final = frozenset(
    f"aten::{name}"
    for name in [
        "_convolution",
        "_convolution_mode",
        "_softmax",
        "_log_softmax",
        "_weight_norm",
        "_shape_as_tensor",
        "_unwrap_optional",
        "_set_item",
        "_native_multi_head_attention",
        "_transformer_encoder_layer_fwd",
        "_nested_tensor_from_mask",
        "_nested_tensor_from_mask_left_aligned",
        "_pack_padded_sequence",
        "_pad_packed_sequence",
        "_scaled_dot_product_attention_math",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_safe_softmax",
        "_lu_with_info",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "_reshape_alias",
        "_unsafe_view",
        "_to_copy",
        "_conj",
        "_unsafe_index",
        "_upsample_nearest_exact1d",
        "_upsample_nearest_exact2d",
        "_upsample_nearest_exact3d",
        "_upsample_bilinear2d_aa",
        "_upsample_bicubic2d_aa",
        "_upsample_lanczos2d_aa",
        "_stack",
        "_cat",
        "__and__",
        "__or__",
        "__xor__",
        "__not__",
        "__is__",
        "__isnot__",
        "__contains__",
        "__getitem__",
        "__len__",
        "__delitem__",
        "__lshift__",
        "__rshift__",
        "__iand__",
        "__ior__",
        "__ixor__",
        "__range_length",
        "__derive_index",
        "__round_to_zero_floordiv",
        "__upsample",
        "__interpolate",
    ]
)

# TorchScript's own nodes that tracing, scripting, freezing and saving leave in a graph; is_cpu and its like as well.
PRIM: Final = frozenset(
    f"prim::{name}"
    for name in [
        "CallFunction",
        "CallMethod",
        "Constant",
        "ConstantChunk",
        "CreateObject",
        "DictConstruct",
        "EnumName",
        "EnumValue",
        "GetAttr",
        "If",
        "ListConstruct",
        "ListUnpack",
        "Loop",
        "ModuleContainerIndex",
        "NumToTensor",
        "Print",
        "RaiseException",
        "SetAttr",
        "StringIndex",
        "TupleConstruct",
        "TupleIndex",
        "TupleSlice",
        "TupleUnpack",
        "Uninitialized",
        "abs",
        "data",
        "device",
        "dtype",
        "index",
        "isinstance",
        "itemsize",
        "layout",
        "max",
        "min",
        "name",
        "nbytes",
        "rangelist",
        "requires_grad",
        "shape",
        "tolist",
        "type",
        "unchecked_cast",
        "unchecked_unwrap_optional",
        *(
            f"is_{kind}"
            for kind in ("cpu", "cuda", "ipu", "maia", "meta", "mkldnn", "mps", "mtia", "nested", "quantized")
        ),
        *(f"is_{kind}" for kind in ("sparse", "sparse_csr", "vulkan", "xla", "xpu")),
    ]
)


def is_admitted(operator: str) -> bool:
    """Whether an operator may stand in a model at all, be it in a branch that is never taken or a method never called.

    What is admitted may still have no pure function: ``refusal`` says so of what would run.
    """
    namespace, _, name = operator.partition("::")
    if namespace != "aten" or operator in DENIED or (name.startswith("_") and operator not in PRIVATE):
        return operator in PRIM
    return operator in _aten()


@functools.cache
def _aten() -> frozenset[str]:
    """Qualified names of every operator of TorchScript's standard namespace."""
    return frozenset(schema.name for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("aten::"))


def refusal(operator: str, overload: torch._ops.OpOverload | None = None) -> str | None:
    """Why an operator may not run, or None if it may.

    Args:
        operator: Qualified name, e.g. ``aten::relu``.
        overload: The dispatcher's entry, where there is one: its tags tell random operators.
    """
    namespace, _, name = operator.partition("::")
    if namespace != "aten":
        return f"operators of namespace {namespace!r} are not supported"
    if operator in QUANTIZING_OPERATORS:
        return "quantised values are piecewise constant"
    if operator in DENIED:
        return "it reaches beyond the values of the network"
    if name.startswith("_") and operator not in PRIVATE:
        return "private operators are not supported"
    if overload is not None and torch.Tag.nondeterministic_seeded in overload.tags:
        return "it draws random numbers; export the model in evaluation mode"
    if overload is not None and any(argument.is_out for argument in overload._schema.arguments):
        return "operators that write into an argument are not supported"
    return None


def supported_operators() -> tuple[str, ...]:
    """Qualified names of every operator that may run in at least one of its overloads, sorted."""
    # An in-place operator runs as its functional form, so that one name stands for both.
    return tuple(sorted(name for name in _aten() if not name.endswith("_") and refusal(name) is None))
