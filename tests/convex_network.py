"""A learned proximal network of two numbers, and its prior said without jax."""

import jax.numpy as jnp
import numpy as np
from scipy import optimize

from pgm_jax.networks import ICNN, ConvexNetwork

KINKS, INNER, SKIP, LAST = (
    np.array([[0.9, -0.4, 0.3], [0.2, 1.1, -0.8]]),
    np.array([[0.3, 0.1], [0.0, 0.5], [0.4, 0.2]]),
    np.array([[0.5, -0.2], [0.1, 0.6]]),
    np.array([0.4, 0.7]),
)


def convex_network(factor):
    """An LPN at sigma = 3, so that all levels of the table are at most sigma^2."""
    network = ConvexNetwork(ICNN(beta=3.0, alpha=0.1, widths=(3, 2)), (1, 2, 1), 3.0)
    dense = lambda kernel: dict(kernel=jnp.asarray(kernel), bias=jnp.zeros(kernel.shape[1]))  # noqa: E731
    last = dict(kernel=jnp.asarray([[0.2], [-0.1]]))
    parts = dict(inner_1=jnp.asarray(factor * INNER), inner_2=jnp.asarray(LAST[:, None]))
    return network.prior(dict(Dense_0=dense(KINKS), Dense_1=dense(SKIP), Dense_2=last, **parts))


def prior_of_the_network(x):
    """R / sigma^2, R = max_y <x, y> - psi(y) - |x|^2 / 2."""

    def psi(y):
        z = np.logaddexp(0, 3 * y @ KINKS) / 3
        z = np.logaddexp(0, 3 * (z @ INNER + y @ SKIP)) / 3
        return z @ LAST + y @ np.array([0.2, -0.1]) + 0.1 * y @ y

    x = np.ravel(x)
    exact = dict(xatol=1e-8, fatol=1e-14, maxiter=2000, maxfev=2000)
    found = optimize.minimize(lambda y: psi(y) - x @ y, 3 * x, method="Nelder-Mead", options=exact)
    return (-found.fun - x @ x / 2) / 9
