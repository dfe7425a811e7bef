"""The traps of TorchScript graphs, one by one: casts, devices, in-place operators, structure, shapes, refusals."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from eigengate.errors import ModelExecutionError, ModelLoadError, QuantizedModelError, UnsupportedOperatorError
from eigengate.loading.torchscript import TorchScriptProgram, read_torchscript
from tests.support.torch_networks import NETWORKS, saved, torchscript


def scripted(network: nn.Module) -> TorchScriptProgram:
    program = read_torchscript(saved(torch.jit.script(network.eval()))).program
    assert isinstance(program, TorchScriptProgram)
    return program


def traced(network: nn.Module, example: Tensor) -> TorchScriptProgram:
    program = read_torchscript(torchscript(network.eval(), example)).program
    assert isinstance(program, TorchScriptProgram)
    return program


class Casts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x).to(torch.float32) + torch.zeros(3, dtype=torch.float32) + torch.full([3], 0.1)
        return y * torch.arange(0.0, 0.3, 0.1) + torch.tensor([1.0, 2.0, 3.0]) / 3


def test_float32_casts_and_constants_follow_the_working_type():
    network = Casts()
    program = scripted(network).to(dtype=torch.float64)
    x = torch.randn(2, 3, dtype=torch.float64)
    (output,) = program(program.parameters, x)
    w, b = (p.double() for p in network.parameters())
    expected = (x @ w.T + b + 0.1) * torch.tensor([0.0, 0.1, 0.2]).double() + torch.tensor([1.0, 2.0, 3.0]).double() / 3
    assert output.dtype == torch.float64
    # arange steps in float64 here and rounded to float32 in the expectation.
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-7)
    (single,) = scripted(network)(program.to(dtype=torch.float32).parameters, x.float())
    assert single.dtype == torch.float32


def test_going_to_float32_and_back_loses_nothing():
    network = nn.Linear(3, 2).double()
    program = scripted(network)
    there_and_back = program.to(dtype=torch.float32).to(dtype=torch.float64)
    assert torch.equal(there_and_back.parameters["weight"], network.weight.detach())


class Elsewhere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.device("cuda:0")) + torch.ones(3, device=torch.device("cuda:0"))


def test_device_constants_become_the_programs_device():
    program = scripted(Elsewhere())
    (output,) = program({}, torch.zeros(2, 3))
    assert torch.equal(output, torch.ones(2, 3))


class InPlace(nn.Module):
    """Every way of changing a tensor that has an equal without."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0, -1.0, 0.3]))

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.scale
        alias = y
        y += 1.0
        y.mul_(2.0).tanh_()
        y[0] = alias[1] * 3
        y[:, 1:3] += x[:, :2]
        y.view(-1)[2] = 0.0
        y.t()[0].add_(5.0)
        y.unsqueeze(0).neg_()
        y[y > 4] = 0.25
        return alias + torch.zeros_like(y).copy_(y[:1]).fill_(0.5)


def test_in_place_operators_and_assignments_act_on_every_alias():
    network, x = InPlace(), torch.randn(3, 4)
    program = scripted(network)
    (output,) = program(program.parameters, x)
    assert torch.equal(output, network(x))
    original = x.clone()
    program(program.parameters, x)
    assert torch.equal(x, original)


class LoopedAlias(nn.Module):
    """In the second turn the addition changes what the first turn put into the list."""

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for _ in range(2):
            x.add_(1.0)
            kept.append(x)
        return kept[0]


