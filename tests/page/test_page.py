import base64
import hashlib
import json
import re
from dataclasses import fields
from html.parser import HTMLParser

import pytest
from jinja2 import meta

from eigengate.contract import (
    AttributionReport,
    CertificateCheck,
    Coverage,
    Divergence,
    Engine,
    InputInfo,
    Measurement,
    OutputInfo,
    ReportProblem,
    StabilityReport,
    Verdict,
)
from eigengate.gate import judge, load_policy
from eigengate.page import content_security_policy, render_html
from eigengate.page.context import PageContext
from eigengate.page.embedding import MAX_EMBEDDED_BYTES
from eigengate.page.facts import fact_groups
from eigengate.page.rendering import environment
from tests.support.layers import make_layer
from tests.support.policies import TODAY, policy, threshold
from tests.support.reports import make_certificate, make_model, make_report, with_measurement

LIMIT = 3_000_000
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page's elements with their attributes, its texts, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def verdict_of(report: StabilityReport, *conditions, **fields) -> Verdict:
    return judge(report, policy(*conditions, **fields), report, today=TODAY)


def page(report: StabilityReport, verdict: Verdict | None = None) -> Page:
    return Page(render_html(report, verdict))


REPORT = make_report()
FULL = render_html(REPORT, verdict_of(REPORT, threshold(limit=1.0, advice="rest"), extends="builtin:strict"))


def test_tags_are_balanced():
    assert Page(FULL).open == []


def test_the_page_loads_nothing_and_runs_nothing():
    for tag, attributes in Page(FULL).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "video", "audio", "a")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcset", "href")]
        if tag == "script":
            assert attributes["type"] == "application/json"
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
    assert "url(" not in FULL
    assert "@import" not in FULL
    assert not re.findall(r"https?://", FULL)


def test_the_content_security_policy_allows_the_style_sheet_alone():
    (style,) = re.findall(r"<style>(.*?)</style>", FULL, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (content,) = [a["content"] for t, a in Page(FULL).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert content == content_security_policy()
    assert f"style-src 'sha256-{digest}'" in content
    assert content.startswith("default-src 'none'")


def test_the_verdict_comes_first_in_words():
    text = Page(FULL).text
    assert text.index("Failed") < text.index("Stability index") < text.index("Gate") < text.index("Certificate")
    assert "conditions failed; first: " in text


@pytest.mark.parametrize(("limit", "word"), [(9.0, "Passed"), (1.0, "Failed"), (3.6, "Indeterminate")])
def test_each_outcome_has_its_word(limit, word):
    assert word in page(REPORT, verdict_of(REPORT, threshold(limit=limit))).text


def test_without_a_verdict_the_page_says_that_nothing_was_judged():
    text = page(REPORT).text
    assert "Not judged" in text
    assert "Gate" not in text.split()


def test_templates_use_every_field_of_the_context_and_nothing_else():
    env = environment()
    used = set()
    for name in env.list_templates(filter_func=lambda name: name.endswith(".html")):
        used |= meta.find_undeclared_variables(env.parse(env.loader.get_source(env, name)[0]))
    assert used == {field.name for field in fields(PageContext)}


HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'`{{7*7}}\x00\x1b[31m\u202egnp\u200b"


def hostile_report() -> StabilityReport:
    model = make_model(operators=(HOSTILE,))
    model = model.model_copy(
        update={
            "inputs": (InputInfo(name=HOSTILE, dtype=HOSTILE, shape=None),),
            "output": OutputInfo(name=HOSTILE, kind="logits", classes=10),
            "parameters": model.parameters.model_copy(update={"excluded": (HOSTILE,)}),
            "notes": (HOSTILE,),
        }
    )
    certificate = make_certificate().model_copy(
        update={
            "runtime": HOSTILE,
            "checks": (CertificateCheck(name=HOSTILE, passed=False, error=1.0, tolerance=0.1, detail=HOSTILE),),
            "first_divergence": Divergence(value=HOSTILE, error=1.0),
        }
    )
    spectra = (make_report().spectra[-3].model_copy(update={"name": HOSTILE}),)
    attribution = make_report().attribution
    curves = tuple(c.model_copy(update={"method": HOSTILE}) for c in attribution.curves[:1])
    samples = tuple(s.model_copy(update={"method": HOSTILE}) for s in attribution.samples)
    variant = make_report().index.variants[0]
    component = variant.components[0].model_copy(update={"name": HOSTILE, "reason": HOSTILE})
    index = make_report().index.model_copy(
        update={
            "variants": (variant.model_copy(update={"name": HOSTILE, "components": (component,), "detail": HOSTILE}),)
        }
    )
    cost = make_report().cost
    stages = tuple(s.model_copy(update={"name": HOSTILE}) for s in cost.stages)
    report = make_report(
        model=model,
        certificate=certificate,
        engine=Engine(versions={HOSTILE: HOSTILE}, device=HOSTILE, dtype=HOSTILE, seed=0, threads=1),
        coverage=(Coverage(subject=HOSTILE, analysed=False, note=HOSTILE),),
        problems=(ReportProblem(code="x", title=HOSTILE, detail=HOSTILE, quantity=HOSTILE),),
        spectra=spectra,
        attribution=AttributionReport(curves=curves, samples=samples),
        index=index,
        layers=(make_layer(HOSTILE, 5),),
        cost=cost.model_copy(update={"stages": stages}),
        samples=tuple(s.model_copy(update={"values": {HOSTILE: 1.0}}) for s in make_report().samples),
    )
    odd = Measurement(name="hessian.trace", value=1.0, unit=HOSTILE, method=HOSTILE, detail=HOSTILE)
    return report.model_copy(update={"measurements": (*report.measurements, odd)})


def test_names_from_strangers_stay_text():
    report = hostile_report()
    waiver = {"condition": "c", "reason": HOSTILE, "owner": HOSTILE, "expires": TODAY}
    verdict = verdict_of(report, threshold(limit=1.0), threshold(id="d", limit=1.0, advice=HOSTILE), waiver=[waiver])
    text = render_html(report, verdict)
    found = Page(text)
    assert found.open == []
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in Page(FULL).elements} | {"code", "ul", "li"}
    assert not [a for _, a in found.elements if "onerror" in a]
    assert "<img src=x" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]", text.split("<script")[0])
    # Present all the same, as text: one witness per part of the page.
    assert found.text.count("<img src=x onerror=alert(1)>") > 25
    assert "{{7*7}}" in found.text


