"""Linear attention and causal convolution: operators that carry a state along a sequence."""

from typing import Any

from tests.support.microsoft.arrays import Draws, int32
from tests.support.microsoft.case import MicrosoftCase as Case

RULES = ("linear", "gated", "delta", "gated_delta")
BOTH = ("y", "state")


def linear_attention() -> list[Case]:
    d = Draws("linear attention")
    q, k, v = d.real(2, 5, 16), 0.5 * d.real(2, 5, 8), d.real(2, 5, 6)
    past, decay, rate = d.real(2, 2, 4, 3), -d.scale(2, 5, 2), d.scale(2, 5, 2)
    name, heads = "LinearAttention", {"q_num_heads": 4, "kv_num_heads": 2}
    given = {"linear": (None, None), "gated": (decay, None), "delta": (None, rate), "gated_delta": (decay, rate)}
    return [
        *(
            Case(f"{rule} attention", name, (q, k, v, past, *given[rule]), {**heads, "update_rule": rule}, BOTH)
            for rule in RULES
        ),
        Case(
            "linear attention that is given all",
            name,
            (q, k, v, past, decay, rate),
            {**heads, "update_rule": "linear"},
            BOTH,
        ),
        Case("linear attention from nothing", name, (q, k, v, None, decay, rate), {**heads, "scale": 0.3}, BOTH),
        Case(
            "linear attention, decaying by features",
            name,
            (q[..., :4], k, v, None, -d.scale(2, 5, 8), rate[..., :1]),
            {"q_num_heads": 1, "kv_num_heads": 2},
            BOTH,
        ),
    ]


def linear_attention_gates() -> list[Case]:
    d = Draws("linear attention gates")
    given, name = (d.real(2, 3, 4), d.real(4), -d.scale(4)), "LinearAttentionGate"
    return [
        Case("LinearAttentionGate", name, given),
        Case("LinearAttentionGate with a rate", name, (*given, d.real(2, 3, 4)), outputs=("decay", "rate")),
    ]


def delta_nets() -> list[Case]:
    d = Draws("delta nets")
    q, k, v = d.real(6, 2, 4), 0.5 * d.real(6, 2, 4), d.real(6, 4, 3)
    past, decay, rate = d.real(2, 4, 3, 4), -d.scale(6, 4), d.scale(6, 4)
    given = {"linear": (None, None), "gated": (decay, None), "delta": (None, rate), "gated_delta": (decay, rate)}
    batched = [x.reshape(2, 3, *x.shape[1:]) for x in (q, k, v, decay, rate)]
    return [
        *(_net(f"{rule} net", (q, k, v, None, *given[rule], past), update_rule=rule) for rule in RULES),
        _net("net of batches", (*batched[:3], None, *batched[3:], past), scale=0.3),
        _net("net of batches from nothing", (*batched[:3], None, *batched[3:])),
        _net("net of ragged sequences", (q, k, v, int32(0, 2, 6), decay, rate, past)),
        _net("net of ragged sequences from nothing", (q, k, v, int32(0, 2, 6), -d.scale(6, 4, 4), rate), qk_l2_norm=1),
        _net(
            "net of joined operands",
            (d.real(6, 28), None, None, None, decay, d.real(6, 4), past),
            beta_activation="sigmoid",
            qk_l2_norm=1,
        ),
    ]


def gated_delta_nets() -> list[Case]:
    d = Draws("gated delta nets")
    operands = d.real(6, 2, 4), 0.5 * d.real(6, 2, 4), d.real(6, 4, 3), None
    rest, head, feature = (d.scale(6, 4), d.real(2, 4, 3, 4)), d.real(6, 4), d.real(6, 4, 4)
    a_log, per_head, per_feature, flat = d.real(4), d.real(4), d.real(4, 4), d.real(16)
    by_head, by_feature = (*operands, head, *rest, a_log), (*operands, feature, *rest, a_log)
    return [
        *(
            _net(f"net with a {gate} gate", (*by_head, per_head), gate_activation=gate)
            for gate in ("softplus", "qwen", "sigmoid", "kda")
        ),
        *(
            _net(
                f"net with a {gate} gate by features",
                (*by_feature, per_feature),
                gate_activation=gate,
                gate_lower_bound=-2.0,
            )
            for gate in ("softplus", "sigmoid")
        ),
        _net("net with a flat bias", (*by_feature, flat), gate_activation="softplus"),
    ]


def causal_convolutions() -> list[Case]:
    d = Draws("causal convolutions")
    x, weight, bias, past = d.real(2, 3, 7), d.real(3, 1, 4), d.real(3), d.real(2, 3, 3)
    name, last = "CausalConvWithState", {"channels_last": 1}
    return [
        Case("causal convolution", name, (x, weight, bias, past), outputs=BOTH),
        Case("causal convolution from nothing", name, (x, weight), {"activation": "silu"}, BOTH),
        Case("causal convolution, dilated", name, (x, d.real(3, 1, 3), None, d.real(2, 3, 4)), {"dilation": 2}, BOTH),
        Case(
            "causal convolution of a step", name, (d.real(2, 3, 1), weight, bias, past), {"activation": "swish"}, BOTH
        ),
        Case("causal convolution, channels last", name, (d.real(2, 7, 3), weight, bias, d.real(2, 3, 3)), last, BOTH),
        Case(
            "causal convolution, two axes of channels",
            name,
            (d.real(2, 7, 2, 3), d.real(6, 1, 4), d.real(6), d.real(2, 3, 2, 3)),
            {**last, "activation": "silu"},
            BOTH,
        ),
    ]


def ragged_convolutions() -> list[Case]:
    d = Draws("ragged convolutions")
    x, name = d.real(7, 3), "VarlenCausalConvWithState"
    return [
        Case(
            "ragged convolution",
            name,
            (x, d.real(3, 1, 4), int32(0, 2, 7), d.real(3), d.real(2, 3, 3)),
            {"activation": "silu"},
            BOTH,
        ),
        Case(
            "ragged convolution, dilated",
            name,
            (x, d.real(3, 1, 3), int32(0, 3, 7), None, d.real(2, 3, 4)),
            {"dilation": 2},
            BOTH,
        ),
    ]


def _net(name: str, operands: tuple[Any, ...], **attributes: Any) -> Case:
    return Case(name, "GatedDeltaNet", operands, attributes, BOTH)


CASES = (
    *linear_attention(),
    *linear_attention_gates(),
    *delta_nets(),
    *gated_delta_nets(),
    *causal_convolutions(),
    *ragged_convolutions(),
)
