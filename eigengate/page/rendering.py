"""From a report and its verdict to the text of a page."""

import base64
import hashlib
from dataclasses import fields
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from eigengate.contract import StabilityReport, Verdict
from eigengate.gate.wording import interval, number
from eigengate.page.context import page_context
from eigengate.page.visible import visible


def render_html(report: StabilityReport, verdict: Verdict | None = None) -> str:
    """One self-contained page, at most 3 MB; without a verdict it shows the measurements alone."""
    context = page_context(report, verdict, styles=_styles(), content_security_policy=content_security_policy())
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    return environment().get_template("page.html").render(values)


def content_security_policy() -> str:
    """What the page itself asks the browser for: its own style sheet, pictures inside the page, nothing else."""
    digest = base64.b64encode(hashlib.sha256(_styles().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


@cache
def environment() -> Environment:
    """Escapes everything that is not markup of ours, and refuses names a template should not use."""
    environment = Environment(
        autoescape=True,
        finalize=_text_made_visible,
        loader=PackageLoader("eigengate.page", "templates"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["number"] = number
    environment.filters["interval"] = lambda bars: interval(bars.low, bars.high) if bars else ""
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:].removesuffix('.')}."
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    return environment


def _text_made_visible(value: object) -> object:
    """Pictures and other markup of ours are left alone: they did it when they were made."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _styles() -> str:
    source, _, _ = PackageLoader("eigengate.page", "templates").get_source(Environment(autoescape=True), "page.css")
    return source
