"""Networks that only scripting keeps as they are written: enumerations, dictionaries filled one by one, modes."""

from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support.torchscript_signatures import Layer


class Activation(Enum):
    TANH = "tanh"
    RELU = "relu"


class Scale(Enum):
    ONE = 1
    THREE = 3


class Shift(Enum):
    NONE = 0.0
    TENTH = -0.1


class Enumerated(Layer):
    """Members of enumerations of each kind, one of them held twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Activation.TANH
        self.second = Activation.TANH
        self.scale = Scale.THREE
        self.shift = Shift.TENTH

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.first == Activation.TANH and self.second is not Activation.RELU:
            y = torch.tanh(y)
        return y * float(self.scale.value) + self.shift.value


class Filled(Layer):
    """The dictionary of a segmentation network; one key is assigned twice, one value read again."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        result: dict[str, Tensor] = {}
        result["logits"] = x
        result["hidden"] = torch.relu(self.layer(x))
        result["logits"] = self.layer(result["hidden"])
        return result


class FilledOnOneSide(Layer):
    """What it returns depends on the data."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        result = {"logits": self.layer(x)}
        if bool(x.sum() > 0):
            result["hidden"] = 2 * x
        return result


class KeptByAList(Layer):
    """The dictionary changes under another name."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        result = {"logits": self.layer(x)}
        others = [result]
        others[0]["logits"] = 2 * x
        return result


class Moded(Layer):
    """Dropout and normalisation by the batch in training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.layer(x)))


class WithoutGradients(Layer):
    """A factor that is computed without gradients, in a branch of its own."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            factor = torch.tanh(self.layer(x))
            if x.dim() == 2:
                factor = factor + 1.0
        return self.layer(x) * factor


class AsksForGradients(Layer):
    """What it computes differs without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            factor = 2.0 if torch.is_grad_enabled() else 3.0
        return self.layer(x) * factor


class Rounded(Layer):
    """Computes in half precision, for a float32 input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.half(), self.layer.weight.half(), self.layer.bias.half()).float()


class Parity(Layer):
    """Beyond 2^24 float32 does not tell odd from even."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x) * (1.0 + (c % 2).to(x.dtype))


class OneHot(Layer):
    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x) + F.one_hot(c, 3)


class Gathered(Layer):
    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x).gather(1, c)


class Masked(Layer):
    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x).masked_fill(c, 0.5)
