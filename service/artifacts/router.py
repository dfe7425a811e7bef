"""Routes of stored files: upload, ask for, download."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from eigengate.contract import ArtifactInfo
from service import examples
from service.artifacts import operations
from service.body import take_in
from service.context import ContextOf
from service.documentation import FILE_REQUEST_BODY, answer, header, problems

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"])

Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the content, in lower-case hex.")]
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}, "example": "…"}}
_SIZE = {**header("Content-Length", "Its size in bytes."), **header("ETag", "Its digest.")}


@router.put(
    "/{sha256}",
    operation_id="uploadArtifact",
    summary="Upload a model or probe file",
    openapi_extra=FILE_REQUEST_BODY,
    responses={
        **answer(200, "It was here already.", ArtifactInfo, examples.ARTIFACT),
        **answer(201, "It is here now.", ArtifactInfo, examples.ARTIFACT),
        **problems(413, 422, 503, 507),
    },
)
async def upload_artifact(sha256: Sha256, request: Request, context: ContextOf) -> Response:
    """The raw bytes are the body; their digest is checked as they come. Files no audit uses are removed after a day."""
    with context.staging.file() as staged:
        await take_in(request, staged.write, limit=context.settings.max_upload_bytes)
        info, new = await run_in_threadpool(operations.keep, context, staged, sha256)
    return Response(info.model_dump_json(), status_code=201 if new else 200, media_type="application/json")


@router.head(
    "/{sha256}",
    operation_id="checkArtifact",
    summary="Ask whether a file is here",
    response_class=Response,
    responses={
        200: {"description": "It is.", "headers": _SIZE},
        404: {"description": "It is not."},
        **problems(422, 503),
    },
)
def check_artifact(sha256: Sha256, context: ContextOf) -> Response:
    """Ask before uploading: a model that was audited once need not travel again."""
    return Response(headers=_headers(operations.find(context, sha256)))


@router.get(
    "/{sha256}",
    operation_id="downloadArtifact",
    summary="Download a file",
    response_class=StreamingResponse,
    responses={200: {"description": "Its bytes.", "content": _BYTES, "headers": _SIZE}, **problems(404, 422, 503)},
)
def download_artifact(sha256: Sha256, context: ContextOf) -> Response:
    """Exactly the bytes that were uploaded."""
    info, chunks = operations.content(context, sha256)
    return StreamingResponse(chunks, headers=_headers(info))


def _headers(info: ArtifactInfo) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(info.size),
        "Content-Disposition": f'attachment; filename="{info.sha256[:16]}.{info.format}"',
        "ETag": f'"{info.sha256}"',
    }
