"""What a value's name tells about it."""

import re

# The older exporter's name for what it computed from parameters, e.g. a transposed or folded weight.
_DERIVED = re.compile(r"^onnx::\w+$")
# Names for values that exporters make up themselves, or compute from anything.
_INVENTED = re.compile(r"^(_?val_\d+|\d+|.*Constant_\d+.*|.*Constant(_\d+)?_output_\d+|scalar_tensor.*)$")
# Names of buffers that published networks add to activations or multiply them with.
_BUFFER = re.compile(
    r"(^|[._])(running_mean|running_var|mean|std|mask|attn_mask|causal_mask|relative_position_index|inv_freq|freqs_cis|pe"
    r"|anchors?|pos_encoding_table|position_ids|lifted_tensor_\d+)$"
)


def copy_name(name: str, consumer: str, position: int) -> str:
    """The name of the copy of a constant that one consumer gets to itself."""
    return f"{name}@{consumer}.{position}"


def is_derived(name: str) -> bool:
    """Whether the name says that an exporter computed the value from parameters."""
    return _DERIVED.match(_original(name)) is not None


def is_invented(name: str) -> bool:
    """Whether an exporter made the name up, so that it tells nothing."""
    return _INVENTED.match(_original(name)) is not None


def sounds_like_buffer(name: str) -> bool:
    """Whether networks use this name for tensors they do not train."""
    return _BUFFER.search(_original(name)) is not None


def _original(name: str) -> str:
    return name.partition("@")[0]
