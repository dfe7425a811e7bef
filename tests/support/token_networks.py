"""Small networks of whole numbers, each with its first embedding named, and every form that people export them in."""

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

VOCABULARY, LENGTH, WIDTH, CLASSES = 11, 5, 6, 3


class EncoderClassifier(nn.Module):
    """Learned positions, one transformer encoder layer, the mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 8, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.encoder(x).mean(1))


class LstmClassifier(nn.Module):
    """A padding row, a recurrent layer, its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.lstm = nn.LSTM(WIDTH, 4, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.lstm(self.tokens(ids))
        return self.head(states[:, -1])


class MeanOfWords(nn.Module):
    """The mean of embeddings, scaled in place, through two linear layers; the ids come as int32 and are cut to fit."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.hidden = nn.Linear(WIDTH, 7)
        self.head = nn.Linear(7, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids.clamp(0, 10)[:, :4].long())
        x.mul_(2.0)
        return self.head(torch.tanh(self.hidden(x.mean(1))))


class LanguageModel(nn.Module):
    """One table to look tokens up in and to score the next one with, as in GPT-2; causal attention between."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.wpe = nn.Embedding(LENGTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.wte(input_ids) + self.wpe(positions)
        q, k, v = self.qkv(self.norm(x)).unsqueeze(1).chunk(3, dim=-1)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)
        return self.lm_head(x[:, -1])


class Bert(nn.Module):
    """Words, positions and segments, and a mask that is whole numbers too."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.position = nn.Embedding(LENGTH, WIDTH)
        self.segment = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.q, self.k, self.v = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("position_ids", torch.arange(LENGTH).unsqueeze(0))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        words = self.word(input_ids)
        x = words + self.position(self.position_ids[:, : input_ids.shape[1]]) + self.segment(token_type_ids)
        x = self.norm(x)
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 2.5
        hidden = (1.0 - attention_mask.unsqueeze(1).to(scores.dtype)) * -10000.0
        x = x + torch.softmax(scores + hidden, dim=-1) @ self.v(x)
        return self.head(x[:, 0])


@dataclass(frozen=True)
class TokenNetwork:
    """A network with example inputs by name, and the name of its first embedding."""

    network: nn.Module
    inputs: Mapping[str, Tensor]
    embedding: str


def _ids(n: int) -> Tensor:
    ids = torch.randint(1, VOCABULARY, (n, LENGTH))
    ids[::2, -1] = 0
    return ids


def _bert(n: int) -> TokenNetwork:
    ids = _ids(n)
    segments = torch.randint(0, 2, ids.shape)
    return TokenNetwork(
        Bert(), {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": segments}, "word"
    )


_BUILDERS: dict[str, Callable[[int], TokenNetwork]] = {
    "encoder": lambda n: TokenNetwork(EncoderClassifier(), {"ids": _ids(n)}, "tokens"),
    "lstm": lambda n: TokenNetwork(LstmClassifier(), {"ids": _ids(n)}, "tokens"),
    "mean": lambda n: TokenNetwork(MeanOfWords(), {"ids": _ids(n).int()}, "tokens"),
    "language_model": lambda n: TokenNetwork(LanguageModel(), {"input_ids": _ids(n)}, "wte"),
    "bert": _bert,
}
NETWORKS = tuple(_BUILDERS)


def build(name: str, n: int = 4) -> TokenNetwork:
    """A network in evaluation mode with n samples; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        subject = _BUILDERS[name](n)
    subject.network.eval()
    return subject


def _saved(module: torch.jit.ScriptModule) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(module, stream)
    return stream.getvalue()


def _traced(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    return _saved(torch.jit.trace(subject.network, inputs, check_trace=False))


def _scripted(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    return _saved(torch.jit.script(subject.network))


def _frozen(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    return _saved(torch.jit.freeze(torch.jit.script(subject.network)))


def _onnx_from_trace(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    stream, names = io.BytesIO(), list(subject.inputs)
    torch.onnx.export(
        subject.network, inputs, stream, dynamo=False, input_names=names, output_names=["logits"],
        dynamic_axes={name: {0: "n"} for name in [*names, "logits"]},
    )  # fmt: skip
    return stream.getvalue()


def _onnx_from_export(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    batch = torch.export.Dim("n")
    program = torch.onnx.export(
        subject.network, inputs, dynamo=True, dynamic_shapes=tuple({0: batch} for _ in inputs), verbose=False
    )
    return program.model_proto.SerializeToString()


def _pt2(subject: TokenNetwork, inputs: tuple[Tensor, ...]) -> bytes:
    batch, stream = torch.export.Dim("n"), io.BytesIO()
    program = torch.export.export(subject.network, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    torch.export.save(program, stream)
    return stream.getvalue()


_EXPORTS: dict[str, Callable[[TokenNetwork, tuple[Tensor, ...]], bytes]] = {
    "traced": _traced,
    "scripted": _scripted,
    "frozen": _frozen,
    "onnx_from_trace": _onnx_from_trace,
    "onnx_from_export": _onnx_from_export,
    "pt2": _pt2,
}
FORMS = tuple(_EXPORTS)


def exported(form: str, subject: TokenNetwork, batch: int = 2) -> bytes:
    """The network as a file, exported with the first samples; exporters warn about their successors."""
    inputs = tuple(tensor[:batch] for tensor in subject.inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _EXPORTS[form](subject, inputs)