class ReshapeThenChange(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        base = x * 2
        base.reshape(-1).add_(1.0)
        return base


@pytest.mark.parametrize("network", [LoopedAlias(), ReshapeThenChange()], ids=["looped_alias", "reshape"])
def test_in_place_changes_that_cannot_be_followed_are_refused(network):
    with pytest.raises(UnsupportedOperatorError, match="shares memory with one read later"):
        scripted(network)


class ChangedParts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first, second = (x * 2).chunk(2, 1)
        first.sigmoid_()
        second.tanh_()
        return first * second


def test_the_parts_of_a_split_may_change_one_by_one():
    network, x = ChangedParts(), torch.randn(3, 4)
    assert torch.equal(scripted(network)({}, x)[0], network(x))


class InPlaceInBranchesAndLoops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for index in range(x.shape[1]):
            if index % 2 == 0:
                total += x * index
            else:
                total.sub_(x.sin())
        return total


def test_in_place_changes_in_branches_and_loops_reach_the_outside():
    network, x = InPlaceInBranchesAndLoops(), torch.randn(3, 4)
    program = scripted(network)
    torch.testing.assert_close(program({}, x)[0], network(x), rtol=0, atol=0)
    gradient = vmap(grad(lambda row: program({}, row[None])[0].sum()))(x)
    torch.testing.assert_close(gradient, 2.0 - 2 * x.cos())


class Structured(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        if mask is not None:
            x = x * mask
        return {"logits": x * 2, "features": x + 1}


def test_dictionary_outputs_are_named_and_optional_inputs_take_their_default():
    program = scripted(Structured())
    assert program.outputs == ("logits", "features")
    assert [spec.name for spec in program.inputs] == ["x"]
    logits, features = program({}, torch.ones(2))
    assert torch.equal(logits, torch.full([2], 2.0))
    assert torch.equal(features, torch.full([2], 2.0))


class Containers(nn.Module):
    """Lists that change while the network runs, one of them an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.shifts = [1, 2]

    def forward(self, x: Tensor) -> Tensor:
        shifts = self.shifts.copy()
        shifts[0] = 0
        shifts.insert(1, 3)
        self.shifts.append(5)
        parts = [x.roll(shift, 0) for shift in shifts]
        parts += [x * len(self.shifts)]
        parts[0] = parts.pop() + parts[0]
        names = {"a": x}
        names["b"] = names["a"] * 2
        return torch.stack(parts).sum(0) + names["b"]


def test_containers_change_within_a_call_and_are_new_in_the_next():
    program, x = scripted(Containers()), torch.randn(4)
    expected = (x * 3 + x) + x.roll(3, 0) + x.roll(2, 0) + 2 * x
    for _ in range(2):
        torch.testing.assert_close(program({}, x)[0], expected)


class TwoInputs(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return left + right, (left, left * right)


def test_tuples_of_outputs_are_flattened_and_a_wrong_number_of_inputs_is_named():
    program = scripted(TwoInputs())
    assert len(program.outputs) == 3
    assert [o.item() for o in program({}, torch.tensor(2.0), torch.tensor(3.0))] == [5.0, 2.0, 6.0]
    with pytest.raises(ModelExecutionError, match=r"takes 2 input\(s\) \(left, right\), not 1"):
        program({}, torch.tensor(2.0))


class Counter(nn.Module):
    """A network with a memory: each call adds one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.total.add_(1.0)
        return x * self.calls + self.total


def test_a_model_that_counts_its_calls_starts_afresh_every_time():
    program = scripted(Counter())
    assert [program({}, torch.tensor(3.0))[0].item() for _ in range(3)] == [4.0, 4.0, 4.0]


def test_an_open_trace_leaves_batch_and_image_size_open():
    network, example = NETWORKS["residual"]()
    assert traced(network, example).inputs[0].shape == (None, 1, None, None)


class ShapeArithmetic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return x[:, :half].reshape(x.shape[0], 1, -1) * (x.shape[1] / 4.0) - x.shape[0] * 0.0


def test_shape_arithmetic_of_traces_runs_without_reading_tensors():
    network, x = ShapeArithmetic(), torch.randn(3, 8)
    program = traced(network, x)
    assert program.inputs[0].shape == (None, None)
    wide = torch.randn(5, 8)
    assert torch.equal(program({}, wide)[0], network(wide))
    assert vmap(lambda row: program({}, row[None])[0])(wide).shape == (5, 1, 1, 4)


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if bool(x.sum() > 0) else x * 3


def test_control_flow_over_data_runs_and_is_noted():
    program = scripted(DataDependent())
    assert program({}, torch.tensor([1.0]))[0].item() == 2.0
    assert program({}, torch.tensor([-1.0]))[0].item() == -3.0
    assert any("depends on the input" in note for note in program.notes)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2:
            raise ValueError("expected two dimensions")
        return x


def test_what_the_model_raises_becomes_an_execution_error():
    lowered = read_torchscript(saved(torch.jit.script(Raises())))
    with pytest.raises(ModelExecutionError, match="expected two dimensions"):
        lowered.program({}, torch.ones(3))
    with pytest.raises(ModelExecutionError, match="expected two dimensions"):
        lowered.runtime(torch.ones(3))


def test_a_failing_operator_is_named():
    program = scripted(nn.Linear(3, 2))
    with pytest.raises(ModelExecutionError, match=r"aten::linear %\S+ failed"):
        program(program.parameters, torch.ones(2, 5))


def test_all_unsupported_nodes_are_listed_at_once():
    class Random(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.poisson(x) + torch.binomial(x, x)

    with pytest.raises(UnsupportedOperatorError, match="draws random numbers") as caught:
        traced(Random(), torch.rand(3))
    nodes = caught.value.context["nodes"]
    assert sorted(node["operator"] for node in nodes) == ["aten::binomial", "aten::poisson"]
    assert all(node["domain"] == "aten" and node["version"] is None for node in nodes)


class Quantised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize()


def test_a_quantised_model_is_refused_as_such():
    with pytest.raises(QuantizedModelError, match="quantize_per_tensor"):
        scripted(Quantised())


class Flag(nn.Module):
    def forward(self, x: Tensor, flag: int) -> Tensor:
        return x * flag


def test_inputs_that_are_no_tensors_are_refused():
    with pytest.raises(ModelLoadError, match="'flag' of the model has type int"):
        scripted(Flag())


@pytest.mark.parametrize("layer", [nn.Softmax(1), nn.LogSoftmax(-1)], ids=["softmax", "log_softmax"])
@pytest.mark.parametrize("form", ["traced", "scripted"])
def test_a_closing_softmax_can_be_taken_off(layer, form):
    network = nn.Sequential(nn.Linear(4, 3), layer).eval()
    x = torch.randn(5, 4)
    program = read_torchscript(torchscript(network, x, form)).program
    logits = program.without_closing_softmax(0)
    assert logits is not None
    torch.testing.assert_close(logits(logits.parameters, x)[0], network[0](x), rtol=0, atol=0)
    torch.testing.assert_close(program(program.parameters, x)[0], network(x), rtol=0, atol=0)
    assert logits.without_closing_softmax(0) is None


def test_a_softmax_over_another_dimension_is_no_closing_one():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Softmax(2))
    assert traced(network, torch.randn(2, 1, 3, 3)).without_closing_softmax(0) is None


def test_a_padding_row_differentiates_alike_in_both_modes_and_is_noted():
    program = scripted(nn.Embedding(4, 2, padding_idx=0)).to(dtype=torch.float64)
    tokens = torch.tensor([0, 2, 0])
    weight = program.parameters["weight"]
    u, v = torch.randn(3, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)

    def rows(table: Tensor) -> Tensor:
        return program({"weight": table}, tokens)[0]

    forward = jvp(rows, (weight,), (v,))[1]
    backward = grad(lambda table: (rows(table) * u).sum())(weight)
    torch.testing.assert_close((forward * u).sum(), (backward * v).sum())
    assert any("padding rows" in note for note in program.notes)


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.detach()


def test_detached_branches_keep_the_derivative_of_the_function():
    program = scripted(Detached())
    assert grad(lambda x: program({}, x)[0])(torch.tensor(3.0)).item() == 6.0
    assert any("detach" in note for note in program.notes)


def test_token_inputs_are_recognised_without_a_trace():
    network, _ = NETWORKS["tokens"]()
    assert scripted(network).inputs[0].dtype == torch.int64


@torch.jit.interface
class Layer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.linear(x))


class Interfaced(nn.Module):
    block: Layer

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block.forward(x) + 1


def test_submodules_known_by_interface_alone_are_inlined():
    network, x = Interfaced(), torch.randn(2, 3)
    program = scripted(network)
    assert dict(network.named_parameters()).keys() == program.parameters.keys()
    torch.testing.assert_close(program(program.parameters, x)[0], network(x), rtol=0, atol=0)
