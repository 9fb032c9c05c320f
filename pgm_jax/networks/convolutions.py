"""Convolutions that are as fast on a CPU as its matrix products, in float32 and in bfloat16.

XLA's own convolution is slow there where it is differentiated: in a loop, and with respect to the weights anywhere. And
it widens bfloat16 to float32, while processors with matrix units for bfloat16 multiply it several times faster. On a
processor without them bfloat16 is slower than float32.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float


def convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "k l c d"], stride: int = 1) -> Float[Array, "b h2 w2 d"]:
    """A convolution with zeros around the image, for networks that are differentiated with respect to the image.

    On a CPU it is a sum of matrix products, whose derivatives are as fast inside a loop as outside; those of XLA's own
    convolution take five times as long there.

    Args:
        x, kernel, stride: features `[B, H, W, C]`, weights `[k, l, C, D]`, and the step between pixels of the result.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _shifted_products(x, kernel, stride),
        default=lambda x, kernel: _native(x, kernel, stride),
    )


def _native(x: Array, kernel: Array, stride: int) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _shifted_products(x: Array, kernel: Array, stride: int) -> Array:
    (height, width, c, d), b = kernel.shape, x.shape[0]
    rows, columns = (-(-side // stride) for side in x.shape[1:3])
    missing = [
        max((count - 1) * stride + size - side, 0)
        for count, size, side in zip((rows, columns), (height, width), x.shape[1:3], strict=True)
    ]
    x = jnp.pad(x, ((0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)))
    shifted = [
        x[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride].reshape(-1, c)
        for i in range(height)
        for j in range(width)
    ]
    if c < d:  # for few channels one product of all shifts is faster than a sum of many
        out = jnp.concatenate(shifted, axis=1) @ kernel.reshape(-1, d)
    else:
        out = functools.reduce(jnp.add, map(jnp.matmul, shifted, kernel.reshape(-1, c, d)))
    return out.reshape(b, rows, columns, d)


def convolve_half(
    x: BFloat16[Array, "b h w c"], kernel: BFloat16[Array, "3 3 c d"], strides: Any, padding: Any, **options: Any
) -> BFloat16[Array, "b h w d"]:
    """A convolution of bfloat16 with zeros around the image, whose sums are float32: what a layer of Flax calls.

    On a CPU its derivatives, too, are products of bfloat16 with sums in float32. Only reverse mode is defined.

    Args:
        x, kernel: features `[B, H, W, C]`, and weights `[3, 3, C, D]`.
        strides, padding, options: as Flax passes them; the strides are 1 and the padding is "SAME".

    Raises:
        ValueError: for anything else.
    """
    usual = dict(lhs_dilation=(1, 1), rhs_dilation=(1, 1), feature_group_count=1)
    if tuple(strides) != (1, 1) or padding != "SAME" or any(options.get(k, v) != v for k, v in usual.items()):
        raise ValueError(
            f"A convolution of bfloat16 was asked for strides {strides}, padding {padding} and {options}; it takes "
            'strides of 1, padding "SAME", no dilation and one group.'
        )
    return jax.lax.platform_dependent(x, kernel, cpu=_half, default=lambda x, kernel: _native(x, kernel, 1))


# Barriers keep XLA from fusing copies into what reads them, pixel by pixel, and from folding a transposition into a
# product, which sends the product back to float32.
_as_is = jax.lax.optimization_barrier


def _product(a: Array, b: Array, contracted: tuple[int, int] = (1, 0)) -> Array:
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _columns(x: Array) -> Array:
    """Each pixel beside its neighbours in the row, with a row of zeros above and below, `[B, H + 2, W, 3 C]`."""
    width = x.shape[2]
    padded = _as_is(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    return _as_is(jnp.concatenate([padded[:, :, j : j + width] for j in range(3)], axis=-1))


def _sum_of_rows(columns: Array, kernel: Array) -> Array:
    b, height, width, inputs = columns.shape
    kernel = kernel.reshape(3, inputs, -1)
    rows = [columns[:, i : i + height - 2].reshape(-1, inputs) for i in range(3)]
    out = functools.reduce(jnp.add, map(_product, rows, kernel))
    return out.reshape(b, height - 2, width, -1).astype(columns.dtype)


@jax.custom_vjp
def _half(x: Array, kernel: Array) -> Array:
    return _sum_of_rows(_columns(x), kernel)


def _half_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _half(x, kernel), (x, kernel)


def _half_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = saved
    width, outputs = x.shape[2], kernel.shape[-1]
    of_x = _sum_of_rows(_columns(g), kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    # With two more rows of zeros g has the rows of the columns, and what a weight saw is one run of pixels.
    columns = _columns(x).reshape(-1, 3 * x.shape[-1])
    rows = jnp.pad(g, ((0, 0), (0, 2), (0, 0), (0, 0))).reshape(-1, outputs)
    transposed = _as_is(_product(jnp.eye(outputs, dtype=g.dtype), rows, (1, 1)).astype(g.dtype))
    count = len(rows) - 2 * width
    of_rows = [_product(transposed[:, :count], columns[i * width : i * width + count]) for i in range(3)]
    return of_x, _as_is(jnp.stack(of_rows)).transpose(0, 2, 1).reshape(kernel.shape).astype(kernel.dtype)


_half.defvjp(_half_forward, _half_backward)
