"""Networks of attention: ViT, shifted windows, GPT, Llama, attention pooling, and the mixer, which does without."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.zoo.architecture import Architecture, images, vectors
from tests.support.zoo.folding import COMPUTED, both


class SelfAttention(nn.Module):
    """One fused projection, fused or explicit attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return parts[0], parts[1], parts[2]

    def merge(self, mixed: Tensor) -> Tensor:
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(F.scaled_dot_product_attention(*self.split(x)))


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 6, 4, 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 6))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 6))
        self.blocks = nn.Sequential(EncoderBlock(6, 2), EncoderBlock(6, 3))
        self.norm, self.head = nn.LayerNorm(6, eps=1e-6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), tokens), 1) + self.pos_embed
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def windows_of(x: Tensor, size: int) -> Tensor:
    """Images [n, h, w, c] as windows [n · windows, size², c]."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // size, size, width // size, size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)


def image_of(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    x = windows.view(-1, height // size, width // size, size, size, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])


class WindowAttention(SelfAttention):
    """Attention in windows with a trained bias per relative position, looked up by a buffer of indices."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__(width, heads)
        self.size = size
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * size - 1) ** 2, heads))
        places = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
        offsets = (places[:, :, None] - places[:, None, :]).permute(1, 2, 0) + size - 1
        self.register_buffer("relative_position_index", offsets[..., 0] * (2 * size - 1) + offsets[..., 1])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = self.split(x)
        length = self.size * self.size
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(length, length, -1)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1) + bias.permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            count = mask.shape[0]
            scores = scores.view(-1, count, self.heads, length, length) + mask[None, :, None]
            scores = scores.view(-1, self.heads, length, length)
        return self.merge(scores.softmax(-1) @ value)


class SwinBlock(nn.Module):
    def __init__(self, width: int, heads: int, size: int, shift: int, resolution: int) -> None:
        super().__init__()
        self.size, self.shift, self.resolution = size, shift, resolution
        self.norm1, self.attn = nn.LayerNorm(width), WindowAttention(width, heads, size)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.register_buffer("attn_mask", self._mask() if shift else None)

    def _mask(self) -> Tensor:
        regions = torch.zeros(1, self.resolution, self.resolution, 1)
        edges = (0, self.resolution - self.size, self.resolution - self.shift, self.resolution)
        for row in range(3):
            for column in range(3):
                regions[:, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = 3 * row + column
        flat = windows_of(regions, self.size).squeeze(-1)
        return (flat[:, None, :] != flat[:, :, None]).float() * -100.0

    def forward(self, x: Tensor) -> Tensor:
        side = self.resolution
        y = self.norm1(x).view(-1, side, side, x.shape[-1])
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = image_of(self.attn(windows_of(y, self.size), self.attn_mask), self.size, side, side)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y.reshape(x.shape)
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    def __init__(self, width: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.shape[0], self.resolution, self.resolution, -1)
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1).flatten(1, 2)))


class Swin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch_embed, self.patch_norm = nn.Conv2d(3, 4, 2, 2), nn.LayerNorm(4)
        self.blocks = nn.Sequential(SwinBlock(4, 2, 2, 0, 4), SwinBlock(4, 2, 2, 1, 4))
        self.merging = PatchMerging(4, 4)
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch_norm(self.patch_embed(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(self.merging(self.blocks(tokens))).transpose(1, 2).mean(-1))


class CausalAttention(SelfAttention):
    """Explicit attention with a stored triangle, as GPT-2 has it."""

    def __init__(self, width: int, heads: int, length: int) -> None:
        super().__init__(width, heads)
        self.register_buffer("bias", torch.tril(torch.ones(length, length)).view(1, 1, length, length))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.split(x)
        length = x.shape[1]
        scores = (query @ key.transpose(-2, -1)) * (1.0 / math.sqrt(key.shape[-1]))
        scores = scores.masked_fill(self.bias[:, :, :length, :length] == 0, float("-inf"))
        return self.merge(F.softmax(scores, dim=-1) @ value)


class GPT(nn.Module):
    """On vectors instead of tokens, so that it has input derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Linear(5, 6), nn.Embedding(8, 6)
        self.ln_1, self.attn = nn.LayerNorm(6), CausalAttention(6, 2, 8)
        self.ln_2 = nn.LayerNorm(6)
        self.mlp = nn.Sequential(nn.Linear(6, 12), nn.GELU(approximate="tanh"), nn.Linear(12, 6))
        self.ln_f, self.lm_head = nn.LayerNorm(6), nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wte(x) + self.wpe(torch.arange(x.shape[1], device=x.device))
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return self.lm_head(self.ln_f(x))[:, -1]


class RootMeanSquareNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Llama(nn.Module):
    """Rotary positions from a frequency buffer, root mean square normalisation, a gated feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm, self.attn = RootMeanSquareNorm(8), SelfAttention(8, 2)
        self.post_norm = RootMeanSquareNorm(8)
        self.gate_proj, self.up_proj = nn.Linear(8, 10, bias=False), nn.Linear(8, 10, bias=False)
        self.down_proj = nn.Linear(10, 8, bias=False)
        self.norm, self.head = RootMeanSquareNorm(8), nn.Linear(8, 3)
        self.register_buffer("inv_freq", 1.0 / 10000 ** (torch.arange(0, 4, 2).float() / 4), persistent=False)

    def turn(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angle at each place."""
        angles = torch.arange(length, device=self.inv_freq.device).to(self.inv_freq.dtype)[:, None] * self.inv_freq
        angles = torch.cat((angles, angles), -1)
        return angles.cos(), angles.sin()

    def _rotated(self, x: Tensor) -> Tensor:
        cosine, sine = self.turn(x.shape[2])
        return x * cosine + torch.cat((-x[..., 2:], x[..., :2]), -1) * sine

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.attn.split(self.input_norm(x))
        mixed = F.scaled_dot_product_attention(self._rotated(query), self._rotated(key), value, is_causal=True)
        x = x + self.attn.merge(mixed)
        y = self.post_norm(x)
        x = x + self.down_proj(F.silu(self.gate_proj(y)) * self.up_proj(y))
        return self.head(self.norm(x).mean(1))


class LlamaOfComputedTurns(Llama):
    def turn(self, length: int) -> tuple[Tensor, Tensor]:
        return self.cosine, self.sine


def turns_computed(module: nn.Module) -> nn.Module:
    """No parameter takes part, but the turns are stored in single precision."""
    module.cosine, module.sine = (nn.Buffer(values) for values in module.turn(5))
    module.__class__ = LlamaOfComputedTurns
    return module


class AttentionPooling(nn.Module):
    """A trained query asks the tokens; similarities with trained prototypes, sharpened by a trained temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, 2, 6))
        self.attention = nn.MultiheadAttention(6, 2, kdim=5, vdim=5, batch_first=True)
        self.prototypes = nn.Parameter(torch.zeros(3, 6))
        self.logit_scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        pooled, _ = self.attention(self.query.expand(x.shape[0], -1, -1), x, x, need_weights=False)
        return self.temperature() * F.normalize(pooled.mean(1), dim=-1) @ self.classes().t()

    def temperature(self) -> Tensor:
        return self.logit_scale.exp()

    def classes(self) -> Tensor:
        return F.normalize(self.prototypes, dim=-1)


