"""Moreau score matching: losses whose minimiser tends to the proximal map of the prior.

Clean images x_0 are seen through `u = x_0 + sqrt(lam) eps`. The residual is measured in units of what the network may
correct at that level, `r = (phi(u, lam) - x_0) / c_out(lam)`, so that one width serves every level:

    l2                  mean(r^2)                                    minimiser E[x_0 | u]
    l1                  mean(|r|)                                    minimiser: the median of each pixel
    proximal_matching   zeta^2 (1 - exp(-mean(r^2) / zeta^2))        minimiser -> argmax p(x_0 | u) as zeta -> 0

A loss of the *sum* of squares with a width gamma, as in LPN, is the last with `zeta = gamma / sqrt(d)` for d numbers.
The last is PGM (arXiv 2605.13278), eq. of section 4, in its mean form with the width zeta c_out(lam) in the units of
the images; the factor zeta^2 keeps the size of the gradient while zeta falls, and makes l2 its limit zeta -> infinity.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pgm_jax.types import Scalar

_Step = Int[Array, ""] | int
# (residuals of one example, training step, variance around its target) -> (loss, weight of its gradient in [0, 1])
Objective = Callable[[Array, _Step, Scalar], tuple[Array, Array]]


def l2(residual: Float[Array, "..."]) -> Float[Array, ""]:
    """The mean square, `mean(r^2)`, of the `residual` r of one example, in units of c_out."""
    return jnp.mean(residual**2)


def l1(residual: Float[Array, "..."]) -> Float[Array, ""]:
    """The mean absolute value, `mean(|r|)`, of the `residual` r of one example, in units of c_out."""
    return jnp.mean(jnp.abs(residual))


def _proximal_matching(residual: Float[Array, "..."], zeta: Scalar) -> Float[Array, ""]:
    """The proximal matching loss, `zeta^2 (1 - exp(-mean(r^2) / zeta^2))`, zeta in units of c_out."""
    # expm1 keeps the digits that 1 - exp loses where the residual is far below the width.
    return -(zeta**2) * jnp.expm1(-jnp.mean(residual**2) / zeta**2)


def matching_objective(
    warm_up: Callable[[Array], Array],
    warm_steps: int,
    total_steps: int,
    zeta_start: float,
    zeta_end: float,
    stages: int | None = None,
) -> Objective:
    """Warm start by another loss, then proximal matching with a width that falls geometrically.

    `zeta(step) = zeta_start (zeta_end / zeta_start)^p`, p from 0 at the first step after the warm start to 1 at the
    last one. Steps are counted from 0, as `TrainState.step` counts them before the step.

    Where the target of a residual of d numbers is the mean of a Gaussian of variance v, the expectation of proximal
    matching over it is, but for a factor of v, proximal matching of the mean with the width `sqrt(zeta^2 + 2 v / d)`:
    that is the width here. It finds the mode of the mixture of these Gaussians, not of their means. The warm start sees
    the means alone: `l2` keeps its minimiser, `l1` does not.

    Args:
        warm_up: loss of the warm start, `l2` or `l1`.
        warm_steps: number of steps of the warm start; `total_steps` for no proximal matching at all.
        total_steps: number of steps of the whole training.
        zeta_start, zeta_end: first and last width, in units of c_out.
        stages: number of widths, each held for as many steps, as in ProxDM and LPN; by default the fall is smooth.

    Returns:
        `(residual, step, variance = 0) -> (loss, weight)`, the variance v in squared units of c_out; the weight
        `exp(-mean(r^2) / width^2)` is the share of the example's gradient that is left (1 during the warm start).
        Weights near 0 say that zeta has fallen too fast.

    Raises:
        ValueError: if a width is not positive, the warm start is longer than the training, or there is no stage.
    """
    if stages == 1 and zeta_start != zeta_end:
        raise ValueError(f"A single stage has one width, and {zeta_start} and {zeta_end} were given.")
    if stages is not None and stages < 1:
        raise ValueError(f"The width falls in {stages} stages; give at least 1, or None for a smooth fall.")
    if min(zeta_start, zeta_end) <= 0:
        raise ValueError(f"The widths of proximal matching are {zeta_start} and {zeta_end}; both must be positive.")
    if not 0 <= warm_steps <= total_steps:
        raise ValueError(
            f"The warm start takes {warm_steps} of {total_steps} steps; give a number from 0 to the total."
        )

    def objective(residual: Array, step: _Step, variance: Scalar = 0.0) -> tuple[Array, Array]:
        progress = jnp.clip((step - warm_steps) / max(total_steps - 1 - warm_steps, 1), 0.0, 1.0)
        if stages is not None:
            progress = jnp.minimum(jnp.floor(progress * stages), stages - 1) / max(stages - 1, 1)
        zeta = zeta_start * (zeta_end / zeta_start) ** progress
        width = jnp.sqrt(zeta**2 + 2 * variance / residual.size)
        warm = step < warm_steps
        loss = jnp.where(warm, warm_up(residual), _proximal_matching(residual, width))
        return loss, jnp.where(warm, 1.0, jnp.exp(-jnp.mean(residual**2) / width**2))

    return objective
