"""Operators that will never have a function here, and why: what they compute has no derivative that is a number."""

from collections.abc import Mapping

from eigengate.loading.onnx.graph import Node

_TEXT = "it works on text"
_IMAGES = "it decodes image files; decode them before, the probe holds numbers"
_RANDOM = "it draws random numbers, so that no two calls compute the same function"
_TRAINING = "it is a training operator; export the network for inference"
_CLASSICAL = "ai.onnx.ml holds trees, encoders and text features, which have no derivative by their inputs"

_OPERATORS: Mapping[str, str] = {
    **dict.fromkeys(("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch"), _TEXT),
    "ImageDecoder": _IMAGES,
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _RANDOM),
    **dict.fromkeys(("Bernoulli", "Multinomial"), _RANDOM),
}
_DOMAINS: Mapping[str, str] = {
    "ai.onnx.preview.training": _TRAINING,
    "ai.onnx.training": _TRAINING,
    "ai.onnx.ml": _CLASSICAL,
}


def foreign_operators() -> Mapping[str, str]:
    """Operators of the standard domain that are refused on purpose, with the reason."""
    return _OPERATORS


def why_foreign(node: Node) -> str | None:
    """Why the node's operator is refused on purpose, or None."""
    return _OPERATORS.get(node.operator) if node.domain == "" else _DOMAINS.get(node.domain)
