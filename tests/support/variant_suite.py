"""What the files of one network must agree on: the same checks for all, so that test files share out the networks."""

from collections.abc import Iterable, Mapping

import pytest
import torch
from torch import Tensor

from tests.support.variants import Variant, eager_network, forms_of, variant

# What the issue asks of every number; forward and backward passes in single precision are good to about 1e-6.
AGREEMENT = 1e-4
# Freezing computes with parameters: these networks have other ones afterwards.
FOLDED = {
    "resnet": "batch normalisation", "densenet": "batch normalisation", "inception": "batch normalisation",
    "shufflenet": "batch normalisation", "mobilenet_v3": "batch normalisation", "efficientnet": "batch normalisation",
    "unet": "batch normalisation", "unet_bilinear": "batch normalisation", "unet_half_pixel": "batch normalisation",
    "tabular": "batch normalisation", "tcn": "lengths of weights", "swin": "biases looked up in a table",
    "recurrence": "a sigmoid of a parameter", "unrolled_recurrence": "a sigmoid of a parameter",
    "attention_pooling": "normalised prototypes",
    # A frozen file does not tell a buffer from a parameter.
    "llama": "frequencies of the positions", "graph_convolution": "the adjacency matrix", "detector": "anchors",
}  # fmt: skip


def networks(names: Iterable[str]) -> pytest.MarkDecorator:
    """A class decorator: each test runs on every one of these networks."""
    return pytest.mark.parametrize("name", list(names))


def all_of(name: str) -> dict[str, Variant]:
    return {form: variant(name, form) for form in forms_of(name)}


def of_same_parameters(name: str) -> dict[str, Variant]:
    return {form: found for form, found in all_of(name).items() if found.own_names is not None}


def entropy(energies: Tensor) -> Tensor:
    """Of each row, in nats."""
    p = energies / energies.sum(-1, keepdim=True)
    return -torch.special.xlogy(p, p).sum(-1)


class VariantSuite:
    """All files of a network against the network itself in double precision, and against one another."""

    def test_input_jacobians_are_those_of_the_network(self, name: str) -> None:
        energies = torch.linalg.svdvals(eager_network(name).jacobians).square()
        expected = {
            "input_jacobian.operator_norm": energies.amax(1).sqrt(),
            "input_jacobian.frobenius_norm": energies.sum(1).sqrt(),
            "input_jacobian.spectral_entropy": entropy(energies),
        }
        for form, found in all_of(name).items():
            for measurement, values in expected.items():
                ours = found.input_jacobian.per_sample[measurement]
                assert ours == pytest.approx(values.tolist(), rel=AGREEMENT), (form, measurement)

    def test_input_jacobian_measurements_agree(self, name: str) -> None:
        first, *others = all_of(name).items()
        for form, found in others:
            for theirs, ours in zip(
                first[1].input_jacobian.measurements, found.input_jacobian.measurements, strict=True
            ):
                assert ours.value == pytest.approx(theirs.value, rel=AGREEMENT), (form, ours.name)
                assert ours.outcome == theirs.outcome == "ok", (form, ours.name)

    def test_the_parameters_are_those_of_the_network_unless_freezing_computed_with_them(self, name: str) -> None:
        frozen = {form for form in forms_of(name) if form.startswith("frozen")}
        assert set(forms_of(name)) - set(of_same_parameters(name)) == (frozen if name in FOLDED else set())
        for form, found in of_same_parameters(name).items():
            assert form in frozen or all(name == own for name, own in found.own_names.items()), form

    def test_tangent_kernels_are_those_of_the_network(self, name: str) -> None:
        network = eager_network(name)
        eigenvalues = torch.linalg.eigvalsh(network.kernel)
        expected = {
            "ntk.operator_norm": float(eigenvalues.max()),
            "ntk.frobenius_norm": float(eigenvalues.norm()),
            "ntk.trace": float(eigenvalues.sum()),
            "ntk.spectral_entropy": float(entropy(eigenvalues)),
        }
        full = torch.linalg.eigvalsh(network.theta).flip(0)
        for form, found in of_same_parameters(name).items():
            ours = {measurement.name: measurement.value for measurement in found.kernel.measurements}
            assert {key: ours[key] for key in expected} == pytest.approx(expected, rel=AGREEMENT), form
            (spectrum,) = (spectrum for spectrum in found.kernel.spectra if spectrum.name == "ntk_full")
            values = torch.tensor(spectrum.values, dtype=torch.float64)
            # Relative to the largest: what rounding leaves of the smallest is no digit of theirs.
            assert (values - full[: len(values)]).abs().max() <= AGREEMENT * full[0], form

    def test_hessians_are_those_of_the_network(self, name: str) -> None:
        """H v for random signs v, whose mean ‖(H - H')v‖² is ‖H - H'‖²_F, a bound on what any eigenvalue differs by."""
        network = eager_network(name)
        expected = flat(network.hessian_products)
        for form, found in of_same_parameters(name).items():
            products = flat(found.hessian_times(network.directions))
            # ‖H‖_F is at most 2.6 times ‖H‖ for these networks.
            assert (products - expected).norm() <= AGREEMENT / 3 * expected.norm(), form
            # vᵀHv, the estimates of the trace.
            v = flat(network.directions)
            torch.testing.assert_close(
                (v * products).sum(1), (v * expected).sum(1), rtol=0, atol=AGREEMENT * float(expected.norm())
            )


def flat(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(2, -1) for tensor in tensors.values()], 1).detach()
