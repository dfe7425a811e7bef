"""The store that a URL names."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.store import S3Store as Bucket

from eigengate.errors import ConfigError
from service.storage.local import LocalStore
from service.storage.s3 import S3Store
from service.storage.store import ArtifactStore

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists in its stubs alone

_FORMS = "use file:///folder or s3://bucket/prefix?endpoint=https://host&region=name"


def open_store(url: str) -> ArtifactStore:
    """The store at ``file:///folder`` or ``s3://bucket/prefix?endpoint=…&region=…``.

    Credentials of S3 come from the usual AWS environment variables or from the machine's role; so do endpoint and
    region where the URL names none (``AWS_ENDPOINT_URL``, ``AWS_REGION``).

    Raises:
        ConfigError: The URL names no store we know.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file" if not parts.netloc:
            return LocalStore(Path(unquote(parts.path)))
        case "s3" if parts.netloc:
            return S3Store(_bucket(parts.netloc, parts.path.strip("/"), dict(parse_qsl(parts.query))))
    raise ConfigError(f"{parts.scheme}:// with host {parts.netloc!r} is no store of files", hint=_FORMS)


def _bucket(name: str, prefix: str, options: dict[str, str]) -> Bucket:
    if unknown := options.keys() - {"endpoint", "region"}:
        raise ConfigError(f"unknown options of the S3 store: {sorted(unknown)}", hint=_FORMS)
    config: S3Config = {}
    # What the URL leaves open is left to the AWS variables: a default passed here would silence them.
    if region := options.get("region"):
        config["region"] = region
    if endpoint := options.get("endpoint"):
        config["endpoint"] = endpoint
    # Amazon is always asked by https; whoever names another endpoint by http means it.
    return Bucket(
        name, prefix=prefix or None, config=config, client_options={"allow_http": True, "connect_timeout": "5s"}
    )
