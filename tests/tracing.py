"""A prior that says how often it was traced."""

import dataclasses

import jax

from pgm_jax.potentials import Gaussian


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Counted(Gaussian):
    """A Gaussian prior that counts the traces of its prox and its gradient."""

    calls = 0

    def prox(self, v, lam):
        Counted.calls += 1
        return super().prox(v, lam)

    def grad(self, x):
        Counted.calls += 1
        return super().grad(x)
