"""A LeNet-like network, trained, in every form that people export it."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeNet(nn.Module):
    """Two convolutions with max-pooling and two linear layers, for square one-channel images."""

    def __init__(self, size: int, channels: tuple[int, int], hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels[0], 5, padding=2)
        self.conv2 = nn.Conv2d(channels[0], channels[1], 5, padding=2)
        self.fc1 = nn.Linear(channels[1] * (size // 4) ** 2, hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


@dataclass(frozen=True)
class Images:
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def train(model: nn.Module, data: Images, *, epochs: int, rate: float, batch: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-4)
        for _ in range(epochs):
            for rows in torch.randperm(len(data.x_train)).split(batch):
                optimiser.zero_grad()
                F.cross_entropy(model(data.x_train[rows]), data.y_train[rows]).backward()
                optimiser.step()
    return model.eval()


def accuracy(model: nn.Module, data: Images) -> float:
    with torch.no_grad():
        return float((model(data.x_test).argmax(1) == data.y_test).double().mean())


def traced(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, x[:2]), stream)
    return stream.getvalue()


def scripted(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(model), stream)
    return stream.getvalue()


def onnx_from_trace(model: nn.Module, x: Tensor) -> bytes:
    stream = io.BytesIO()
    torch.onnx.export(
        model, (x[:2],), stream, dynamo=False, input_names=["x"], output_names=["logits"],
        dynamic_axes={"x": {0: "n"}, "logits": {0: "n"}},
    )  # fmt: skip
    return stream.getvalue()


def onnx_from_export(model: nn.Module, x: Tensor) -> bytes:
    batch = torch.export.Dim("n")
    program = torch.onnx.export(model, (x[:2],), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return program.model_proto.SerializeToString()


EXPORTS: dict[str, Callable[[nn.Module, Tensor], bytes]] = {
    "traced": traced,
    "scripted": scripted,
    "onnx_from_trace": onnx_from_trace,
    "onnx_from_export": onnx_from_export,
}


def exported(form: str, model: nn.Module, x: Tensor) -> bytes:
    """The network as a file; both exporters warn about their successors, which is not our business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EXPORTS[form](model, x)
