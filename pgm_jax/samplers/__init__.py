"""Samplers: pairs (init, step) that `run` scans over the rows of a level grid; one method a file."""

from pgm_jax.samplers.admm import admm
from pgm_jax.samplers.base import Sampler, converged, run, sample
from pgm_jax.samplers.fista import fista
from pgm_jax.samplers.hqs import hqs
from pgm_jax.samplers.mala import proximal_mala
from pgm_jax.samplers.pgm import diffusion, pgm
from pgm_jax.samplers.projected import project_each, project_last
from pgm_jax.samplers.rows import (
    Rows,
    apportion,
    bridge,
    corrected_rows,
    default_rows,
    euler,
    euler_maruyama,
    exponential,
    half_probed,
    imex,
    langevin,
    leimkuhler_matthews,
    proximal_rows,
    with_corrector,
    with_last_prox,
)

__all__ = [
    "Rows",
    "Sampler",
    "admm",
    "apportion",
    "bridge",
    "converged",
    "corrected_rows",
    "default_rows",
    "diffusion",
    "euler",
    "euler_maruyama",
    "exponential",
    "fista",
    "half_probed",
    "hqs",
    "imex",
    "langevin",
    "leimkuhler_matthews",
    "pgm",
    "project_each",
    "project_last",
    "proximal_mala",
    "proximal_rows",
    "run",
    "sample",
    "with_corrector",
    "with_last_prox",
]
