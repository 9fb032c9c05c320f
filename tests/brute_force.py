"""Slow ways to find a prox, without jax."""

import numpy as np
from scipy import optimize


def differences(x):
    """The differences to the next row and the next column, `[2, H, W, C]`."""
    return np.stack([np.diff(x, axis=i, append=np.take(x, [-1], axis=i)) for i in (0, 1)])


def zooming_grid(objective, centre, reach=6.0):
    """The lowest node of a grid of 31 x 31, over and over on a grid round the last that is a quarter as wide."""
    for _ in range(14):
        axes = [c + np.linspace(-reach, reach, 31) for c in centre]
        nodes = np.stack(np.meshgrid(*axes), -1).reshape(-1, len(centre))
        centre, reach = nodes[np.argmin(objective(nodes))], reach / 4
    return centre


def brute_force(value, v, lam, how):
    """The point that minimises `value(u) + |u - v|^2 / (2 lam)`, by a way that suits the value."""

    def objective(u):
        return value(np.reshape(u, v.shape)) + np.sum((np.ravel(v) - u) ** 2) / (2 * lam)

    match how:
        case "grid":
            return zooming_grid(lambda u: value(u) + np.sum((v - u) ** 2, -1) / (2 * lam), v)
        case "descent":
            return optimize.minimize(objective, np.ravel(v), tol=1e-9).x.reshape(v.shape)
        case "dual, by pixels" | "dual, by entries":
            matrix = np.stack([np.ravel(differences(e.reshape(v.shape))) for e in np.eye(v.size)], axis=-1)

            def slack(q):
                square = q.reshape(2, -1) ** 2
                return (0.7 * lam) ** 2 - np.ravel(square.sum(0) if how.endswith("pixels") else square)

            def distance(q):
                return np.sum((np.ravel(v) - q @ matrix) ** 2) / 2, matrix @ (q @ matrix - np.ravel(v))

            q = optimize.minimize(
                distance,
                np.zeros(len(matrix)),
                jac=True,
                constraints=dict(type="ineq", fun=slack),
                method="SLSQP",
                options=dict(ftol=1e-16, maxiter=1000),
            ).x
            return v - (q @ matrix).reshape(v.shape)
        case "ball":
            inside = dict(type="ineq", fun=lambda u: 1.3**2 - u @ u)
            return optimize.minimize(
                lambda u: np.sum((v - u) ** 2), 0 * v, constraints=inside, method="SLSQP", options=dict(ftol=1e-14)
            ).x
