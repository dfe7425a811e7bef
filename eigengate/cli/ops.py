"""``eigengate ops``: which operators can be differentiated."""

from rich.columns import Columns

from eigengate.cli.terminal import stdout


def ops() -> None:
    """List the operators that Eigengate can lower and differentiate, by format.

    A model that uses any other is refused with the full list of what is missing.
    """
    from eigengate.loading.onnx import supported_operators as onnx_operators
    from eigengate.loading.torchscript import supported_operators as torchscript_operators

    console = stdout()
    for title, names in (("ONNX", onnx_operators()), ("TorchScript", torchscript_operators())):
        console.print(f"\n[bold]{title}[/] · {len(names)} operators")
        console.print(Columns(names, padding=(0, 2), equal=True))
