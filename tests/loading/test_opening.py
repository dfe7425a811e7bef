"""Networks of whole numbers, opened at their first embedding: derivatives by its output and by its table."""

import functools
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

import eigengate
from eigengate.contract import AuditConfig, ParameterConfig
from eigengate.errors import NotDifferentiableError, ProbeValueError
from eigengate.loading.certificate import certify
from eigengate.loading.functional_model import FunctionalModel, Opening
from eigengate.loading.probe import Probe
from eigengate.preparation import Preparation, prepare
from support.modules import functional
from support.onnx_graphs import graph_model
from support.token_networks import (
    CLASSES,
    FORMS,
    LENGTH,
    NETWORKS,
    VOCABULARY,
    WIDTH,
    TokenNetwork,
    build,
    exported,
)
from support.token_reference import Reference, kernel
from support.torch_networks import saved

DOUBLE = AuditConfig(device="cpu", precision="float64")
# Both sides compute in float64, and sum at most a few hundred terms of order one in another order.
CLOSE = {"rtol": 1e-10, "atol": 1e-11}
# torch.onnx.export(dynamo=True) writes the scale of attention scores as a float32 number.
ROUNDED = {"rtol": 1e-6, "atol": 1e-6}
CHECKS = 6
# Positions that no input changes became a constant: the parametrisation is another one.
FOLDED = {("encoder", "frozen"), ("encoder", "onnx_from_export")}


@functools.cache
def loaded(name: str, form: str) -> tuple[TokenNetwork, FunctionalModel]:
    subject = build(name)
    return subject, eigengate.load_model(exported(form, subject))


def prepared(model: FunctionalModel, *arrays: Tensor, config: AuditConfig = DOUBLE) -> Preparation:
    names = [spec.name for spec in model.inputs]
    return prepare(model, Probe(dict(zip(names, arrays, strict=True)), None, "0" * 64), config)


def certificate(preparation: Preparation):
    inputs = preparation.binding.inputs
    network = preparation.network.settled(*inputs)
    return certify(network, inputs, preparation.subject.position, torch.Generator().manual_seed(0))


def input_jacobians(preparation: Preparation) -> Tensor:
    """[n, C, *x]"""
    subject = preparation.subject
    J = torch.func.jacrev(lambda x: subject.outputs(subject.params, x))(subject.x)
    return J.diagonal(dim1=0, dim2=2).movedim(-1, 0)


def parameter_jacobians(preparation: Preparation) -> dict[str, Tensor]:
    subject = preparation.subject
    return torch.func.jacrev(lambda params: subject.outputs(params, subject.x))(subject.params)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_the_eager_network(name, form):
    subject, model = loaded(name, form)
    preparation = prepared(model, *subject.inputs.values())
    # The older ONNX exporter stores a transposed copy of a table that is tied to the last layer.
    reference = Reference(subject, tied=form != "onnx_from_trace")
    close = ROUNDED if form == "onnx_from_export" else CLOSE
    torch.testing.assert_close(input_jacobians(preparation), reference.by_embedding(), **close)
    G, opening = parameter_jacobians(preparation), preparation.network.opening
    assert opening.input == next(iter(subject.inputs))
    torch.testing.assert_close(G[opening.weight], reference.by_table(), **close)
    if (name, form) not in FOLDED:
        torch.testing.assert_close(kernel(G), kernel(reference.by_parameters()), **close)


@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "onnx_from_export", "pt2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_certificate_holds_ids_through_the_runtime_against_embeddings_through_the_program(name, form):
    subject, model = loaded(name, form)
    result = certificate(prepared(model, *subject.inputs.values()))
    assert result.passed
    assert [check.error is None for check in result.checks] == [False] * CHECKS
    assert result.checks[1].detail == "differences of the lowered network: its runtime takes no embeddings"


def test_a_runtime_that_disagrees_fails_the_certificate():
    subject, model = loaded("mean", "traced")
    preparation = prepared(model, *subject.inputs.values())
    other = build("mean")
    with torch.no_grad():
        other.network.tokens.weight += 0.01
    runtime = eigengate.load_model(exported("traced", other)).runtime
    result = certificate(replace(preparation, network=replace(preparation.network, runtime=runtime)))
    assert not result.passed
    assert result.first_divergence.value.startswith("aten::embedding")


