"""The whole product in a few minutes: train, export, serve, audit over HTTP, gate, stop.

    make demo

Starts the service on loopback with its embedded defaults (SQLite, local files, an in-process worker), trains a small
network on scikit-learn's digits, posts it as TorchScript and as ONNX with real probe images, and shows what comes back.
"""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from digits import accuracy, digits, export, train
from eigengate.cli.client import ServiceClient
from eigengate.cli.progress import ProgressDisplay
from eigengate.cli.render import headline_table, verdict_table
from eigengate.errors import ServiceError

console = Console()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """A running service; stopped cleanly in the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = (folder / "service.log").open("w")
    command = [sys.executable, "-m", "eigengate.cli", "serve", "--port", str(port), "--data-dir", str(folder / "data")]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(url, process, folder / "service.log")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
        console.print(f"[dim]service stopped, exit code {code}[/]")


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            sys.exit(f"the service ended at once:\n{log.read_text()}")
        try:
            with ServiceClient(url) as client:
                return client.require_ready()
        except ServiceError:
            time.sleep(0.1)
    sys.exit(f"the service did not become ready:\n{log.read_text()}")


def audit(client: ServiceClient, model: Path, probe: Path, policy: str) -> str | None:
    console.print(Rule(f"[bold]{model.name}[/]"))
    queued = client.submit(model, probe, policy=policy, labels={"example": "digits"})
    console.print(f"POST /v1/audits → 202 {queued.id}")
    with ProgressDisplay(console) as progress:
        finished = client.follow(queued.id, progress)
    if finished.status != "succeeded":
        console.print(f"[red]{finished.status}[/]: {finished.error}")
        return None
    console.print(headline_table(client.report(queued.id)))
    console.print(verdict_table(client.verdict(queued.id, policy)))
    return finished.verdict


def main() -> int:
    policy = (Path(__file__).parent / "policy.toml").read_text()
    with tempfile.TemporaryDirectory(prefix="eigengate-demo-") as name:
        folder = Path(name)
        with service(folder) as url, ServiceClient(url) as client:
            console.print(f"service ready at [link={url}]{url}[/]")
            with console.status("training a small network on scikit-learn's digits"):
                data = digits()
                model = train(data)
            console.print(f"trained: {accuracy(model, data):.1%} of the held-out digits are right")
            with console.status("exporting to TorchScript and ONNX"):
                script, onnx, probe = export(model, data, folder)
            verdicts = {path.name: audit(client, path, probe, policy) for path in (script, onnx)}
    console.print(Rule())
    for file, verdict in verdicts.items():
        console.print(f"  {file:<14} verdict: [bold]{verdict or 'none'}[/]")
    console.print(
        "\nNext: [bold]make serve[/], then POST your own model; or [bold]eigengate check MODEL PROBE[/] in CI."
    )
    return 0 if all(verdict in ("pass", "warn") for verdict in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
