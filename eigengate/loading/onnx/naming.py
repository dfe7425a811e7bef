"""What a value's name tells about it."""

import re

# The older exporter's name for what it computed from parameters, e.g. a transposed or folded weight.
_DERIVED = re.compile(r"^onnx::\w+$")
# Names for values that exporters make up themselves, or compute from anything.
_INVENTED = re.compile(
    r"^(_?val_\d+|\d+|.*Constant_\d+.*|.*Constant(_\d+)?_output_\d+|scalar_tensor.*"
    r"|(.*/)?const_fold_opt__\d+|(.*/)?(Const(_\d+)?|[xy])(/ReadVariableOp)?:0)$"
)
# Names of buffers that published networks add to activations, multiply them with or look up.
_BUFFER = re.compile(
    r"(^|[._/])((running_|pixel_|image_|input_|data_)?(mean|std|var)|(\w+_)?mask|causal|tril|relative_position_index"
    r"|inv_freq|freqs(_cis|_cos|_sin)?|(cos|sin)(_\d+|_cached|_cache)?|alibi|slopes|pe|anchors?|pos_encoding_table"
    r"|position_ids|adj|adjacency(_matrix)?|laplacian|mel_basis|fb|window|dct_mat|lifted_tensor_\d+)$"
)
# Names that networks give to what they train.
_PARAMETER = re.compile(
    r"(^|[._/])(\w+_)?(weight|bias|scale|gamma|beta|kernel|embed|embedding|token)s?\d*(_[a-z]+_l\d+(_reverse)?)?"
    r"(_v|_g|_orig)?(/ReadVariableOp)?(:0)?$|\.original\d+$"
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


def sounds_like_parameter(name: str) -> bool:
    """Whether networks use this name for tensors they train."""
    return _PARAMETER.search(_original(name)) is not None


def _original(name: str) -> str:
    return name.partition("@")[0]
