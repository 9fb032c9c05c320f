"""Samplers: pairs (init, step) that `run` scans over the rows of a level grid; one method a file."""

from pgm_jax.samplers.admm import admm
from pgm_jax.samplers.annealed import (
    annealed,
    apportion,
    capped,
    half_lam,
    harmonic_step,
    joint_langevin,
    joint_rate,
    linear_step,
    partial_langevin,
    partial_rate,
    quadratic_step,
    u_shaped,
)
from pgm_jax.samplers.base import Sampler, converged, run
from pgm_jax.samplers.diffusion import diffusion, euler, tweedie
from pgm_jax.samplers.fista import fista
from pgm_jax.samplers.hqs import hqs
from pgm_jax.samplers.langevin import constant_rows, myula, p_ula, proximal_rows, subgradient_langevin
from pgm_jax.samplers.mala import MALAInfo, proximal_mala
from pgm_jax.samplers.pgm import pgm
from pgm_jax.samplers.projected import ProjectedState, project_each, project_last
from pgm_jax.samplers.rows import (
    ChainInfo,
    ChainState,
    Coefficients,
    Rows,
    bridge,
    euler_maruyama,
    exponential,
    follow,
    imex,
    langevin,
    leimkuhler_matthews,
    with_corrector,
    with_last_prox,
)

__all__ = [
    "ChainInfo",
    "ChainState",
    "Coefficients",
    "MALAInfo",
    "ProjectedState",
    "Rows",
    "Sampler",
    "admm",
    "annealed",
    "apportion",
    "bridge",
    "capped",
    "constant_rows",
    "converged",
    "diffusion",
    "euler",
    "euler_maruyama",
    "exponential",
    "fista",
    "follow",
    "half_lam",
    "harmonic_step",
    "hqs",
    "imex",
    "joint_langevin",
    "joint_rate",
    "langevin",
    "leimkuhler_matthews",
    "myula",
    "p_ula",
    "partial_langevin",
    "partial_rate",
    "pgm",
    "project_each",
    "project_last",
    "proximal_mala",
    "proximal_rows",
    "linear_step",
    "quadratic_step",
    "run",
    "subgradient_langevin",
    "tweedie",
    "u_shaped",
    "with_corrector",
    "with_last_prox",
]
