"""The report as one page for people: HTML that needs no network, no script and no other file.

Pictures are drawn here, as inline SVG and small PNGs; what a template may show is one frozen dataclass. Nothing is
measured or judged here, and nothing a report says is trusted: names of layers and tensors come from strangers.
"""

from eigengate.page.rendering import content_security_policy, render_html

__all__ = ["content_security_policy", "render_html"]