def network(module: nn.Module, ids: Tensor, form: str = "traced", batch: int = 2) -> FunctionalModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in module.parameters():
            nn.init.normal_(parameter)
    return eigengate.load_model(exported(form, TokenNetwork(module.eval(), {"ids": ids}, "tokens"), batch))


IDS = torch.arange(4 * LENGTH).reshape(4, LENGTH) % VOCABULARY


class Cut(nn.Module):
    """An opened network; half of the way from the embedding to the output has no derivative."""

    def forward(self, ids: Tensor, rows: Tensor) -> Tensor:
        x = rows.mean(1)
        return x.tanh() + x.sin().detach()


def test_a_derivative_that_is_cut_is_caught_by_differences_of_the_embedding():
    rows = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0))[IDS]
    model = functional(Cut(), runtime=lambda ids: Cut()(ids, rows))
    result = certify(
        replace(model, opening=Opening("table", "ids", (LENGTH, WIDTH))),
        (IDS, rows),
        1,
        torch.Generator().manual_seed(0),
    )
    assert [check.name for check in result.checks if not check.passed] == ["directional_derivatives"]


def fixed_batch(form: str) -> FunctionalModel:
    """Exported for batches of exactly two, and said so or not."""
    subject = build("encoder")
    inputs = tuple(tensor[:2] for tensor in subject.inputs.values())
    if form == "pt2":
        stream = io.BytesIO()
        torch.export.save(torch.export.export(subject.network, inputs), stream)
        return eigengate.load_model(stream.getvalue())
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(subject.network, inputs, stream, dynamo=False, input_names=["ids"])
    return eigengate.load_model(stream.getvalue())


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_network_of_fixed_batch_is_opened_sample_by_sample(form):
    subject, model = build("encoder"), fixed_batch(form)
    assert model.fixed_batch == 2
    preparation = prepared(model, *subject.inputs.values())
    reference = Reference(subject)
    torch.testing.assert_close(input_jacobians(preparation), reference.by_embedding(), **CLOSE)
    torch.testing.assert_close(kernel(parameter_jacobians(preparation)), kernel(reference.by_parameters()), **CLOSE)
    assert certificate(preparation).passed


@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "pt2"])
def test_a_table_that_is_held_fixed_still_gives_its_output(form):
    subject, model = loaded("mean", form)
    config = DOUBLE.model_copy(update={"parameters": ParameterConfig(exclude=("tokens.weight",))})
    preparation = prepared(model, *subject.inputs.values(), config=config)
    assert "tokens.weight" not in preparation.subject.params
    torch.testing.assert_close(input_jacobians(preparation), Reference(subject).by_embedding(), **CLOSE)


@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "pt2"])
def test_an_index_outside_the_table_is_refused_with_its_place(form):
    subject, model = loaded("language_model", form)
    ids = subject.inputs["input_ids"].clone()
    ids[2, 3], ids[3, 0] = 11, -12
    with pytest.raises(ProbeValueError) as caught:
        prepared(model, ids)
    assert caught.value.detail == (
        "input 'input_ids' asks for row 11 at [3] of sample 2, outside the 11 rows (0 to 10) of embedding "
        "'wte.weight'; 2 of 20 are"
    )
    assert caught.value.hint


class OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(VOCABULARY, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(nn.functional.one_hot(ids, VOCABULARY).float().mean(1))


@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "pt2"])
def test_a_one_hot_encoding_is_no_embedding(form):
    with pytest.raises(NotDifferentiableError, match=r"no input is floating point \(ids: int64\), and none") as caught:
        prepared(network(OneHot(), IDS, form), IDS)
    assert "nn.Embedding in place of a one-hot encoding" in caught.value.hint


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokens(ids.t()).tanh().mean(0)


@pytest.mark.parametrize("length", [LENGTH, 4])
def test_tokens_that_come_before_samples_are_refused(length):
    """With as many tokens as samples, too, where no shape tells."""
    with pytest.raises(NotDifferentiableError, match="not looked up sample by sample") as caught:
        prepared(network(Transposed(), IDS[:, :length]), IDS[:, :length])
    assert caught.value.hint


