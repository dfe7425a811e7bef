"""What every contract shape has in common."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

# JSON and TOML give lists; the contract keeps tuples, so that frozen means frozen.
Items = Annotated[tuple[T, ...], Field(strict=False)]


class Contract(BaseModel):
    """A frozen shape that refuses unknown keys, silent conversions and non-finite numbers.

    pydantic would otherwise write NaN as ``null`` and then be unable to read it back.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )
