"""Several priors at once, as one prior of as many copies of the image that have to agree.

    min_x f(x) + sum_i g_i(x)   =   min_X F(X) + G(X),   X = (x_1, ..., x_m)

    G(X) = sum_i g_i(x_i)                            Prox_G^lam(V)_i = Prox_{g_i}^lam(v_i)
    F(X) = f(x) where all x_i = x, else infinite     Prox_F^lam(V)_i = Prox_f^(lam / m)(mean_i v_i)

Both are potentials of a stack of images `[m, H, W, C]`, so that every optimiser that alternates proxes takes them.

Source: Boyd et al., Foundations and Trends in Machine Learning 3 (2011), section 7.1 (global consensus).
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pgm_jax.types import Prior, Scalar, pytree


@pytree
class Separate:
    """G of the head of this file: a prior for each of the copies.

    Attributes:
        priors: g_i, by their proximal maps.
    """

    priors: tuple[Any, ...]

    def prox(self, v: Float[Array, "m h w c"], lam: Scalar) -> Float[Array, "m h w c"]:
        """The prox, that of each prior on its copy.

        Args:
            v, lam: a copy of the image for each prior, and step of the prox.
        """
        return jnp.stack([prior.prox(copy, lam) for prior, copy in zip(self.priors, v, strict=True)])


@pytree
class Shared:
    """F of the head of this file: a likelihood of copies that are all the same.

    Attributes:
        likelihood: f, by its proximal map.
    """

    likelihood: Any

    def prox(self, v: Float[Array, "m h w c"], lam: Scalar) -> Float[Array, "m h w c"]:
        """The prox, `Prox_f^(lam / m)` of the mean for all copies.

        Args:
            v, lam: m copies of the image, and step of the prox.
        """
        found = self.likelihood.prox(jnp.mean(v, axis=0), lam / v.shape[0])
        return jnp.broadcast_to(found[None], v.shape)


def consensus(likelihood: Any, *priors: Prior) -> tuple[Separate, Shared]:
    """The prior and the likelihood of a stack of copies, for `admm(*consensus(likelihood, g_1, g_2))`.

    A run starts at a stack `[m, H, W, C]`, and ends at m copies that agree.

    Args:
        likelihood: f, by its proximal map.
        priors: g_1, ..., g_m, by their proximal maps, at least one.

    Raises:
        ValueError: if there is no prior.
    """
    if not priors:
        raise ValueError("No prior was given; give consensus(likelihood, g_1, g_2, ...).")
    return Separate(priors), Shared(likelihood)
