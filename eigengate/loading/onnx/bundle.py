"""An ONNX model and its data files in one archive: ``model.onnx`` beside ``model.onnx.data``, or many such files."""

from dataclasses import dataclass
from posixpath import dirname
from typing import Final, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from eigengate.errors import ModelLoadError, UnsupportedFormatError
from eigengate.loading.container import Member, is_gzip, is_tar, is_zip, members_of, quoted
from eigengate.loading.container.member import MAX_UNPACKED_BYTES
from eigengate.loading.onnx.external_data import DataFiles, stored_bytes
from eigengate.loading.onnx.messages import tensors_in
from eigengate.loading.onnx.sniff import is_onnx, may_be_onnx

LARGEST_MESSAGE: Final = 2**31 - 1
"""Protobuf's limit on the bytes of one message, and so of one model file."""
_HEAD_BYTES: Final = 4096
_IN_MEMORY: Final = "in-memory"
# Below this a tensor may be a shape or an axis, which onnxruntime looks into while it builds the graph.
_SMALL_BYTES: Final = 1024
# What numpy has a type for, or a byte pattern of the same size.
_HANDED_OVER: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.BOOL}
    | {TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
    | {TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
)

Weights = dict[str, NDArray[np.generic]]


@final
@dataclass(frozen=True)
class Bundle:
    """The model file of an archive, and the files that its tensors may refer to."""

    model: bytes
    files: DataFiles

    def whole(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of the parsed model with the numbers of every tensor inside, wherever the tensor stands.

        Raises:
            ModelLoadError: a tensor's numbers are not in the bundle, or not as it says.
        """
        copy = _copied(model)
        total = 0
        for tensor in tensors_in(copy):
            if _is_external(tensor):
                total += len(self.files.numbers(tensor))
                if total > MAX_UNPACKED_BYTES:  # a few bytes that a million tensors share would fill the memory
                    raise ModelLoadError(
                        f"the model's tensors take more than {MAX_UNPACKED_BYTES:,} bytes",
                        hint="Larger models are not audited.",
                    )
                self._fill(tensor)
        return copy

    def parted(self, model: onnx.ModelProto) -> tuple[bytes, Weights]:
        """The model for onnxruntime: its large external initialisers apart, every other number inside.

        The bytes of a message are limited, and a model with its numbers inside would exist once more as bytes.

        Raises:
            ModelLoadError: as for ``whole``, or what must stay inside is more than one message can hold.
        """
        copy = _copied(model)
        stored = model.graph.initializer
        del copy.graph.initializer[:]
        copy.graph.initializer.extend(tensor for tensor in stored if not _is_handed_over(tensor))
        inside = [tensor for tensor in tensors_in(copy) if _is_external(tensor)]
        if len(self.model) + sum(stored_bytes(tensor) for tensor in inside) > LARGEST_MESSAGE:
            raise ModelLoadError(
                f"more than {LARGEST_MESSAGE:,} bytes of numbers stand in constants, subgraphs and functions",
                hint="Keep large weights as initialisers of the main graph; onnxruntime cannot check this model.",
            )
        for tensor in inside:
            self._fill(tensor)
        weights: Weights = {}
        for tensor in filter(_is_handed_over, stored):
            weights[tensor.name] = self._array(tensor)
            copy.graph.initializer.append(_stub(tensor))
        return copy.SerializeToString(), weights

    def _fill(self, tensor: TensorProto) -> None:
        numbers = self.files.numbers(tensor)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = bytes(numbers)

    def _array(self, tensor: TensorProto) -> NDArray[np.generic]:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.frombuffer(self.files.numbers(tensor), dtype).reshape(tuple(tensor.dims))


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin as an archive of a kind that bundles come in."""
    return is_zip(data) or is_gzip(data) or is_tar(data)


def open_bundle(data: bytes) -> Bundle:
    """Check an archive and find the one model in it; other files may lie there, and are not read.

    Raises:
        UnsupportedFormatError: the archive holds no ONNX model.
        ModelLoadError: it is damaged or hostile, or holds several models.
    """
    members = members_of(data)
    models = {member.name: content for member in members if (content := _model_file(member)) is not None}
    if not models:
        raise UnsupportedFormatError(_no_model(members), hint=_no_model_hint(members))
    if len(models) > 1:
        raise ModelLoadError(
            f"the archive holds {len(models)} ONNX models: {quoted(list(models))}",
            hint="Pack one model with its data files.",
        )
    name, content = models.popitem()
    return Bundle(content, DataFiles({member.name: member for member in members if member.name != name}, dirname(name)))


def _model_file(member: Member) -> bytes | None:
    """The member's content if it is a whole ONNX model."""
    if not may_be_onnx(bytes(member.read(_HEAD_BYTES)), member.size):
        return None
    content = bytes(member.content)
    return content if is_onnx(content) else None


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _is_handed_over(tensor: TensorProto) -> bool:
    return _is_external(tensor) and tensor.data_type in _HANDED_OVER and stored_bytes(tensor) >= _SMALL_BYTES


def _stub(tensor: TensorProto) -> TensorProto:
    """The tensor as onnxruntime must see it before it is given the numbers by name: external, in no file."""
    stub = TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL
    )
    stub.external_data.add(key="location", value=_IN_MEMORY)
    return stub


def _no_model(members: tuple[Member, ...]) -> str:
    return f"the archive holds no whole ONNX model, but {quoted([member.name for member in members])}"


def _no_model_hint(members: tuple[Member, ...]) -> str:
    if members and all(member.name.endswith(".npy") for member in members):
        return "Are model and probe swapped?"
    return "Pack model.onnx together with its data files. A model cut short on its way must be copied again."
