"""A small convolutional network trained on scikit-learn's digits, exported to both formats, with probe images.

    python examples/digits.py FOLDER

writes ``digits.pt``, ``digits.onnx`` and ``probe.npz``, which ``eigengate audit`` and the HTTP service take.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS = 25
BATCH = 64
PROBE_SAMPLES = 48


@dataclass(frozen=True)
class Digits:
    """1,797 images of 8x8 pixels in [0, 1], 297 of them held out."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def digits() -> Digits:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x = torch.from_numpy(data.images[order].astype(np.float32) / 16).unsqueeze(1)
    y = torch.from_numpy(data.target[order])
    return Digits(x[:1500], y[:1500], x[1500:], y[1500:])


def network() -> nn.Sequential:
    """About 5,000 parameters: two convolutions, one hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10),
    )  # fmt: skip


def train(data: Digits, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(data.x_train)).split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(data.x_train[rows]), data.y_train[rows]).backward()
            optimiser.step()
    return model.eval()


def accuracy(model: nn.Module, data: Digits) -> float:
    with torch.no_grad():
        return float((model(data.x_test).argmax(1) == data.y_test).float().mean())


def export(model: nn.Module, data: Digits, folder: Path) -> tuple[Path, Path, Path]:
    """TorchScript, ONNX and probe files."""
    script, onnx, probe = folder / "digits.pt", folder / "digits.onnx", folder / "probe.npz"
    example = data.x_test[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters talk about their successors
        torch.jit.trace(model, example).save(script)
        any_batch = ({0: torch.export.Dim("n")},)
        torch.onnx.export(
            model, (example,), onnx, input_names=["x"], dynamic_shapes=any_batch, external_data=False, verbose=False
        )
    np.savez(probe, x=data.x_test[:PROBE_SAMPLES].numpy(), y=data.y_test[:PROBE_SAMPLES].numpy())
    return script, onnx, probe


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = digits()
    model = train(data)
    print(f"test accuracy {accuracy(model, data):.1%}")
    for path in export(model, data, folder):
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "digits-example"))
