"""Operators that draw random numbers, as functions of the draws: dropout, distributions, permutations.

They draw what PyTorch's CPU kernels draw from the same stream, numbers and order, and depend on their arguments as the
values do: a normal number of mean μ and deviation σ is μ + σ·z, z drawn. What a kernel draws must not depend on values:
operators that reject and draw again, or draw for negative inputs only, are not here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from eigengate.loading.torchscript.draws import Draws, Fill
from eigengate.loading.torchscript.rewrites import attention, recurrent
from eigengate.loading.torchscript.scalars import DTYPES

# Of the self-normalising network, Klambauer et al. 2017: −λα of its activation.
_ALPHA: Final = 1.7580993408473766


def _filled(method: str, *arguments: Any) -> Fill:
    return lambda empty, generator: getattr(empty, method)(*arguments, generator=generator)


def _noise(input: Tensor, p: float, draws: Draws, shape: Sequence[int] | None = None) -> Tensor:
    """One with probability 1 − p, else zero."""
    return draws.like(input, _filled("bernoulli_", 1 - p), shape)


def _dropped(input: Tensor, p: float, draws: Draws, shape: Sequence[int] | None = None) -> Tensor:
    if p == 0 or input.numel() == 0:
        return input
    return input * 0.0 if p == 1 else input * (_noise(input, p, draws, shape) / (1 - p))


def _dropped_to_alpha(input: Tensor, p: float, draws: Draws, shape: Sequence[int] | None = None) -> Tensor:
    """Dropout to −λα that keeps mean zero and variance one: x·a·b + α'·a·(b − 1) + α'·a·p, b drawn."""
    if p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0.0
    scale = 1 / math.sqrt((_ALPHA**2 * p + 1) * (1 - p))
    kept = _noise(input, p, draws, shape)
    return input * (kept * scale) + ((kept - 1) * _ALPHA * scale + _ALPHA * scale * p)


def _whole_features(input: Tensor) -> tuple[int, ...]:
    return (*input.shape[:2], *[1] * (input.dim() - 2))


def _dropout(
    drop: Callable[[Tensor, float, Draws, Sequence[int] | None], Tensor], *, features: bool
) -> Callable[..., Tensor]:
    def run(input: Tensor, *, p: float, train: bool, draws: Draws) -> Tensor:
        return drop(input, p, draws, _whole_features(input) if features else None) if train else input

    return run


def _native_dropout(input: Tensor, *, p: float, train: bool | None, draws: Draws) -> tuple[Tensor, Tensor]:
    if train is False or input.numel() == 0:
        return input, torch.ones_like(input, dtype=torch.bool)
    mask = draws.make(input.shape, torch.bool, _filled("bernoulli_", 1 - p))
    return input * mask * (0.0 if p == 1 else 1 / (1 - p)), mask


def _attend(query: Tensor, *, draws: Draws, dropout_p: float = 0.0, **arguments: Any) -> Tensor:
    return attention.attend(query, **arguments, drop=lambda weights: _dropped(weights, dropout_p, draws))


def _layers(name: str, *, packed: bool) -> Callable[..., tuple[Tensor, ...]]:
    """Recurrent layers one after the other, dropout between them."""
    one = recurrent.REWRITES[name]

    def run(input: Tensor, *, draws: Draws, hx: Any, **flags: Any) -> tuple[Tensor, ...]:
        if not flags["train"]:
            return tuple(one(input, hx=hx, **flags))
        layers, dropout = flags["num_layers"], flags["dropout"]
        each, sides = len(flags["params"]) // layers, 2 if flags["bidirectional"] else 1
        swap = not packed and flags["batch_first"]
        single = {**flags, "num_layers": 1, "dropout": 0.0, "train": False}
        last: list[Sequence[Tensor]] = []
        for layer in range(layers):
            if layer:  # the kernel drops with time in front
                turned = input.transpose(0, 1) if swap else input
                input = _dropped(turned, dropout, draws)
                input = input.transpose(0, 1) if swap else input
            places, params = slice(layer * sides, (layer + 1) * sides), slice(layer * each, (layer + 1) * each)
            start = [part[places] for part in hx] if isinstance(hx, list | tuple) else hx[places]
            input, *end = one(input, hx=start, **{**single, "params": flags["params"][params]})
            last.append(end)
        return (input, *(torch.cat(parts) for parts in zip(*last, strict=True)))

    return run


def _refilled(method: str, *names: str) -> Callable[..., Tensor]:
    """An operator that fills its argument with numbers of a distribution, whatever was there."""

    def run(self: Tensor, *, draws: Draws, generator: None = None, **arguments: Any) -> Tensor:
        return draws.like(self, _filled(method, *(arguments[name] for name in names if name in arguments)))

    return run


def _bernoulli(self: Tensor, *, draws: Draws, **_: Any) -> Tensor:
    return (draws.like(self, _filled("uniform_")) < self).to(self.dtype)


def _refilled_with_bernoulli(self: Tensor, *, p: Tensor, draws: Draws, **_: Any) -> Tensor:
    return (draws.like(p, _filled("uniform_"), self.shape) < p).to(self.dtype)


def _normal_around(mean: Tensor, *, draws: Draws, std: Tensor | float = 1.0, **_: Any) -> Tensor:
    if not isinstance(std, Tensor):
        return draws.like(mean, _filled("normal_", 0.0, std)) + mean
    shape = torch.broadcast_shapes(mean.shape, std.shape)  # type: ignore[no-untyped-call]
    return draws.like(mean, _filled("normal_"), shape) * std + mean


def _normal_around_number(mean: float, *, std: Tensor, draws: Draws, **_: Any) -> Tensor:
    return draws.like(std, _filled("normal_")) * std + mean


def _normal_of_size(mean: float, *, std: float, size: Sequence[int], draws: Draws, **made: Any) -> Tensor:
    return draws.make(size, _type(made), _filled("normal_", mean, std))


def _made(method: str) -> Callable[..., Tensor]:
    def run(size: Sequence[int], *, draws: Draws, **made: Any) -> Tensor:
        return draws.make(size, _type(made), _filled(method))

    return run


def _made_like(method: str) -> Callable[..., Tensor]:
    def run(self: Tensor, *, draws: Draws, **made: Any) -> Tensor:
        if made.get("dtype") is None:
            return draws.like(self, _filled(method))
        return draws.make(self.shape, _type(made), _filled(method))

    return run


def _integers(low_or_high: int, *, draws: Draws, size: Sequence[int], high: int | None = None, **made: Any) -> Tensor:
    low, high = (0, low_or_high) if high is None else (low_or_high, high)
    return draws.make(size, _type(made, torch.int64), _filled("random_", low, high))


def _integers_like(self: Tensor, *, draws: Draws, high: int, low: int = 0, **made: Any) -> Tensor:
    fill = _filled("random_", low, high)
    return draws.like(self, fill) if made.get("dtype") is None else draws.make(self.shape, _type(made), fill)


def _permutation(n: int, *, draws: Draws, **made: Any) -> Tensor:
    def fill(empty: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randperm(n, generator=generator, dtype=empty.dtype)

    return draws.make((n,), _type(made, torch.int64), fill)


def _multinomial(self: Tensor, *, num_samples: int, replacement: bool = False, draws: Draws, **_: Any) -> Tensor:
    """One, or more without replacement: where p/e is largest, e exponential; else where a uniform number falls."""
    if replacement and num_samples > 1:
        cumulative = self.double().cumsum(-1)
        shape = (*self.shape[:-1], num_samples)
        uniform = draws.make(shape, torch.float64, _filled("uniform_")).double()
        places = torch.searchsorted(cumulative / cumulative[..., -1:], uniform)
        return places.clamp(max=self.shape[-1] - 1)
    race = self / draws.like(self, _filled("exponential_"))
    return race.argmax(-1, keepdim=True) if num_samples == 1 else race.topk(num_samples).indices


def _type(made: Mapping[str, Any], default: torch.dtype = torch.float32) -> torch.dtype:
    code = made.get("dtype")
    return default if code is None else DTYPES[code]


_FILLING: Final = {
    "uniform": ("from", "to"),
    "normal": ("mean", "std"),
    "exponential": ("lambd",),
    "cauchy": ("median", "sigma"),
    "log_normal": ("mean", "std"),
    "geometric": ("p",),
    "random": ("from", "to"),
}
_DROPPING: Final = {
    "dropout": _dropout(_dropped, features=False),
    "feature_dropout": _dropout(_dropped, features=True),
    "alpha_dropout": _dropout(_dropped_to_alpha, features=False),
    "feature_alpha_dropout": _dropout(_dropped_to_alpha, features=True),
}

DRAWING: Final[Mapping[str, Callable[..., Any]]] = {
    **{f"aten::{name}{suffix}": run for name, run in _DROPPING.items() for suffix in ("", "_")},
    "aten::native_dropout": _native_dropout,
    "aten::scaled_dot_product_attention": _attend,
    **{
        f"aten::{name}.{kind}": _layers(f"aten::{name}.{kind}", packed=kind == "data")
        for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
        for kind in ("input", "data")
    },
    **{f"aten::{name}_": _refilled(f"{name}_", *names) for name, names in _FILLING.items()},
    **{
        f"aten::random{form}{kind}": _refilled("random_", "from", "to")
        for form in ("", "_")
        for kind in (".from", ".to")
    },
    **{f"aten::{name}": _refilled(f"{name}_", *names) for name, names in _FILLING.items() if name != "normal"},
    "aten::normal_functional": _refilled("normal_", "mean", "std"),
    "aten::normal.Tensor_Tensor": _normal_around,
    "aten::normal.Tensor_float": _normal_around,
    "aten::normal.float_Tensor": _normal_around_number,
    "aten::normal.float_float": _normal_of_size,
    "aten::bernoulli": _bernoulli,
    "aten::bernoulli.p": _refilled("bernoulli_", "p"),
    "aten::bernoulli_.float": _refilled("bernoulli_", "p"),
    "aten::bernoulli_.Tensor": _refilled_with_bernoulli,
    "aten::bernoulli.Tensor": _refilled_with_bernoulli,
    "aten::rand": _made("uniform_"),
    "aten::randn": _made("normal_"),
    "aten::rand_like": _made_like("uniform_"),
    "aten::randn_like": _made_like("normal_"),
    "aten::randint": _integers,
    "aten::randint.low": _integers,
    "aten::randint_like": _integers_like,
    "aten::randint_like.low_dtype": _integers_like,
    "aten::randperm": _permutation,
    "aten::multinomial": _multinomial,
}
"""By overload: functions that take an operator's first argument by position and the others by name, and ``draws``."""