class Flattened(nn.Module):
    """Looked up in one long row, by numbers shifted into a table of several columns, with plain indexing."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(2 * VOCABULARY, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        shifted = ids[:, :4] + torch.tensor([0, 11, 0, 11])
        rows = self.tokens.weight[shifted.reshape(-1)]
        return rows.reshape(ids.shape[0], 4, 6).tanh().sum(1)


class Selected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.index_select(self.tokens.weight, 0, ids[:, 0]).sin()


@pytest.mark.parametrize("form", ["traced", "scripted", "onnx_from_trace", "pt2"])
@pytest.mark.parametrize(("module", "shape"), [(Flattened, (4, WIDTH)), (Selected, (WIDTH,))])
def test_a_table_may_be_indexed_as_any_tensor(module, shape, form):
    preparation = prepared(network(module(), IDS, form), IDS)
    assert preparation.network.opening.shape == shape
    x = preparation.subject.x
    slopes = 1 - x.tanh() ** 2 if module is Flattened else x.cos()
    expected = torch.diag_embed(slopes).movedim(-2, 1)
    torch.testing.assert_close(input_jacobians(preparation), expected, **CLOSE)
    assert certificate(preparation).passed


class CountedPositions(nn.Module):
    """Positions that are counted by the padding, as in RoBERTa, looked up before the words are."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(LENGTH + 1, WIDTH)
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.cumsum((ids != 0).long(), dim=1)
        return (self.positions(places) + self.tokens(ids)).tanh().mean(1)


@pytest.mark.parametrize("form", ["traced", "onnx_from_trace", "pt2"])
def test_words_come_before_the_positions_that_are_counted_from_them(form):
    assert prepared(network(CountedPositions(), IDS, form), IDS).network.opening.weight == "tokens.weight"


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        return (self.tokens(ids) * weights.unsqueeze(-1)).mean(1)


@pytest.mark.parametrize("form", ["traced", "scripted"])
def test_a_floating_input_beside_tokens_is_the_differentiable_one(form):
    weights = torch.ones(4, LENGTH)
    subject = TokenNetwork(Mixed(), {"ids": IDS, "weights": weights}, "tokens")
    preparation = prepared(eigengate.load_model(exported(form, subject)), IDS, weights)
    assert preparation.network.opening is None
    assert preparation.subject.position == 1


def test_images_of_bytes_for_a_scripted_network_still_become_floating():
    module = torch.jit.script(nn.Linear(5, 3))
    preparation = prepared(eigengate.load_model(saved(module)), torch.arange(20).reshape(4, 5))
    assert preparation.subject.x.is_floating_point()


def test_the_report_names_the_embedding_and_its_shape():
    subject, model = loaded("bert", "pt2")
    preparation = prepared(model, *subject.inputs.values())
    assert preparation.model.notes[-1] == (
        "no input is floating point: the differentiable input is the output [5, 6] of the first embedding, "
        "'word.weight', of input 'input_ids'"
    )
    assert preparation.model.embedding.shape == preparation.probe.shape == (LENGTH, WIDTH)
    assert [spec.name for spec in preparation.model.inputs] == list(subject.inputs)
    assert "aten::reshape_as" not in preparation.model.operators
    notes = {entry.subject: entry.note for entry in preparation.coverage}
    assert "the output of the embedding 'word.weight' is differentiated" in notes["input input_ids"]
    assert notes["input attention_mask"] == "held fixed, not differentiated"


def test_an_onnx_lookup_counts_negative_rows_from_the_end():
    graph = graph_model(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("ReduceMean", ["rows"], ["y"], axes=[1]),
        ],
        inputs={"ids": ["n", 3]},
        outputs=("y",),
        constants={"table": np.arange(8, dtype=np.float32).reshape(4, 2)},
        opset=11,
    )
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    ids = torch.tensor([[0, -1, 1], [2, 3, -4]])
    x = prepared(eigengate.load_model(graph.SerializeToString()), ids).subject.x
    assert x[0].tolist() == [[0, 1], [6, 7], [2, 3]]
    assert x[1].tolist() == [[4, 5], [6, 7], [0, 1]]
