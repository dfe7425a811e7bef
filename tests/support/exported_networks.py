"""Small networks for torch.export: one for each thing that an exported program may have, and the files they give."""

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Inputs = tuple[Tensor, ...]


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ConvNorm(nn.Module):
    """Convolution, batch normalisation with statistics of its own, in-place rectifier, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        nn.init.uniform_(self.norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.conv(x)), inplace=True)
        return self.head(F.max_pool2d(hidden, 2).mean((2, 3)))


class Residual(nn.Module):
    """Sums in place, a part of a tensor overwritten, a view read after its base has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.sin(self.first(x))
        left = hidden[:, :2]
        hidden += x
        hidden[:, 1:3] *= 2.0
        hidden[:, 5] = left[:, 0]
        return self.second(hidden) + left.sum(1, keepdim=True)


class Attention(nn.Module):
    """Fused attention: a causal half and a half with a boolean mask that forbids one row everything."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.norm, self.head = nn.Linear(8, 24), nn.LayerNorm(8), nn.Linear(8, 3)
        self.register_buffer("allowed", torch.ones(5, 5, dtype=torch.bool).tril(1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.mix(x).chunk(3, -1))
        causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        masked = F.scaled_dot_product_attention(q, k, v, attn_mask=self.allowed)
        return self.head(self.norm(x + (causal + masked).transpose(1, 2).flatten(2)).mean(1))


class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(x + self.attention(x, x, x, need_weights=False)[0])[:, 0])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.gru, self.head = nn.GRU(10, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])


class Tokens(nn.Module):
    """Whole numbers in; a padding row, positions made in the graph, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.places, self.head = nn.Embedding(9, 6, padding_idx=0), nn.Embedding(5, 6), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        scale = torch.tensor([0.5, 1.5, 1.0, 2.0, 0.1, 1.0])
        x = self.table(tokens) * scale + self.places(torch.arange(tokens.shape[1]))
        return self.head(x.amax(1))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.table = nn.Linear(6, 4), nn.Linear(3, 4)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return torch.sigmoid(self.image(image)) * self.table(table)


class DictOutput(nn.Module):
    """A dictionary with a tuple in it, a number and nothing beside the tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, object]:
        hidden = F.softplus(self.body(x))
        return {"logits": self.head(hidden), "states": (hidden, hidden.square(), None), "width": 4}


class Tied(nn.Module):
    """An autoencoder that decodes with the transposed encoder, one layer under two names, one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.again, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(2, 2)
        self.again.weight = self.encoder.weight
        self.bias = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.again(self.encoder(x))), self.encoder.weight.T, self.bias)


class Buffers(nn.Module):
    """Buffers of three kinds: kept, not kept, whole numbers; sizes computed from the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.register_buffer("mean", torch.linspace(-1, 1, 6))
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 6), persistent=False)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 5, 4]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer((x - self.mean) / self.scale)[:, self.order]
        return y.reshape(x.shape[0] * 2, -1).sin().reshape(x.shape[0], x.shape[1])


class Regions(nn.Module):
    """Parts that run without gradients, one of them with two results."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        with torch.no_grad():
            gate, shift = hidden.sigmoid(), hidden.sin()
        with torch.no_grad():
            scale = self.second(gate).cos()
        return self.second(hidden * gate + shift) * scale


def _normal(*sizes: int) -> Inputs:
    return (torch.randn(*sizes),)


BUILDERS: Mapping[str, Callable[[], tuple[nn.Module, Inputs]]] = {
    "mlp": lambda: (Mlp(), _normal(3, 6)),
    "conv_norm": lambda: (ConvNorm(), _normal(3, 2, 6, 6)),
    "residual": lambda: (Residual(), _normal(3, 6)),
    "attention": lambda: (Attention(), _normal(3, 5, 8)),
    "multi_head": lambda: (MultiHead(), _normal(3, 5, 8)),
    "recurrent": lambda: (Recurrent(), _normal(3, 4, 4)),
    "tokens": lambda: (Tokens(), (torch.randint(0, 9, (3, 5)),)),
    "two_inputs": lambda: (TwoInputs(), (*_normal(3, 6), *_normal(3, 3))),
    "dict_output": lambda: (DictOutput(), _normal(3, 6)),
    "tied": lambda: (Tied(), _normal(3, 6)),
    "buffers": lambda: (Buffers(), _normal(3, 6)),
}
_OTHERS: Mapping[str, Callable[[], tuple[nn.Module, Inputs]]] = {"regions": lambda: (Regions(), _normal(3, 6))}


def build(name: str) -> tuple[nn.Module, Inputs]:
    """A network in evaluation mode and a batch of three; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, inputs = {**BUILDERS, **_OTHERS}[name]()
    return module.eval(), inputs


@dataclass(frozen=True)
class Form:
    """How a network is exported."""

    strict: bool = False
    decomposed: bool = False
    dynamic: bool = True

    def __str__(self) -> str:
        kind = "strict" if self.strict else "non-strict"
        return "-".join([kind, *(["decomposed"] if self.decomposed else []), *([] if self.dynamic else ["fixed"])])


FREE, STRICT, DECOMPOSED, FIXED = Form(), Form(strict=True), Form(decomposed=True), Form(dynamic=False)
FORMS = (FREE, STRICT, DECOMPOSED)


def program_of(module: nn.Module, inputs: Inputs, form: Form = FREE) -> torch.export.ExportedProgram:
    """The exported program; every input's batch may vary unless the form is a fixed one."""
    sizes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs) if form.dynamic else None
    with warnings.catch_warnings():
        # PyTorch's exporter warns of its own deprecated parts and of the flat weights of recurrent layers.
        warnings.simplefilter("ignore")
        program = torch.export.export(copy.deepcopy(module), inputs, dynamic_shapes=sizes, strict=form.strict)
        return program.run_decompositions() if form.decomposed else program


def saved(program: torch.export.ExportedProgram, **options: object) -> bytes:
    """The bytes that ``torch.export.save`` writes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, buffer, **options)
    return buffer.getvalue()


def exported(module: nn.Module, inputs: Inputs, form: Form = FREE) -> bytes:
    """The network as a file."""
    return saved(program_of(module, inputs, form))


def members(data: bytes) -> dict[str, bytes]:
    """The members of an archive by their whole names."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(contents: Mapping[str, bytes]) -> bytes:
    """An archive of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in contents.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


MODEL = "archive/models/model.json"
WEIGHTS = "archive/data/weights/model_weights_config.json"
CONSTANTS = "archive/data/constants/model_constants_config.json"


def edited(data: bytes, member: str, edit: Callable[[dict], object]) -> bytes:
    """The archive with one of its JSON documents changed in place."""
    contents = members(data)
    document = json.loads(contents[member])
    edit(document)
    return packed({**contents, member: json.dumps(document).encode()})


def replaced(data: bytes, **contents: bytes) -> bytes:
    """The archive with members added or replaced; double underscores in their names stand for slashes."""
    return packed({**members(data), **{f"archive/{name.replace('__', '/')}": raw for name, raw in contents.items()}})
