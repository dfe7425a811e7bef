"""The route of verdicts."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from eigengate.contract import Verdict
from service import examples
from service.audits.records import PATH
from service.body import small_body
from service.context import ContextOf
from service.documentation import POLICY_REQUEST_BODY, answer, problems
from service.gates import operations

router = APIRouter(prefix=PATH, tags=["verdicts"])


@router.post(
    "/{audit_id}/verdict",
    operation_id="judgeReport",
    summary="Judge the report under a policy",
    openapi_extra=POLICY_REQUEST_BODY,
    responses={
        **answer(200, "The verdict. It is not recorded.", Verdict, examples.VERDICT),
        **problems(404, 409, 413, 422, 503),
    },
)
async def judge_report(
    audit_id: str,
    request: Request,
    context: ContextOf,
    baseline: Annotated[str | None, Query(description="Id of the audit to compare with.")] = None,
) -> Response:
    """At once and without measuring: the policy is the body, as TOML or JSON or the name of a preset."""
    policy = await small_body(request)
    verdict = await run_in_threadpool(operations.judge_again, context, audit_id, policy, baseline)
    return Response(verdict.model_dump_json(), media_type="application/json")
