"""The verdict as JUnit XML: one test case per condition."""

import re
from xml.etree import ElementTree as ET

from eigengate.contract import ConditionResult, Verdict

# XML 1.0 has no way to write these characters; names and messages may come from anywhere.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(verdict: Verdict) -> str:
    """Failed and missing conditions are failures, undecided ones errors, waived, skipped and off ones skipped.

    A condition that cannot change the outcome (level info) or only warns passes, with its finding in the output.
    """
    cases = [_case(result) for result in verdict.conditions]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
    }
    root = ET.Element("testsuites", {"name": "eigengate", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "eigengate.gate", "time": "0", **counts})
    properties = ET.SubElement(suite, "properties")
    for name in ("outcome", "mode", "judged_on", "report_sha256", "policy_sha256", "baseline_sha256"):
        ET.SubElement(properties, "property", {"name": name, "value": str(getattr(verdict, name) or "")})
    suite.extend(cases)
    _text_element(suite, "system-out", "\n".join((verdict.summary, *verdict.warnings)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(result: ConditionResult) -> ET.Element:
    case = ET.Element("testcase", {"name": result.id, "classname": f"eigengate.gate.{result.metric}", "time": "0"})
    message = _xml(f"{result.metric}: expected {result.expected}; {result.message}")
    if result.effect == "fail":
        _text_element(case, "failure", result.advice or "", message=message, type=result.status)
    elif result.effect == "indeterminate":
        _text_element(case, "error", result.advice or "", message=message, type="indeterminate")
    elif result.status in ("waived", "skipped", "off"):
        ET.SubElement(case, "skipped", {"message": _xml(result.message)})
    else:
        _text_element(case, "system-out", f"{result.status} (level {result.level}): {message}")
    return case


def _text_element(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = _xml(text)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
