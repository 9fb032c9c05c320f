"""Samplers: one method a file, each a pair (init, step) that `run` scans over the rows of a level grid."""

from pgm_jax.samplers.base import Sampler, run
from pgm_jax.samplers.pgm import PGMInfo, PGMState, Rows, bridge, pgm, with_corrector

__all__ = ["PGMInfo", "PGMState", "Rows", "Sampler", "bridge", "pgm", "run", "with_corrector"]
