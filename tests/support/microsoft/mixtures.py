"""Mixtures of experts and of residual streams."""

from tests.support.microsoft.arrays import Draws
from tests.support.microsoft.case import MicrosoftCase as Case


def experts() -> list[Case]:
    d = Draws("experts")
    x, logits = d.real(3, 4), d.real(3, 5)
    inner, outer, biases = d.real(5, 6, 4), d.real(5, 4, 6), (d.real(5, 6), d.real(5, 4))
    paired, paired_bias = d.real(5, 12, 4), d.real(5, 12)
    given = (x, logits, inner, biases[0], outer, biases[1])
    gated = (x, logits, paired, paired_bias, outer, biases[1])
    swiglu = {"activation_type": "swiglu", "swiglu_fusion": 1, "k": 2}
    return [
        *(
            Case(f"experts with {name}", "MoE", given, {"k": 2, "activation_type": name})
            for name in ("relu", "gelu", "silu", "identity")
        ),
        Case("one expert", "MoE", (x, logits, inner, None, outer)),
        Case("experts that add up to one", "MoE", given, {"k": 3, "normalize_routing_weights": 1}),
        Case("experts with swiglu", "MoE", gated, swiglu),
        Case("experts, clamped", "MoE", gated, {**swiglu, "swiglu_limit": 0.9, "activation_alpha": 1.7}),
        Case("experts, shifted", "MoE", gated, {**swiglu, "activation_beta": 1.0}),
        Case("experts of sequences", "MoE", (d.real(2, 3, 4), d.real(6, 5), *given[2:]), {"k": 2}),
    ]


def routers() -> list[Case]:
    d = Draws("routers")
    logits, bias = d.real(3, 8), d.real(8)
    name = "MoEGroupRouter"
    groups = {"top_k": 2, "n_group": 4, "topk_group": 2, "group_topk": 1, "router_sentinel": -5.0}
    return [
        Case("router", name, (logits, bias), {"top_k": 3}),
        Case("router of groups", name, (logits, bias), groups),
        Case("router of sequences", name, (d.real(2, 3, 8), bias), {**groups, "group_topk": 2}),
        Case("router of large groups", name, (logits, bias), {"top_k": 4, "n_group": 2, "topk_group": 1}),
        Case("router, all shown", name, (logits, bias), {"top_k": 2}, outputs=("", "ranks", "weights")),
        Case(
            "router that projects",
            name,
            (d.real(3, 256), bias, d.real(8, 256) / 16),
            {"top_k": 2},
            outputs=("", "ranks", "weights"),
        ),
    ]


def streams() -> list[Case]:
    d = Draws("streams")
    grouped, flat, update, matrix = d.real(2, 3, 2, 4), d.real(2, 3, 8), d.real(2, 3, 4), d.real(2, 3, 2, 2)
    gates = {"a number": d.real(2, 3, 2), "a column": d.real(2, 3, 2, 1), "features": d.real(2, 3, 2, 4)}
    before, after = "HyperConnectionPreMix", "HyperConnectionPostMix"
    return [
        *(Case(f"streams reduced by {kind}", before, (grouped, gate)) for kind, gate in gates.items()),
        Case("flat streams, reduced", before, (flat, d.real(2, 3, 2)), {"num_branches": 2, "reduction_scale": 0.5}),
        Case("flat streams, reduced by features", before, (flat, d.real(2, 3, 8)), {"num_branches": 2}),
        *(Case(f"streams updated by {kind}", after, (grouped, update, gate)) for kind, gate in gates.items()),
        *(Case(f"streams mixed by {kind}", after, (grouped, update, gate, matrix)) for kind, gate in gates.items()),
        Case("flat streams, mixed", after, (flat, update, d.real(2, 3, 2), matrix), {"num_branches": 2}),
        Case("GatedAdd", "GatedAdd", (grouped, d.real(2, 3, 2, 4), d.real(2, 3, 2, 1))),
    ]


def engrams() -> list[Case]:
    d = Draws("engrams")
    key, query, value = d.real(2, 3, 2, 4), d.real(2, 3, 2, 4), d.real(2, 3, 4)
    scales = d.scale(2, 4), d.scale(2, 4)
    return [
        Case("EngramGate", "EngramGate", (key, query, value, *scales)),
        Case(
            "EngramGate, normalised",
            "EngramGate",
            (key, query, value, *scales, d.scale(2, 4)),
            {"epsilon": 0.1},
            outputs=("y", "normalised"),
        ),
    ]


CASES = (*experts(), *routers(), *streams(), *engrams())
