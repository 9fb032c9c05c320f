"""Samplers: pairs (init, step) that `run` scans over the rows of a level grid; one method a file."""

from pgm_jax.samplers.admm import admm, plug_and_play_rows
from pgm_jax.samplers.base import Sampler, converged, run, sample
from pgm_jax.samplers.fista import fista
from pgm_jax.samplers.hqs import hqs
from pgm_jax.samplers.mala import proximal_mala
from pgm_jax.samplers.multistep import dpm_solver_rows, heun_rows, multistep
from pgm_jax.samplers.pgm import diffusion, pgm
from pgm_jax.samplers.projected import project_each, project_last
from pgm_jax.samplers.proxdm import backward_rows, hybrid_rows, proxdm
from pgm_jax.samplers.rows import (
    Rows,
    apportion,
    bridge,
    corrected_rows,
    default_rows,
    euler,
    exact_rows,
    langevin,
    proximal_rows,
    with_corrector,
    with_last_prox,
)
from pgm_jax.samplers.schemes import euler_maruyama, exponential, half_probed, imex, leimkuhler_matthews
from pgm_jax.samplers.vp import ended_times, left_point, rate_integral, vp_euler

__all__ = [
    "Rows",
    "Sampler",
    "admm",
    "apportion",
    "backward_rows",
    "bridge",
    "converged",
    "corrected_rows",
    "default_rows",
    "exact_rows",
    "diffusion",
    "dpm_solver_rows",
    "ended_times",
    "euler",
    "euler_maruyama",
    "exponential",
    "fista",
    "half_probed",
    "heun_rows",
    "hqs",
    "hybrid_rows",
    "imex",
    "langevin",
    "left_point",
    "leimkuhler_matthews",
    "multistep",
    "pgm",
    "plug_and_play_rows",
    "project_each",
    "project_last",
    "proxdm",
    "proximal_mala",
    "proximal_rows",
    "rate_integral",
    "run",
    "sample",
    "vp_euler",
    "with_corrector",
    "with_last_prox",
]
