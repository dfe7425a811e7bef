"""A client of the HTTP service: submit, follow, fetch, cancel."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, final

import httpx
from pydantic import ValidationError

from eigengate.contract import TERMINAL_STATUSES, Audit, AuditEvent, EventLog, StabilityReport, Verdict
from eigengate.errors import ConfigError, EigengateError, InputError, PolicyError, ServiceError

Shape = TypeVar("Shape", Audit, EventLog, StabilityReport, Verdict)

_HELD_SECONDS = 20
_INPUT_STATUSES = {400, 413, 415, 422}


@final
class ServiceClient:
    """Talks to one Eigengate service; a refusal is raised as an ``EigengateError`` in the service's own words."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=httpx.Timeout(30, read=_HELD_SECONDS + 30), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def submit(
        self,
        model: Path,
        probe: Path,
        *,
        config: str | None = None,
        policy: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> Audit:
        """POST model and probe; the audit as queued."""
        fields = {"config": config, "policy": policy, "labels": json.dumps(labels) if labels else None}
        data = {name: text for name, text in fields.items() if text is not None}
        with model.open("rb") as model_file, probe.open("rb") as probe_file:
            files = {"model": (model.name, model_file), "probe": (probe.name, probe_file)}
            return _parsed(Audit, self._call("POST", "/v1/audits", data=data, files=files))

    def audit(self, audit_id: str, *, wait: int = 0) -> Audit:
        """The audit as it stands, after at most ``wait`` seconds or when it changes."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        return _parsed(Audit, self._call("GET", f"/v1/audits/{audit_id}", headers=headers))

    def follow(self, audit_id: str, on_event: Callable[[AuditEvent], None]) -> Audit:
        """Relay the audit's events until it is over; its final state."""
        shown = 0
        while True:
            audit = self.audit(audit_id)
            log = self._call("GET", f"/v1/audits/{audit_id}/events", headers={"Accept": "application/json"})
            events = _parsed(EventLog, log).events
            for event in events[shown:]:
                on_event(event)
            shown = len(events)
            if audit.status in TERMINAL_STATUSES:
                return audit
            time.sleep(0.25)

    def report(self, audit_id: str) -> StabilityReport:
        return _parsed(StabilityReport, self._call("GET", f"/v1/audits/{audit_id}/report?format=json"))

    def page(self, audit_id: str) -> str:
        """The report as one HTML page."""
        return self._call("GET", f"/v1/audits/{audit_id}/report?format=html").text

    def verdict(self, audit_id: str, policy: str) -> Verdict:
        """Judge the stored report under a policy (TOML or JSON text)."""
        return _parsed(Verdict, self._call("POST", f"/v1/audits/{audit_id}/verdict", content=policy.encode()))

    def require_ready(self) -> None:
        """Return if the service can take audits now.

        Raises:
            ServiceError: it cannot, or does not answer.
        """
        self._call("GET", "/health/ready")

    def cancel(self, audit_id: str) -> None:
        self._call("POST", f"/v1/audits/{audit_id}/cancel")

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        with _reachable(self._http.base_url):
            response = self._http.request(method, path, **request)
        if response.is_success:
            return response
        raise _refusal(response)


@contextmanager
def _reachable(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise ServiceError(f"{url} does not answer: {error}", hint="is `eigengate serve` running there?") from error


def _refusal(response: httpx.Response) -> EigengateError:
    """The problem a service answered with, as the error it would have been locally."""
    try:
        problem = response.json()
        detail, hint, code = problem["detail"], problem.get("hint"), problem["code"]
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the service answered {response.status_code}: {response.text[:200]!r}")
    kind: type[EigengateError] = ServiceError
    if code == ConfigError.code:
        kind = ConfigError
    elif code == PolicyError.code:
        kind = PolicyError
    elif response.status_code in _INPUT_STATUSES:
        kind = InputError
    return kind(detail, hint=hint)


def _parsed(shape: type[Shape], response: httpx.Response) -> Shape:
    try:
        return shape.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceError(
            f"the service's answer is no {shape.__name__}: {error.errors()[0]['msg']}",
            hint="service and client may be of different versions",
        ) from error
