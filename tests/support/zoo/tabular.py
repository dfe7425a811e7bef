"""Networks over rows of a table, alone and beside an image; networks with several outputs or a closing softmax."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, images, vectors
from tests.support.zoo.folding import normalisation_in


class TabularMLP(nn.Module):
    """Embedded categories beside normalised numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(5, 2), nn.Embedding(7, 3)])
        self.bn_cont = nn.BatchNorm1d(4)
        self.layers = nn.Sequential(
            nn.Linear(9, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.1),
            nn.Linear(8, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3),
        )  # fmt: skip

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        embedded = [embed(categories[:, column]) for column, embed in enumerate(self.embeds)]
        return self.layers(torch.cat([*embedded, self.bn_cont(numbers)], 1))


def table(generator: torch.Generator) -> tuple[Tensor, ...]:
    return torch.randn(3, 4, generator=generator), torch.randint(0, 5, (3, 2), generator=generator)


class ImageAndTable(nn.Module):
    """The row of the table modulates the features of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.film = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(3, 8)
        self.interaction = nn.Parameter(torch.zeros(2, 4, 3))

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        scale, shift = self.film(row).chunk(2, dim=-1)
        x = F.gelu(self.conv(image)) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
        return torch.einsum("ni,kij,nj->nk", x.amax((2, 3)), self.interaction, row)


def image_and_row(generator: torch.Generator) -> tuple[Tensor, ...]:
    return torch.randn(3, 1, 5, 5, generator=generator), torch.randn(3, 3, generator=generator)


class Detector(nn.Module):
    """Two outputs over shared features: classes, and boxes relative to anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(4, 4, 3, 2, 1), nn.ELU())
        self.classes, self.boxes = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 8, 1)
        self.register_buffer("anchors", torch.tensor([[0.5, 0.4], [0.3, 0.8]]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(x)
        batch, _, height, width = x.shape
        scores = self.classes(x).view(batch, 2, 3, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, 3)
        boxes = self.boxes(x).view(batch, 2, 4, height, width).permute(0, 3, 4, 1, 2)
        sizes = self.anchors * boxes[..., 2:].exp()
        return scores, torch.cat([boxes[..., :2].sigmoid(), sizes], -1).flatten(1, 3)


def softmax_classifier() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12, 8), nn.CELU(0.7), nn.Linear(8, 6), nn.Softsign(), nn.Linear(6, 4), nn.Softmax(dim=1)
    )


TABULAR = {
    # Only the newer exporter folds into linear layers.
    "tabular": Architecture(
        TabularMLP,
        table,
        torchscript=(14,),
        dynamo=(18,),
        folded={"dynamo": normalisation_in(nn.Linear)},
        said={"dynamo": "folded into 1 linear layer(s)"},
    ),
    "image_and_table": Architecture(ImageAndTable, image_and_row, torchscript=(15,), dynamo=(19,)),
    "detector": Architecture(Detector, images(3, 8), torchscript=(16,), dynamo=(22,)),
    "softmax": Architecture(softmax_classifier, vectors(3, 4), torchscript=(19,), dynamo=(21,)),
}