@pytest.mark.parametrize(
    ("recorded", "shown"), [((True, False), ("yes", "no")), ((None, None), ("not recorded", "not recorded"))]
)
def test_the_switches_that_digits_depend_on_are_shown(recorded, shown):
    engine = REPORT.engine.model_copy(update=dict(zip(("deterministic", "tf32"), recorded, strict=True)))
    facts = dict(fact_groups(REPORT.model_copy(update={"engine": engine}))[2].facts)
    assert (facts["Deterministic kernels"], facts["Shortened products (TF32)"]) == shown


def test_the_report_inside_the_page_can_be_taken_out_again():
    (embedded,) = Page(FULL).scripts
    assert not set("<>&\u2028\u2029") & set(embedded)
    report = StabilityReport.model_validate_json(embedded)
    assert report.measurements == REPORT.measurements
    assert report.spectra == REPORT.spectra
    assert report.attribution.curves == REPORT.attribution.curves


def test_a_hostile_report_can_be_taken_out_again():
    (embedded,) = Page(render_html(hostile_report())).scripts
    assert StabilityReport.model_validate(json.loads(embedded)).model.inputs[0].name == HOSTILE


def large_report() -> StabilityReport:
    report = make_report(n=2000, image=(3, 64, 64))
    coverage = tuple(Coverage(subject=f"layer{k}.weight", analysed=False, note="x" * 200) for k in range(100))
    layers = tuple(make_layer(f"blocks.{k}.first", 10_000) for k in range(500))
    return report.model_copy(update={"coverage": coverage, "layers": layers})


def test_a_large_report_makes_a_page_of_at_most_three_megabytes():
    text = render_html(large_report())
    assert len(text.encode()) <= LIMIT
    (embedded,) = Page(text).scripts
    assert len(embedded) <= 1.2 * MAX_EMBEDDED_BYTES
    assert StabilityReport.model_validate_json(embedded).measurements == large_report().measurements
    assert "1800 more are in the report" in Page(text).text


@pytest.mark.parametrize(
    "image", [(1, 8, 8), (3, 8, 8), (8, 8, 3), (8, 8), (2, 5, 7), (13,), (1, 200, 130), (4, 5, 6, 7)]
)
def test_samples_of_every_shape_have_five_pictures_each(image):
    flat = image if len(image) > 1 else (1, *image)
    report = make_report(image=flat if len(flat) != 4 else (1, 28, 30))
    samples = tuple(s.model_copy(update={"shape": image}) for s in report.attribution.samples)
    report = report.model_copy(update={"attribution": report.attribution.model_copy(update={"samples": samples})})
    pictures = [attributes for tag, attributes in page(report).elements if tag == "img"]
    assert len(pictures) == 5 * len(samples)
    assert all(picture["alt"] for picture in pictures)


def test_every_picture_says_in_words_what_it_shows():
    pictures = [attributes for tag, attributes in Page(FULL).elements if tag == "svg"]
    assert len(pictures) > 10
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 10 for picture in pictures)


def test_a_report_of_almost_nothing_makes_a_page():
    report = make_report(
        with_attribution=False,
        spectra=(),
        samples=(),
        coverage=(),
        problems=(),
        measurements=(),
        index=type(REPORT.index)(),
    )
    assert page(report, verdict_of(report)).open == []


def test_numbers_that_are_missing_say_why():
    report = with_measurement(REPORT, "index.gmsi", None, outcome="not_applicable", detail="the spread is zero")
    text = page(report).text
    assert "not applicable" in text
    assert "the spread is zero" in text


def test_degenerate_spectra_are_drawn():
    spectra = tuple(s.model_copy(update={"values": (0.0,) * len(s.values)}) for s in REPORT.spectra)
    single = tuple(s.model_copy(update={"values": s.values[:1]}) for s in REPORT.spectra)
    empty = tuple(s.model_copy(update={"values": ()}) for s in REPORT.spectra)
    for replaced in (spectra, single, empty):
        assert page(make_report(spectra=replaced)).open == []


def test_inspect_mode_and_warnings_are_said():
    waiver = {"condition": "c", "reason": "known", "owner": "ada", "expires": TODAY}
    verdict = verdict_of(REPORT, threshold(limit=1.0), threshold(id="d"), waiver=[waiver], mode="inspect")
    text = page(REPORT, verdict).text
    assert "inspect mode" in text
    assert "expires in 0 days" in text


def test_a_preset_verdict_is_shown_condition_by_condition():
    rules = load_policy("builtin:recommended")
    text = page(REPORT, judge(REPORT, rules, today=TODAY)).text
    assert all(condition.id in text for condition in rules.condition)
