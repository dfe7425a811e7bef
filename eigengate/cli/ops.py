"""``eigengate ops``: which operators can be differentiated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.columns import Columns
from rich.table import Table

from eigengate.cli.terminal import plain, stdout

if TYPE_CHECKING:
    from eigengate.loading.onnx import CatalogueEntry


def ops(
    name: Annotated[str, typer.Argument(help="Only operators whose name contains this, e.g. Conv.")] = "",
) -> None:
    """List the operators that Eigengate can lower and differentiate, by format.

    A model that uses any other is refused with the full list of what is missing. ONNX operators show the versions of
    the standard that are covered; 0 marks those that are piecewise constant, – those without real numbers.
    """
    from eigengate.loading.onnx import supported_operators as onnx_operators
    from eigengate.loading.torchscript import supported_operators as torchscript_operators

    wanted = name.lower()
    _onnx([entry for entry in onnx_operators() if wanted in entry.qualified.lower()])
    _torchscript([op.removeprefix("aten::") for op in torchscript_operators() if wanted in op.lower()])


def _onnx(entries: "Sequence[CatalogueEntry]") -> None:
    from eigengate.loading.onnx.operator_page import batching_mark, derivative_mark

    console = stdout()
    console.print(f"\n[bold]ONNX[/] · {len(entries)} operators")
    if not entries:
        return
    table = Table("operator", "versions", "1st", "2nd", "forward", "vmap", box=None, pad_edge=False)
    for entry in entries:
        mark = derivative_mark(entry)
        shown = entry.qualified.removeprefix("ai.onnx::")
        table.add_row(plain(shown), ", ".join(map(str, entry.versions)), mark, mark, mark, batching_mark(entry))
    console.print(table)


def _torchscript(names: Sequence[str]) -> None:
    console = stdout()
    console.print(f"\n[bold]TorchScript and torch.export[/] · {len(names)} operators")
    console.print(Columns(list(names), padding=(0, 2), column_first=True))
