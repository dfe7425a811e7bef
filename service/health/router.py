"""Routes for machines that watch the service, and for clients that want to know its limits."""

from fastapi import APIRouter
from starlette.responses import Response

from service import examples
from service.context import ContextOf
from service.documentation import answer, problems
from service.health import operations
from service.health.shapes import Health, Info

router = APIRouter(tags=["service"])


@router.get(
    "/health/live",
    operation_id="checkLiveness",
    summary="Does the process live?",
    responses=answer(200, "It does.", Health, examples.HEALTH),
)
async def check_liveness() -> Response:
    """Asks nothing but this process."""
    return _ok()


@router.get(
    "/health/ready",
    operation_id="checkReadiness",
    summary="Can audits be taken?",
    responses={**answer(200, "They can.", Health, examples.HEALTH), **problems(503)},
)
def check_readiness(context: ContextOf) -> Response:
    """Asks database, store and broker, not workers: audits wait for those."""
    operations.require_ready(context)
    return _ok()


@router.get(
    "/v1/info",
    operation_id="getInfo",
    summary="Versions, limits and formats",
    responses=answer(200, "What this service is and can do.", Info, examples.INFO),
)
def get_info(context: ContextOf) -> Response:
    """Worth reading before a large upload."""
    return Response(operations.info(context).model_dump_json(), media_type="application/json")


def _ok() -> Response:
    return Response(Health().model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"})
