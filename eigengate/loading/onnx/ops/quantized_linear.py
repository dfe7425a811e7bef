"""Matrix products and convolutions of quantised numbers."""

from torch import Tensor

from eigengate.loading.onnx.ops._quantized import as_int32, exact, saturated
from eigengate.loading.onnx.ops.convolution import convolution
from eigengate.loading.onnx.registry import Ints, Smoothness, operator


@operator("MatMulInteger", since=10, smoothness=Smoothness.NONE)
def integer_matrix_product(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    """(a − a_zero_point) · (b − b_zero_point) in int32, of eight-bit matrices.

    Zero points are scalars, or vectors with one for each row of a and for each column of b.
    """
    rows = None if a_zero_point is None else _per_row(a_zero_point, a)
    return as_int32(exact(a, rows) @ exact(b, b_zero_point))


@operator("QLinearMatMul", since=10, smoothness=Smoothness.NONE)
def quantized_matrix_product(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    """The product of the matrices that a and b stand for, quantised again by the scale and zero point of y.

    Scales and zero points are scalars, or vectors with one for each row of a and y and for each column of b. The
    scales may be narrower than float32 since opset 21.
    """
    product = exact(a, _per_row(a_zero_point, a)) @ exact(b, b_zero_point)
    factor = _per_row(a_scale, a) * b_scale / _per_row(y_scale, a)
    return saturated(product * factor, _per_row(y_zero_point, a), y_zero_point.dtype)


@operator("ConvInteger", since=10, smoothness=Smoothness.NONE)
def integer_convolution(
    x: Tensor,
    weight: Tensor,
    x_zero_point: Tensor | None = None,
    weight_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """The convolution of x − x_zero_point by weight − weight_zero_point in int32, of eight-bit tensors.

    The weight's zero point is a scalar or has one number for each output channel. Padding stands for real zeros, that
    is for the zero point. Attributes as of ``Conv``.
    """
    channels = None if weight_zero_point is None else _along(0, weight_zero_point, weight)
    kernel = exact(weight, channels)
    return as_int32(
        convolution(
            exact(x, x_zero_point),
            kernel,
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            pads=pads,
            strides=strides,
        )
    )


@operator("QLinearConv", since=10, smoothness=Smoothness.NONE)
def quantized_convolution(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    """The convolution of what x and the weight stand for, quantised again by the scale and zero point of y.

    The weight's scale and zero point are scalars or have one number for each output channel. The bias is int32 in
    steps of x_scale · weight_scale. Attributes as of ``Conv``.
    """
    whole = convolution(
        exact(x, x_zero_point),
        exact(weight, _along(0, weight_zero_point, weight)),
        None if bias is None else exact(bias, None),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    factor = _along(1, x_scale * weight_scale / y_scale, whole)
    return saturated(whole * factor, y_zero_point, y_zero_point.dtype)


def _per_row(values: Tensor, matrix: Tensor) -> Tensor:
    """A vector of numbers for the rows of a matrix, as a column."""
    return _along(0, values, matrix) if values.ndim == 1 and matrix.ndim == 2 else values


def _along(axis: int, values: Tensor, x: Tensor) -> Tensor:
    """One number, or a vector of numbers along an axis of x, so that it broadcasts."""
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.reshape(shape)
