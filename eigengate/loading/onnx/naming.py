"""What a value's name tells about it."""

import re

# Names that exporters make up for values that had none in the network.
_MADE_UP = re.compile(r"^(onnx::\w+|_?val_\d+|\d+|.*Constant_\d+.*|.*Constant(_\d+)?_output_\d+|scalar_tensor.*)$")
# Names of buffers that published networks add to activations or multiply them with.
_BUFFER = re.compile(
    r"(^|[._])(running_mean|running_var|mean|std|mask|attn_mask|causal_mask|relative_position_index|inv_freq|freqs_cis|pe"
    r"|anchors?|pos_encoding_table|position_ids|lifted_tensor_\d+)$"
)


def is_made_up(name: str) -> bool:
    """Whether an exporter invented the name, so that it tells nothing."""
    return _MADE_UP.match(name) is not None


def sounds_like_buffer(name: str) -> bool:
    """Whether networks use this name for tensors they do not train."""
    return _BUFFER.search(name) is not None
