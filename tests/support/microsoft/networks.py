"""Transformers written as the published ones are, so that ONNX Runtime's optimisers recognise them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS = 32, 2


class BertAttention(nn.Module):
    """Projections apart, scores divided by √size, the mask added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dense, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, eps=1e-12)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(WIDTH // HEADS) + mask
        mixed = torch.matmul(F.softmax(scores, -1), value).permute(0, 2, 1, 3).contiguous()
        return self.norm(self.dense(mixed.view(mixed.shape[0], mixed.shape[1], WIDTH)) + x)


class BertLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = BertAttention()
        self.intermediate, self.output = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        return self.norm(self.output(F.gelu(self.intermediate(x))) + x)


class Bert(nn.Module):
    """Words, places and segments embedded and normalised, two encoder layers, a pooled head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.segments = (
            nn.Embedding(20, WIDTH),
            nn.Embedding(10, WIDTH),
            nn.Embedding(2, WIDTH),
        )
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.register_buffer("position_ids", torch.arange(10).expand((1, -1)))
        self.layers = nn.ModuleList([BertLayer(), BertLayer()])
        self.pooler, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        mask = (1.0 - attention_mask.unsqueeze(1).unsqueeze(2).to(self.head.weight.dtype)) * -10000.0
        places = self.places(self.position_ids[:, : input_ids.shape[1]])
        x = self.norm(self.words(input_ids) + self.segments(token_type_ids) + places)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(torch.tanh(self.pooler(x[:, 0])))


class Gpt2Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.mlp_proj = nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)
        self.register_buffer("bias", torch.tril(torch.ones(10, 10, dtype=torch.bool)).view(1, 1, 10, 10))

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

    def attention(self, x: Tensor) -> Tensor:
        query, key, value = (self.heads(part) for part in self.c_attn(x).split(WIDTH, 2))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(WIDTH // HEADS)
        length = x.shape[1]
        lowest = torch.tensor(torch.finfo(torch.float32).min, dtype=scores.dtype)
        scores = torch.where(self.bias[:, :, :length, :length], scores, lowest)
        mixed = torch.matmul(F.softmax(scores, -1), value).permute(0, 2, 1, 3).contiguous()
        return self.c_proj(mixed.view(mixed.shape[0], mixed.shape[1], WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln_1(x))
        h = self.c_fc(self.ln_2(x))
        h = 0.5 * h * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (h + 0.044715 * torch.pow(h, 3.0))))
        return x + self.mlp_proj(h)


class Gpt2(nn.Module):
    """Causal attention by a stored triangle, GELU by its tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(20, WIDTH), nn.Embedding(10, WIDTH)
        self.blocks = nn.ModuleList([Gpt2Block(), Gpt2Block()])
        self.ln_f, self.lm_head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1], device=input_ids.device))
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class RmsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class LlamaBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_norm, self.post_norm = RmsNorm(), RmsNorm()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up = nn.Linear(WIDTH, 24, bias=False), nn.Linear(WIDTH, 24, bias=False)
        self.down = nn.Linear(24, WIDTH, bias=False)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        query, key, value = self.heads(self.q_proj(x)), self.heads(self.k_proj(x)), self.heads(self.v_proj(x))
        query, key = query * cos + rotated(query) * sin, key * cos + rotated(key) * sin
        scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(WIDTH // HEADS)
        ahead = torch.full((x.shape[1], x.shape[1]), torch.finfo(torch.float32).min, dtype=x.dtype)
        weights = F.softmax(scores + torch.triu(ahead, 1), -1)
        mixed = torch.matmul(weights, value).transpose(1, 2).contiguous()
        return self.o_proj(mixed.reshape(x.shape[0], x.shape[1], WIDTH))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.input_norm(x), cos, sin)
        h = self.post_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def rotated(x: Tensor) -> Tensor:
    left, right = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-right, left), -1)


class Llama(nn.Module):
    """Rotary positions, root mean square norms, gated feed-forward parts; on vectors, which have gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 3, bias=False)
        self.blocks, self.norm = nn.ModuleList([LlamaBlock(), LlamaBlock()]), RmsNorm()
        frequencies = 1.0 / 100.0 ** (torch.arange(0, WIDTH // HEADS, 2).float() / (WIDTH // HEADS))
        angles = torch.outer(torch.arange(10).float(), frequencies)
        self.register_buffer("cos_cached", torch.cat((angles, angles), -1).cos())
        self.register_buffer("sin_cached", torch.cat((angles, angles), -1).sin())

    def forward(self, x: Tensor) -> Tensor:
        cos, sin = self.cos_cached[: x.shape[1]], self.sin_cached[: x.shape[1]]
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


class VitLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dense, self.intermediate, self.output = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

    def attention(self, x: Tensor) -> Tensor:
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(WIDTH // HEADS)
        mixed = torch.matmul(F.softmax(scores, -1), value).permute(0, 2, 1, 3).contiguous()
        return self.dense(mixed.view(mixed.shape[0], mixed.shape[1], WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention(self.before(x)) + x
        return self.output(F.gelu(self.intermediate(self.after(x)))) + x


class Vit(nn.Module):
    """Patches by a convolution, a class token, two pre-normalised layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.cls_token, self.positions = nn.Parameter(torch.zeros(1, 1, WIDTH)), nn.Parameter(torch.zeros(1, 5, WIDTH))
        self.layers = nn.ModuleList([VitLayer(), VitLayer()])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), tokens), 1) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        return self.head(self.norm(tokens)[:, 0])
