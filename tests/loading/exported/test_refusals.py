"""What has no pure function is refused by name, everything at once; what only wraps or branches is understood."""

import pytest
import torch
from torch import Tensor, nn

from eigengate.errors import ModelLoadError, QuantizedModelError, ShapeMismatchError, UnsupportedOperatorError
from eigengate.loading.exported import read_exported
from eigengate.loading.program import Program
from tests.support.exported_networks import FIXED, MODEL, Form, build, edited, exported, saved


def program_of(module: nn.Module, *inputs: Tensor, form: Form = FIXED) -> Program:
    return read_exported(exported(module, inputs, form)).program


def retargeted(*targets: str) -> bytes:
    """A network whose first operators are others."""

    def edit(document: dict) -> None:
        for node, target in zip(document["graph_module"]["graph"]["nodes"], targets, strict=False):
            node["target"] = target

    return edited(exported(*build("mlp")), MODEL, edit)


def test_all_operators_without_a_function_are_listed_at_once() -> None:
    data = retargeted(
        "torch.ops.mylib.fancy.default", "torch.ops.aten.from_file.default", "torch.ops.aten._cdist_forward.default"
    )
    with pytest.raises(UnsupportedOperatorError) as caught:
        read_exported(data)
    assert [node["operator"] for node in caught.value.context["nodes"]] == [
        "mylib::fancy",
        "aten::from_file",
        "aten::_cdist_forward",
    ]
    assert all(name in str(caught.value) for name in ("mylib::fancy", "aten::from_file", "aten::_cdist_forward"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("torch.ops.aten.poisson.default", "random numbers"),
        ("torch.ops.aten.set_.source_Tensor", "reaches beyond"),
        ("torch.ops.aten.as_strided.default", "reaches beyond"),
        ("torch.ops.aten.add.out", "write into an argument"),
        ("torch.ops.aten.no_such_operator.default", "not supported"),
        ("torch.ops.aten.linear.no_such_overload", "not supported"),
        ("torch.ops.aten.linear", "not supported"),
        ("torch.ops.prims.sin.default", "namespace 'prims'"),
        ("torch.ops.higher_order.flex_attention", "higher-order"),
        ("torch.os.system", "only operators of torch.ops.aten"),
        ("torch.nn.functional.linear", "only operators of torch.ops.aten"),
        ("_operator.setitem", "only operators of torch.ops.aten"),
        ("builtins.eval", "only operators of torch.ops.aten"),
        ("torch.ops.aten.relu.default", "not those of its schema"),
    ],
)
def test_an_operator_is_refused_for_its_reason(target: str, reason: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=reason):
        read_exported(retargeted(target))


def test_a_quantised_network_is_refused_as_one() -> None:
    with pytest.raises(QuantizedModelError):
        read_exported(retargeted("torch.ops.quantized_decomposed.quantize_per_tensor.default"))


def test_a_network_whose_draws_depend_on_its_values_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.RReLU()).train()
    program = program_of(module, torch.randn(3, 4))
    with pytest.raises(UnsupportedOperatorError, match=r"rrelu draws random numbers"):
        program(program.parameters, torch.randn(3, 4))


def test_batch_statistics_are_used_and_said() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    x = torch.randn(5, 4)
    program = program_of(module, x)
    torch.testing.assert_close(program(program.parameters, x)[0], module(x))
    said = " ".join(program.notes)
    assert "statistics of the batch" in said
    assert "1.num_batches_tracked" in said


def test_inputs_that_are_no_tensors_are_refused() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, times: int) -> Tensor:
            return x * times

    size = {"x": None, "times": torch.export.Dim.DYNAMIC}
    with pytest.raises(ModelLoadError, match="'times' of the model is no tensor"):
        read_exported(saved(torch.export.export(Scaled(), (torch.ones(3), 4), dynamic_shapes=size)))
    program = read_exported(saved(torch.export.export(Scaled(), (torch.ones(3), 4)))).program
    assert [spec.name for spec in program.inputs] == ["x"]  # a number that was fixed on exporting is a constant
    assert torch.equal(program({}, torch.ones(3))[0], torch.full((3,), 4.0))