class PoolingOfComputedClasses(AttentionPooling):
    def temperature(self) -> Tensor:
        return self.logit_scale

    def classes(self) -> Tensor:
        return self.prototypes


class PoolingOfComputedLengths(AttentionPooling):
    def classes(self) -> Tensor:
        return self.prototypes / self.lengths


def classes_computed(module: nn.Module) -> nn.Module:
    """What is a function of parameters alone is computed in advance."""
    module.logit_scale, module.prototypes = nn.Parameter(module.temperature()), nn.Parameter(module.classes())
    module.__class__ = PoolingOfComputedClasses
    return module


def lengths_computed(module: nn.Module) -> nn.Module:
    """The older exporter does so operator by operator, and stops at the first that it cannot compute: a clamp."""
    module.lengths = module.prototypes.detach().norm(dim=-1, keepdim=True)
    module.__class__ = PoolingOfComputedLengths
    return module


def bias_tables_looked_up(module: nn.Module) -> nn.Module:
    """The biases of all pairs of places are stored instead of the table that they come from."""
    for attention in module.modules():
        if isinstance(attention, WindowAttention):
            looked_up = attention.relative_position_bias_table[attention.relative_position_index.view(-1)]
            attention.relative_position_bias_table = nn.Parameter(looked_up)
            attention.relative_position_index = torch.arange(len(looked_up))
    return module


def places_looked_up(module: nn.Module) -> nn.Module:
    """Of the table of places only the rows for the exported length are stored."""
    module.wpe = nn.Embedding.from_pretrained(module.wpe.weight[:6].detach(), freeze=False)
    return module


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.token_mlp = nn.Sequential(nn.Linear(tokens, 5), nn.GELU(), nn.Linear(5, tokens))
        self.channel_mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.token_mlp(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel_mlp(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.blocks = nn.Sequential(MixerBlock(4, 6), MixerBlock(4, 6))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


TRANSFORMERS = {
    "vit": Architecture(ViT, images(3, 8), torchscript=(14,), dynamo=(23,)),
    "swin": Architecture(
        Swin,
        images(3, 8),
        torchscript=(12,),
        dynamo=(20,),
        folded=both(bias_tables_looked_up),
        # The older exporter computes the mask in advance, too, and does not say that it is none of the parameters.
        said={"torchscript": COMPUTED.format(3), "dynamo": COMPUTED.format(2)},
    ),
    "gpt": Architecture(
        GPT,
        vectors(6, 5),
        torchscript=(15,),
        dynamo=(21,),
        folded={"dynamo": places_looked_up},
        said={"dynamo": COMPUTED.format(1)},
    ),
    "llama": Architecture(Llama, vectors(5, 8), (16,), (22, 23), folded={"dynamo": turns_computed}),
    "attention_pooling": Architecture(
        AttentionPooling,
        vectors(4, 5),
        torchscript=(17,),
        dynamo=(19,),
        folded={"torchscript": lengths_computed, "dynamo": classes_computed},
        # The older exporter cuts the fused bias of the projections into three.
        said={"torchscript": COMPUTED.format(4), "dynamo": COMPUTED.format(2)},
    ),
    "mixer": Architecture(Mixer, images(3, 8), torchscript=(20,), dynamo=(18,)),
}
