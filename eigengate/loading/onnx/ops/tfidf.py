"""Counting n-grams."""

from collections.abc import Iterator

import torch
from torch import Tensor

from eigengate.loading.onnx.registry import Floats, Ints, Smoothness, operator


@operator("TfIdfVectorizer", since=9, smoothness=Smoothness.NONE)
def count_ngrams(
    x: Tensor,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Ints,
    ngram_indexes: Ints,
    pool_int64s: Ints,
    weights: Floats | None = None,
    output_type: torch.dtype = torch.float32,
) -> Tensor:
    """How often each n-gram of a pool occurs in every row of integers, at its place in ``ngram_indexes``.

    The pool holds the n-grams by length, where ``ngram_counts`` says at which element each length begins. Items of an
    n-gram may stand up to ``max_skip_count`` others apart, equally far. ``mode`` TF gives the counts, IDF the weight
    of each n-gram that occurs, TFIDF the product of both. ``output_type`` is no attribute of the standard: it brings
    the working type that stands for float32.
    """
    rows = x if x.ndim == 2 else x.reshape(1, -1)
    width = max(ngram_indexes) + 1
    counts = torch.zeros(rows.shape[0], width, dtype=torch.int64, device=x.device)
    columns = torch.tensor(ngram_indexes, device=x.device)
    for start, grams in _pools(pool_int64s, ngram_counts):
        length = grams.shape[1]
        if min_gram_length <= length <= max_gram_length:
            distances = range(1, 2 if length == 1 else max_skip_count + 2)
            for distance in distances:
                found = _occurrences(rows, grams.to(x.device), distance)
                counts = torch.index_add(counts, 1, columns[start : start + len(grams)], found)
    numbers = (counts > 0 if mode == "IDF" else counts).to(output_type)
    if mode != "TF" and weights is not None:
        scale = torch.tensor(weights, dtype=output_type, device=x.device)
        numbers = numbers * torch.index_copy(torch.zeros_like(numbers[0]), 0, columns, scale)
    return numbers.reshape(*x.shape[:-1], width)


def _pools(pool: Ints, starts: Ints) -> Iterator[tuple[int, Tensor]]:
    """For each length the n-grams, one a row, and the number of the first of them."""
    number = 0
    for length, (begin, end) in enumerate(zip(starts, (*starts[1:], len(pool)), strict=True), start=1):
        grams = torch.tensor(pool[begin:end], dtype=torch.int64).reshape(-1, length)
        yield number, grams
        number += len(grams)


def _occurrences(rows: Tensor, grams: Tensor, distance: int) -> Tensor:
    """Of each n-gram in each row, its items ``distance`` apart."""
    length = grams.shape[1]
    beginnings = max(rows.shape[1] - distance * (length - 1), 0)
    matches = torch.ones(rows.shape[0], beginnings, len(grams), dtype=torch.bool, device=rows.device)
    for place in range(length):
        items = rows[:, place * distance : place * distance + beginnings]
        matches = matches & (items.unsqueeze(-1) == grams[:, place])
    return matches.sum(1)