class Branching(nn.Module):
    """Chooses a layer by its input."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda z: self.left(z).sin(), lambda z: self.right(z).cos(), (x,))


@pytest.mark.parametrize("strict", [False, True])
def test_branches_are_taken_and_said(strict: bool) -> None:
    module, x = Branching(), torch.randn(3, 4)
    lowered = read_exported(exported(module, (x,), Form(strict=strict)))
    program = lowered.program
    for sample in (x.abs(), -x.abs(), x.abs()[:2], -x.abs()[:2]):
        (ours,) = program(program.parameters, sample)
        torch.testing.assert_close(ours, module(sample))
        torch.testing.assert_close(lowered.runtime(sample)[0], ours)
        slope = torch.func.jacrev(lambda z: program(program.parameters, z)[0])(sample)
        # torch.cond itself cannot be transformed here.
        taken = (lambda z: module.left(z).sin()) if sample.sum() > 0 else (lambda z: module.right(z).cos())
        torch.testing.assert_close(slope, torch.func.jacrev(taken)(sample))
    assert "choose a branch" in program.notes[-1]


def test_a_branch_may_not_write_into_what_it_is_given() -> None:
    def edit(document: dict) -> None:
        (node,) = (n for n in document["graph_module"]["graph"]["nodes"] if n["target"].endswith(".cond"))
        branch = node["inputs"][1]["arg"]["as_graph"]["graph"]
        branch["nodes"][0] = {
            "target": "torch.ops.aten.neg_.default",
            "inputs": [{"name": "self", "arg": branch["inputs"][0], "kind": 1}],
            "outputs": branch["nodes"][0]["outputs"],
            "metadata": {},
        }

    data = exported(Branching(), (torch.randn(3, 4),), FIXED)
    with pytest.raises(UnsupportedOperatorError, match="a branch writes into what it is given"):
        read_exported(edited(data, MODEL, edit))


def test_a_branch_chosen_by_a_size_is_taken() -> None:
    class BySize(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.shape[0] > 2, lambda z: z * 2.0, lambda z: z - 1.0, (x,))

    program = program_of(BySize(), torch.ones(3, 4), form=Form())
    assert float(program({}, torch.ones(3, 4))[0].mean()) == 2.0
    assert float(program({}, torch.ones(2, 4))[0].mean()) == 0.0
    assert torch.func.vmap(lambda z: program({}, z)[0])(torch.ones(2, 3, 4)).mean() == 2.0


def test_loops_are_refused_by_name() -> None:
    class Looping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            from torch._higher_order_ops.while_loop import while_loop

            return while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y.sin()), (torch.tensor(0), x))[1]

    with pytest.raises(UnsupportedOperatorError, match="higher_order::while_loop"):
        program_of(Looping(), torch.randn(3))


class NoGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x.sin() * 2.0
            z = y.view(-1)
        with torch.autocast("cpu", enabled=False):
            return y * z.sum() + x.detach().exp()


@pytest.mark.parametrize("strict", [False, True])
def test_regions_without_gradients_are_part_of_the_function(strict: bool) -> None:
    x = torch.randn(3, 4, dtype=torch.float64)
    program = program_of(NoGradient(), x, form=Form(strict=strict, dynamic=False))
    torch.testing.assert_close(program({}, x)[0], NoGradient()(x))

    def without_regions(x: Tensor) -> Tensor:
        y = x.sin() * 2.0
        return y * y.sum() + x.exp()

    slope = torch.func.jacrev(lambda z: program({}, z)[0])(x)
    torch.testing.assert_close(slope, torch.func.jacrev(without_regions)(x))
    assert any("detach() is taken as the identity" in note for note in program.notes)


def test_a_view_that_only_a_fused_kernels_strides_allow_is_taken() -> None:
    class Viewing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            q = x.view(3, 5, 2, 4).transpose(1, 2)
            return nn.functional.scaled_dot_product_attention(q, q, q).transpose(1, 2).view(3, 5, 8)

    x = torch.randn(3, 5, 8)
    program = program_of(Viewing(), x)
    torch.testing.assert_close(program({}, x)[0], Viewing()(x))


def test_data_read_into_numbers_is_said_and_cannot_run_side_by_side() -> None:
    class Reading(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.max().item()

    x = torch.randn(3, 4)
    program = program_of(Reading(), x)
    torch.testing.assert_close(program({}, x)[0], x * x.max())
    assert "read tensor data into numbers" in program.notes[-1]


def test_a_conversion_follows_the_working_precision() -> None:
    class Converting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.to(torch.float32) + torch.zeros(3, dtype=torch.float32) + torch.full((), 1e-12)
            return y.to(torch.float64).float() / 3.0

    x = torch.ones(3)
    program = program_of(Converting(), x).to(dtype=torch.float64)
    (y,) = program({}, x.double())
    assert y.dtype == torch.float64
    assert float((y * 3.0 - 1.0)[0]) == pytest.approx(1e-12, rel=1e-3)  # lost in single precision


def test_sizes_that_contradict_each_other_are_the_callers_mistake() -> None:
    program = program_of(*(lambda m, i: (m, *i))(*build("two_inputs")), form=Form())
    with pytest.raises(ShapeMismatchError, match="as elsewhere"):
        program(program.parameters, torch.ones(3, 6), torch.ones(2, 3))
