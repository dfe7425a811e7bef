"""``eigengate ops``: which operators can be differentiated."""

from collections.abc import Iterable

from rich.columns import Columns

from eigengate.cli.terminal import stdout


def ops() -> None:
    """List the operators that Eigengate can lower and differentiate, by format.

    A model that uses any other is refused with the full list of what is missing. ONNX operators show the versions of
    the standard from which each is written.
    """
    from eigengate.loading.onnx import supported_operators as onnx_operators
    from eigengate.loading.torchscript import supported_operators as torchscript_operators

    onnx = onnx_operators()
    _section("ONNX", [f"{name} {', '.join(map(str, versions))}" for name, versions in sorted(onnx.items())])
    _section("TorchScript", [name.removeprefix("aten::") for name in torchscript_operators()])


def _section(title: str, names: Iterable[str]) -> None:
    names = list(names)
    console = stdout()
    console.print(f"\n[bold]{title}[/] · {len(names)} operators")
    console.print(Columns(names, padding=(0, 2), column_first=True))
