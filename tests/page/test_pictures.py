import base64
import io
import math
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eigengate.page.pictures.heat_map import MOST_PIXELS, diverging, greys, grid
from eigengate.page.pictures.png import indexed_png, rgb_png
from eigengate.page.pictures.scale import Linear, Logarithmic, SignedLogarithmic
from eigengate.page.pictures.singular_value_band import _quantile
from eigengate.page.pictures.svg import thinned


def pixels(uri: str):
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    return image.convert("RGB")


def test_pngs_are_read_back_by_another_library():
    image = Image.open(io.BytesIO(indexed_png([b"\0\1", b"\1\0"], [(1, 2, 3), (250, 5, 6)])))
    image.load()
    assert [image.convert("RGB").getpixel(at) for at in ((0, 0), (1, 0))] == [(1, 2, 3), (250, 5, 6)]
    image = Image.open(io.BytesIO(rgb_png([bytes(range(6))])))
    assert image.size == (2, 1)
    assert image.getpixel((1, 0)) == (3, 4, 5)


def test_a_damaged_png_would_be_noticed():
    damaged = bytearray(indexed_png([b"\0"], [(0, 0, 0)]))
    damaged[-17] ^= 1
    with pytest.raises((OSError, SyntaxError, zlib.error), match=r"."):
        Image.open(io.BytesIO(bytes(damaged))).load()


def test_maps_are_blue_below_white_at_and_red_above_zero():
    image = pixels(diverging(grid([-2.0, 0.0, 2.0], [1, 3]), 2.0))
    blue, white, red = (image.getpixel((k, 0)) for k in range(3))
    assert blue[2] > 150 > blue[0]
    assert min(white) > 240
    assert red[0] > 150 > red[2]


def test_one_scale_means_equal_colours_for_equal_numbers():
    a, b = (pixels(diverging(grid(values, [2]), 4.0)) for values in ([1.0, 4.0], [1.0, 0.0]))
    assert a.getpixel((0, 0)) == b.getpixel((0, 0))


def test_channels_first_and_last_give_the_same_picture():
    first = [float(v) for v in range(75)]
    last = [first[c * 25 + p] for p in range(25) for c in range(3)]
    a, b = greys(grid(first, [3, 5, 5]), 0, 74), greys(grid(last, [5, 5, 3]), 0, 74)
    assert a == b
    assert pixels(a).getpixel((1, 0)) == tuple(round(255 * v / 74) for v in (1, 26, 51))


def test_large_pictures_are_thinned():
    cells = grid([0.0] * (300 * 500), [300, 500])
    assert max(cells.height, cells.width) <= MOST_PIXELS
    assert len(cells.cells) == cells.height * cells.width


positive = st.floats(1e-12, 1e12)


@given(st.tuples(positive, positive), st.tuples(positive, positive))
def test_scales_are_monotone_and_stay_inside(limits, values):
    low, high = sorted(limits)
    for scale in (
        Linear(low, high, 0, 100),
        Logarithmic(low, high, 0, 100),
        SignedLogarithmic(-high, high, 0, 100, low),
    ):
        a, b = (scale(value) for value in sorted(values))
        assert 0 <= a <= b <= 100


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_linear_ticks_are_few_and_inside(low, span):
    if low + span == low:
        return
    scale = Linear(low, low + span, 0, 100)
    ticks = [value for value, _ in scale.ticks()]
    assert len(ticks) <= 9
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_logarithmic_ticks_are_powers_of_ten_or_their_halves_and_fifths():
    assert [text for _, text in Logarithmic(0.008, 0.25, 0, 1).ticks()] == ["0.01", "0.02", "0.05", "0.1", "0.2"]
    assert [value for value, _ in Logarithmic(0.5, 2e4, 0, 1).ticks()] == [1, 10, 100, 1000, 10000]


def test_quantiles_interpolate_linearly():
    assert [_quantile([1.0, 2.0, 4.0], share) for share in (0.0, 0.25, 0.5, 1.0)] == [1.0, 1.5, 2.0, 4.0]


@given(st.integers(1, 2000))
def test_thinning_keeps_both_ends(length):
    kept = thinned([float(k) for k in range(length)], 50)
    assert len(kept) <= 50
    assert kept[0] == (0, 0.0)
    assert kept[-1] == (length - 1, float(length - 1))
    assert all(math.isclose(place, value) for place, value in kept)
