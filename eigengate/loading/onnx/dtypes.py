"""ONNX element types and tensors in torch's terms."""

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from eigengate.errors import ModelLoadError

_TORCH_DTYPES: Mapping[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
}


def torch_dtype(element_type: int) -> torch.dtype:
    """The torch dtype of an ``onnx.TensorProto`` element type."""
    try:
        return _TORCH_DTYPES[element_type]
    except KeyError:
        known = element_type in TensorProto.DataType.values()
        name = TensorProto.DataType.Name(TensorProto.DataType.ValueType(element_type)) if known else str(element_type)
        raise ModelLoadError(
            f"the model holds values of element type {name}", hint="Only numeric and boolean tensors can be audited."
        ) from None


def read_tensor(proto: onnx.TensorProto) -> Tensor:
    """The tensor a ``TensorProto`` holds, in its declared type and in memory of its own."""
    dtype = torch_dtype(proto.data_type)
    try:
        array = np.array(numpy_helper.to_array(proto), order="C")
        if dtype is torch.bfloat16:  # numpy has no such type; torch takes the bits
            return torch.from_numpy(array.view(np.int16)).view(dtype)
        return torch.from_numpy(array)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelLoadError(f"tensor '{proto.name}' cannot be read: {error}") from error


def read_sparse_tensor(proto: onnx.SparseTensorProto) -> Tensor:
    """The dense form of a ``SparseTensorProto`` (coordinates, or positions in the flattened tensor)."""
    values, indices = read_tensor(proto.values), read_tensor(proto.indices)
    shape = tuple(proto.dims)
    try:
        if indices.ndim == 2:
            return torch.sparse_coo_tensor(indices.T, values, shape, check_invariants=True).to_dense()
        flat = torch.zeros(int(np.prod(shape)), dtype=values.dtype)
        return flat.index_put((indices,), values).reshape(shape)
    except (ValueError, RuntimeError, IndexError) as error:
        raise ModelLoadError(f"sparse tensor '{proto.values.name}' cannot be read: {error}") from error
