"""The table of layers on the page."""

import re

import pytest

from eigengate.contract import StabilityReport
from eigengate.page import render_html
from eigengate.page.layer_table import MOST_LAYERS
from eigengate.page.pictures.share_bar import share_bar
from tests.support.layers import make_layer
from tests.support.reports import make_report


def rows(report: StabilityReport) -> list[str]:
    """The table's rows, their tags left out."""
    page = render_html(report)
    table = page[page.index("<h2>Curvature by layer</h2>") :].split("<tbody>")[1].split("</tbody>")[0]
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in table.split("<tr>")[1:]]


def test_every_layer_has_a_row_in_the_order_of_the_network_with_its_share_of_the_trace():
    layers = (make_layer("conv", 1200, trace=1.0), make_layer("blocks.0.head", 30, trace=3.0))
    assert rows(make_report(layers=layers)) == [
        "conv 1,200 2.5 exact -0.125 exact 1 [0.9, 1.1] 25.0 %",
        "blocks.0.head 30 2.5 exact -0.125 exact 3 [2.7, 3.3] 75.0 %",
    ]


def test_without_layers_the_page_has_no_table_and_no_setting_for_them():
    page = render_html(make_report())
    assert "Curvature by layer" not in page
    assert "per_layer" not in page
    assert "[hessian]\nper_layer = true" in render_html(make_report(layers=(make_layer("conv", 3),)))


@pytest.mark.parametrize("trace", [None, -4.0])
def test_shares_of_a_sum_that_is_unknown_or_not_positive_are_left_out(trace):
    first, second = rows(make_report(layers=(make_layer("a", 1, trace=4.0), make_layer("b", 1, trace=trace))))
    assert first.endswith("4 [3.6, 4.4] –")
    assert second.endswith("–")
    assert ("non finite" in second) == (trace is None)


def test_a_negative_share_is_drawn_in_another_colour():
    assert 'class="fill-1"' in share_bar(0.5)
    assert 'class="fill-2"' in share_bar(-0.5)
    assert "-50.0 %" in share_bar(-0.5)


def test_of_very_many_layers_the_first_are_shown_and_the_rest_counted():
    report = make_report(layers=tuple(make_layer(f"layer{k}", 5) for k in range(MOST_LAYERS + 3)))
    assert len(rows(report)) == MOST_LAYERS
    assert "3 more are in the report" in render_html(report)


def test_what_did_not_converge_says_so_beside_its_interval():
    layer = make_layer("conv", 9)
    trace = layer.trace.model_copy(update={"outcome": "not_converged"})
    (row,) = rows(make_report(layers=(layer.model_copy(update={"trace": trace}),)))
    assert "4 [3.6, 4.4] not converged" in row
