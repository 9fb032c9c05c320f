"""Schemes for the Langevin process at a level, as the coefficients of one step.

Of `du = (-kappa u + F) dtau + sqrt(2) dB` with F frozen over the time delta, for the linear rate kappa and F = P / lam:

    scheme                keep              force            noise                    probe          with
    euler_maruyama        1 - c             delta            sqrt(2 delta)            0              c = kappa delta
    exponential           e                 (1 - e) / kappa  sqrt((1 - e^2) / kappa)  0              e = e^{-c}
    imex                  1 / (1 + c)       delta / (1 + c)  sqrt(2 delta) / (1 + c)  0
    leimkuhler_matthews   1 - c             delta            (2 - c) sqrt(delta / 2)  sqrt(delta / 2)
    half_probed           1 - c             delta            (2 - c/2) sqrt(delta/2)  sqrt(delta / 8)

Leimkuhler and Matthews look at F where half of the step's noise has been added: of second order in delta for the
distribution that is sampled, at the price of the first-order schemes, and exact for a Gaussian whatever the step.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from pgm_jax.types import Scalars


class Coefficients(NamedTuple):
    """One step `u <- keep u + force F(u + probe xi) + noise xi` of `du = (-kappa u + F) dtau + sqrt(2) dB`."""

    keep: Array
    force: Array
    noise: Array
    probe: Array


# (kappa, delta) -> Coefficients
Scheme = Callable[[Scalars, Scalars], Coefficients]


def euler_maruyama(kappa: Scalars, delta: Scalars) -> Coefficients:
    """The explicit scheme, `(1 - kappa delta, delta, sqrt(2 delta))`, stable for `kappa delta < 2`.

    Where P follows u closely, at levels far below the spread of the target, it is exact in distribution at every step.

    Args:
        kappa, delta: linear rate, in units of 1 / lam, and step, in units of lam.
    """
    kappa, delta = jnp.asarray(kappa), jnp.asarray(delta)
    return Coefficients(1.0 - kappa * delta, delta, jnp.sqrt(2.0 * delta), jnp.zeros_like(delta))


def exponential(kappa: Scalars, delta: Scalars) -> Coefficients:
    """The exact solution for a frozen F, `(e^{-kd}, (1 - e^{-kd}) / kappa, sqrt((1 - e^{-2 kd}) / kappa))`.

    Args:
        kappa, delta: rate k and step d, as for `euler_maruyama`; an infinite step forgets u altogether.
    """
    kappa, delta = jnp.asarray(kappa), jnp.asarray(delta)
    lost, lost_twice = -jnp.expm1(-kappa * delta), -jnp.expm1(-2.0 * kappa * delta)
    return Coefficients(1.0 - lost, lost / kappa, jnp.sqrt(lost_twice / kappa), jnp.zeros_like(delta))


def imex(kappa: Scalars, delta: Scalars) -> Coefficients:
    """The linearly implicit scheme, `(1, delta, sqrt(2 delta)) / (1 + kappa delta)`, stable for every step.

    Args:
        kappa, delta: rate and step, as for `euler_maruyama`.
    """
    kappa, delta = jnp.asarray(kappa), jnp.asarray(delta)
    damping = 1.0 / (1.0 + kappa * delta)
    return Coefficients(damping, delta * damping, jnp.sqrt(2.0 * delta) * damping, jnp.zeros_like(delta))


def leimkuhler_matthews(kappa: Scalars, delta: Scalars) -> Coefficients:
    """The scheme that probes F half-way through its noise, `(1 - kd, d, (2 - kd) sqrt(d / 2), sqrt(d / 2))`.

    `u + probe xi` has the distribution of the process up to the second order of the step, u itself lacks the variance
    `probe^2 = d / 2` of it; for a Gaussian both hold exactly at every step with `kappa delta < 2`.

    Source: Leimkuhler and Matthews, AMRX 2013; with a postprocessor, as here, Vilmart, SIAM J. Sci. Comput. 37, 2015.

    Args:
        kappa, delta: rate k and step d, as for `euler_maruyama`.
    """
    kappa, delta = jnp.asarray(kappa), jnp.asarray(delta)
    probe = jnp.sqrt(0.5 * delta)
    return Coefficients(1.0 - kappa * delta, delta, (2.0 - kappa * delta) * probe, probe)


def half_probed(kappa: Scalars, delta: Scalars) -> Coefficients:
    """Half-way from Euler-Maruyama to Leimkuhler-Matthews, `(1 - kd, d, (2 - kd / 2) sqrt(d / 2), sqrt(d / 8))`.

    It widens narrow directions by less than the former, which makes up for an overconfident learned prior.

    Args:
        kappa, delta: rate k and step d, as for `euler_maruyama`.
    """
    kappa, delta = jnp.asarray(kappa), jnp.asarray(delta)
    half = jnp.sqrt(0.5 * delta)
    return Coefficients(1.0 - kappa * delta, delta, (2.0 - 0.5 * kappa * delta) * half, 0.5 * half)
