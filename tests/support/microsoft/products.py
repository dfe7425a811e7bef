"""Matrix products, distances and convolutions, with what is fused into them."""

import numpy as np

from tests.support.microsoft.arrays import Draws, int64
from tests.support.microsoft.case import MicrosoftCase as Case

# Each with the numbers that its fused form needs.
GEMM_ACTIVATIONS = {
    "Relu": {},
    "Sigmoid": {},
    "Tanh": {},
    "Softplus": {},
    "Softsign": {},
    "LeakyRelu": {"activation_alpha": 0.3},
    "Elu": {"activation_alpha": 0.3},
    "Celu": {"activation_alpha": 0.3},
    "ThresholdedRelu": {"activation_alpha": 0.3},
    "HardSigmoid": {"activation_alpha": 0.3, "activation_beta": 0.4},
    "ScaledTanh": {"activation_alpha": 0.3, "activation_beta": 0.4},
    "ParametricSoftplus": {"activation_alpha": 0.3, "activation_beta": 0.4},
    "Selu": {"activation_alpha": 0.3, "activation_gamma": 1.1},
}
CONV_ACTIVATIONS = {
    "Relu": [],
    "Sigmoid": [],
    "Tanh": [],
    "HardSwish": [],
    "LeakyRelu": [0.3],
    "Clip": [-0.5, 0.9],
    "HardSigmoid": [0.3, 0.4],
}


def matrix_products() -> list[Case]:
    d = Draws("matrix products")
    a = d.real(2, 3, 4, 5)
    name = "FusedMatMul"
    return [
        Case("product", name, (a, d.real(5, 2))),
        Case("scaled product", name, (a, d.real(2, 3, 5, 2)), {"alpha": 0.3}),
        Case("product, B transposed", name, (a, d.real(3, 2, 5)), {"transB": 1}),
        Case("product, A transposed", name, (a, d.real(2, 3, 4, 2)), {"transA": 1, "alpha": -2.0}),
        Case("product, both transposed", name, (a, d.real(2, 3, 6, 4)), {"transA": 1, "transB": 1}),
        Case("product, A's batch transposed", name, (a, d.real(3, 4, 5, 2)), {"transBatchA": 1}),
        Case("product, A's batch and rows transposed", name, (a, d.real(3, 4, 2, 2)), {"transBatchA": 1, "transA": 1}),
        Case("product, B's batch transposed", name, (a, d.real(5, 2, 3, 4)), {"transBatchB": 1}),
        Case("product, B's batch and rows transposed", name, (a, d.real(6, 2, 3, 5)), {"transBatchB": 1, "transB": 1}),
        Case("product with a vector", name, (d.real(3, 4), d.real(4)), {"transB": 1}),
        Case("a vector's product", name, (d.real(3), d.real(4, 3)), {"transA": 1, "transB": 1}),
        Case("TransposeMatMul", "TransposeMatMul", (d.real(2, 4, 3), d.real(2, 5, 4)), {"transA": 1, "transB": 1}),
        Case("Inverse", "Inverse", (d.real(2, 3, 3) + 4 * np.eye(3, dtype=np.float32),)),
        Case("CDist", "CDist", (d.real(3, 4), d.real(5, 4))),
        Case("CDist, euclidean", "CDist", (d.real(3, 4), d.real(5, 4)), {"metric": "euclidean"}),
    ]


def fused_products() -> list[Case]:
    d = Draws("fused products")
    a, b, c = d.real(3, 4), d.real(4, 5), d.real(5)
    scaled = {"alpha": 0.7, "beta": 1.3}
    flipped = {"transA": 1, "transB": 1, "activation": "Relu"}
    return [
        *(
            Case(
                f"FusedGemm with {activation}", "FusedGemm", (a, b, c), {"activation": activation, **scaled, **numbers}
            )
            for activation, numbers in GEMM_ACTIVATIONS.items()
        ),
        Case("FusedGemm without C", "FusedGemm", (a, b), {"activation": "Tanh"}),
        Case("FusedGemm, transposed", "FusedGemm", (d.real(4, 3), d.real(5, 4), d.real(3, 1)), flipped),
    ]


def convolutions() -> list[Case]:
    d = Draws("convolutions")
    x, weight, bias = d.real(2, 4, 5, 6), d.real(6, 2, 3, 3), d.real(6)
    geometry = {"group": 2, "strides": [2, 1], "pads": [1, 0, 1, 2], "dilations": [1, 2]}
    return [
        *(
            Case(
                f"FusedConv with {activation}",
                "FusedConv",
                (x, weight, bias),
                {"activation": activation, "group": 2} | ({"activation_params": numbers} if numbers else {}),
            )
            for activation, numbers in CONV_ACTIVATIONS.items()
        ),
        Case("FusedConv with a summand", "FusedConv", (x, weight, bias, d.real(2, 6, 3, 4)), {"group": 2}),
        Case(
            "FusedConv with everything",
            "FusedConv",
            (x, weight, None, d.real(2, 6, 3, 4)),
            {"activation": "Relu", "kernel_shape": [3, 3], **geometry},
        ),
        Case("FusedConv, padded alike", "FusedConv", (x, weight), {"auto_pad": "SAME_UPPER", "group": 2}),
        Case("FusedConv of one axis", "FusedConv", (d.real(1, 2, 7), d.real(3, 2, 3)), {"activation": "Tanh"}),
    ]


def transposed_convolutions() -> list[Case]:
    d = Draws("transposed convolutions")
    x, geometry = d.real(2, 4, 5, 6), {"strides": [2, 2], "output_padding": [1, 0], "group": 2}
    return [
        Case(
            "ConvTransposeWithDynamicPads",
            "ConvTransposeWithDynamicPads",
            (x, d.real(4, 3, 3, 3), int64(1, 0, 1, 1), d.real(6)),
            geometry,
        ),
        Case(
            "ConvTransposeWithDynamicPads, dilated",
            "ConvTransposeWithDynamicPads",
            (x, d.real(4, 3, 2, 2), int64(0, 0, 0, 0)),
            {"dilations": [2, 1]},
        ),
    ]


CASES = (*matrix_products(), *fused_products(), *convolutions(), *transposed_convolutions())
