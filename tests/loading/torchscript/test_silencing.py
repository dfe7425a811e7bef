"""Printing and warning: nothing of it comes out, the function stays what it is, and the notes say so."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from eigengate.loading.torchscript import read_torchscript
from eigengate.loading.torchscript.remarks import SPEECH_LEFT_OUT
from tests.support.torch_networks import NETWORKS, saved, torchscript

X = torch.linspace(-1, 1, 6).reshape(3, 2)


def forged(x: Tensor) -> Tensor:
    print("INFO: 127.0.0.1 GET /admin 200", x)  # noqa: T201
    return x * 2


class Part(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            if bool(x.sum() < 100):
                print("\x1b[31mCRITICAL", x.shape)  # noqa: T201
        return forged(x)


class Prints(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Part()

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x).relu()


class Warns(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() < 100):
            warnings.warn("old operands", stacklevel=2)
        return (x * 2).relu()


class Speaks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        print(self.count)  # noqa: T201
        return (x * 2).relu()


@pytest.mark.parametrize("network", [Prints(), Warns(), Speaks()], ids=["prints", "warns", "prints its state"])
def test_a_network_that_speaks_is_read_in_silence(
    network: nn.Module, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    data = saved(torch.jit.script(network))
    capfd.readouterr()
    lowered = read_torchscript(data)
    (ours,) = lowered.program(lowered.program.parameters, X)
    (theirs,) = lowered.runtime(X)
    watched = dict(lowered.program.watch(lowered.program.parameters, X))
    lowered.runtime.values(list(watched), X)
    assert torch.equal(ours, theirs)
    assert torch.equal(ours, (X * 2).relu())
    assert SPEECH_LEFT_OUT in lowered.program.notes
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not [warning for warning in recwarn if "old operands" in str(warning.message)]


def test_the_executor_would_have_spoken(capfd: pytest.CaptureFixture[str]) -> None:
    torch.jit.script(Prints())(X)
    assert "127.0.0.1" in capfd.readouterr().out


def test_warnings_in_branches_never_taken_are_no_remark() -> None:
    program = read_torchscript(torchscript(*NETWORKS["mlp"](), "scripted")).program
    assert SPEECH_LEFT_OUT not in program.notes
