"""Where operators hold parameters: what a constant operand is to a network, by operator and input position."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import final


class Role(StrEnum):
    """What a constant is to the network; ``BUFFER`` is everything that is not trained."""

    WEIGHT = "weight"
    BIAS = "bias"
    SCALE = "scale"
    EMBEDDING = "embedding"
    BUFFER = "buffer"


class Evidence(IntEnum):
    """How much a position says about the constants that stand there."""

    WEAK = 1
    """Numbers that prepare the data stand there as often: only a name that the network gave makes a parameter."""
    FAIR = 2
    """Masks and factors stand there too: only arrays of several finite numbers, or numbers with a name, count."""
    GOOD = 3
    """Any array there is a parameter unless its name says otherwise."""
    PROOF = 4
    """The operator is defined with a parameter there."""


@final
@dataclass(frozen=True)
class Place:
    """What a position is for, and how much that says."""

    role: Role
    evidence: Evidence


Places = Mapping[int, Place]
_Roles = Mapping[int, Role]

_WEIGHT_BIAS: _Roles = {1: Role.WEIGHT, 2: Role.BIAS}
_SCALE_BIAS: _Roles = {1: Role.SCALE, 2: Role.BIAS}
_RECURRENT: _Roles = {1: Role.WEIGHT, 2: Role.WEIGHT, 3: Role.BIAS}
_MICROSOFT = "com.microsoft"

_PROOF: Mapping[tuple[str, str], _Roles] = {
    ("", "Conv"): _WEIGHT_BIAS,
    ("", "ConvTranspose"): _WEIGHT_BIAS,
    ("", "DeformConv"): {1: Role.WEIGHT, 3: Role.BIAS},
    ("", "Gemm"): {0: Role.WEIGHT, 1: Role.WEIGHT, 2: Role.BIAS},
    ("", "RNN"): _RECURRENT,
    ("", "GRU"): _RECURRENT,
    ("", "LSTM"): {**_RECURRENT, 7: Role.WEIGHT},
    ("", "BatchNormalization"): _SCALE_BIAS,
    ("", "InstanceNormalization"): _SCALE_BIAS,
    ("", "LayerNormalization"): _SCALE_BIAS,
    ("", "GroupNormalization"): _SCALE_BIAS,
    ("", "RMSNormalization"): {1: Role.SCALE},
    ("", "SimplifiedLayerNormalization"): {1: Role.SCALE},  # onnxruntime has it in the standard's domain
    ("", "PRelu"): {1: Role.SCALE},
    ("", "CausalConvWithState"): _WEIGHT_BIAS,
    (_MICROSOFT, "FusedConv"): _WEIGHT_BIAS,
    (_MICROSOFT, "ConvTransposeWithDynamicPads"): {1: Role.WEIGHT, 3: Role.BIAS},
    (_MICROSOFT, "CausalConvWithState"): _WEIGHT_BIAS,
    (_MICROSOFT, "FusedGemm"): {0: Role.WEIGHT, 1: Role.WEIGHT, 2: Role.BIAS},
    (_MICROSOFT, "GemmFastGelu"): _WEIGHT_BIAS,
    (_MICROSOFT, "BiasGelu"): {1: Role.BIAS},
    (_MICROSOFT, "BiasSplitGelu"): {1: Role.BIAS},
    (_MICROSOFT, "BiasAdd"): {1: Role.BIAS},
    (_MICROSOFT, "BiasDropout"): {1: Role.BIAS},
    (_MICROSOFT, "FastGelu"): {1: Role.BIAS},
    (_MICROSOFT, "LayerNormalization"): _SCALE_BIAS,
    (_MICROSOFT, "SimplifiedLayerNormalization"): {1: Role.SCALE},
    (_MICROSOFT, "SkipLayerNormalization"): {2: Role.SCALE, 3: Role.BIAS, 4: Role.BIAS},
    (_MICROSOFT, "SkipSimplifiedLayerNormalization"): {2: Role.SCALE, 3: Role.BIAS},
    (_MICROSOFT, "GatedRMSNorm"): {1: Role.SCALE},
    (_MICROSOFT, "BranchwiseRMSNorm"): {1: Role.SCALE},
    (_MICROSOFT, "GroupNorm"): _SCALE_BIAS,
    (_MICROSOFT, "SkipGroupNorm"): {1: Role.SCALE, 2: Role.BIAS, 4: Role.BIAS},
    (_MICROSOFT, "EmbedLayerNormalization"): {
        **dict.fromkeys((2, 3, 4), Role.EMBEDDING),
        5: Role.SCALE,
        6: Role.BIAS,
    },
    (_MICROSOFT, "Attention"): _WEIGHT_BIAS,
    (_MICROSOFT, "DecoderMaskedSelfAttention"): _WEIGHT_BIAS,
    (_MICROSOFT, "LongformerAttention"): {**_WEIGHT_BIAS, 4: Role.WEIGHT, 5: Role.BIAS},
    (_MICROSOFT, "MultiHeadAttention"): {3: Role.BIAS},
    (_MICROSOFT, "DecoderMaskedMultiHeadAttention"): {10: Role.BIAS},
    (_MICROSOFT, "GatedRelativePositionBias"): {1: Role.BIAS, 3: Role.WEIGHT, 4: Role.BIAS, 5: Role.SCALE},
    (_MICROSOFT, "VarlenCausalConvWithState"): {1: Role.WEIGHT, 3: Role.BIAS},
    (_MICROSOFT, "GroupQueryAttention"): {11: Role.BIAS},
    (_MICROSOFT, "LinearAttentionGate"): {1: Role.BIAS, 2: Role.SCALE},
    (_MICROSOFT, "GatedDeltaNet"): {7: Role.SCALE, 8: Role.BIAS},
    (_MICROSOFT, "EngramGate"): dict.fromkeys((3, 4, 5), Role.SCALE),
    (_MICROSOFT, "MoEGroupRouter"): {1: Role.BIAS, 2: Role.WEIGHT},
    (_MICROSOFT, "MoE"): {**dict.fromkeys((2, 4, 6), Role.WEIGHT), **dict.fromkeys((3, 5, 7), Role.BIAS)},
}
_GOOD: Mapping[tuple[str, str], _Roles] = {
    ("", "MatMul"): {0: Role.WEIGHT, 1: Role.WEIGHT},
    ("", "Einsum"): dict.fromkeys(range(8), Role.WEIGHT),
    ("", "Gather"): {0: Role.EMBEDDING},
    ("", "GatherND"): {0: Role.EMBEDDING},
    ("", "Attention"): dict.fromkeys((0, 1, 2), Role.WEIGHT),
    (_MICROSOFT, "FusedMatMul"): {0: Role.WEIGHT, 1: Role.WEIGHT},
    (_MICROSOFT, "TransposeMatMul"): {0: Role.WEIGHT, 1: Role.WEIGHT},
    (_MICROSOFT, "GatherND"): {0: Role.EMBEDDING},
    (_MICROSOFT, "RelativePositionBias"): {0: Role.EMBEDDING},
}
_ANYWHERE = range(16)
_FAIR: Mapping[tuple[str, str], _Roles] = {
    ("", "Add"): dict.fromkeys(_ANYWHERE, Role.BIAS),
    ("", "Sum"): dict.fromkeys(_ANYWHERE, Role.BIAS),
    ("", "Mul"): dict.fromkeys(_ANYWHERE, Role.SCALE),
    ("", "Concat"): dict.fromkeys(_ANYWHERE, Role.EMBEDDING),
    ("", "Expand"): {0: Role.EMBEDDING},
    ("", "Where"): {1: Role.EMBEDDING, 2: Role.EMBEDDING},
    # Initial states.
    ("", "RNN"): {5: Role.EMBEDDING},
    ("", "GRU"): {5: Role.EMBEDDING},
    ("", "LSTM"): {5: Role.EMBEDDING, 6: Role.EMBEDDING},
    ("", "Loop"): dict.fromkeys(range(2, 16), Role.EMBEDDING),
    ("", "Scan"): dict.fromkeys(_ANYWHERE, Role.EMBEDDING),
    # What is added to the scores of attention.
    ("", "Attention"): {3: Role.BIAS},
    (_MICROSOFT, "Attention"): {5: Role.BIAS},
    (_MICROSOFT, "MultiHeadAttention"): {5: Role.BIAS},
    (_MICROSOFT, "BiasSoftmax"): {1: Role.BIAS},
    (_MICROSOFT, "ScaledSiLU"): {1: Role.SCALE},
    (_MICROSOFT, "GroupQueryAttention"): {10: Role.BIAS},
    (_MICROSOFT, "DecoderMaskedMultiHeadAttention"): {4: Role.BIAS},
    (_MICROSOFT, "HyperConnectionPreMix"): {1: Role.WEIGHT},
    (_MICROSOFT, "HyperConnectionPostMix"): {2: Role.SCALE, 3: Role.WEIGHT},
    (_MICROSOFT, "CDist"): {0: Role.WEIGHT, 1: Role.WEIGHT},
}
_WEAK: Mapping[tuple[str, str], _Roles] = {
    ("", "Sub"): dict.fromkeys((0, 1), Role.BIAS),
    ("", "Div"): dict.fromkeys((0, 1), Role.SCALE),
}


def places(domain: str, operator: str) -> Places:
    """The input positions of an operator where parameters stand; a constant anywhere else is none."""
    return _PLACES.get((domain, operator), {})


def _places() -> Mapping[tuple[str, str], Places]:
    found: dict[tuple[str, str], dict[int, Place]] = {}
    tables = {Evidence.PROOF: _PROOF, Evidence.GOOD: _GOOD, Evidence.FAIR: _FAIR, Evidence.WEAK: _WEAK}
    for evidence, table in tables.items():
        for operator, roles in table.items():
            found.setdefault(operator, {}).update({at: Place(role, evidence) for at, role in roles.items()})
    return MappingProxyType(found)


_PLACES = _places()
