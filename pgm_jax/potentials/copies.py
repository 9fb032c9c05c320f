"""Several priors at once, as one prior of as many copies of the image that have to agree.

    min_x f(x) + sum_i g_i(x)   =   min_X F(X) + G(X),   X = (x_1, ..., x_m)

    G(X) = sum_i g_i(x_i)                            Prox_G^lam(V)_i = Prox_{g_i}^lam(v_i)
    F(X) = f(x) where all x_i = x, else infinite     Prox_F^lam(V)_i = Prox_f^(lam / m)(mean_i v_i)

Both take stacks of images `[m, H, W, C]` and are known by their proximal maps, so that every optimiser that alternates
proxes takes them.

Source: Boyd et al., Foundations and Trends in Machine Learning 3 (2011), section 7.1 (global consensus).
"""

import dataclasses
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

    @property
    def largest_step(self) -> Scalar:
        """The largest lam that all priors have a prox for; infinite where none says."""
        return min((getattr(prior, "largest_step", jnp.inf) for prior in self.priors), default=jnp.inf)

    def prox(self, v: Float[Array, "..."], lam: Scalar) -> Float[Array, "..."]:
        """The prox, that of each prior on its copy.

        Args:
            v, lam: a copy of the image for each prior, `[m, H, W, C]`, and step of the prox.

        Raises:
            ValueError: if there are not as many copies as priors.
        """
        if v.ndim != 4 or v.shape[0] != len(self.priors):
            raise ValueError(
                f"The point has the shape {v.shape}, for {len(self.priors)} priors; start at a stack of as many copies "
                "of the image, [m, H, W, C]."
            )
        return jnp.stack([prior.prox(copy, lam) for prior, copy in zip(self.priors, v, strict=True)])


@pytree
class Shared:
    """F of the head of this file: a likelihood of copies that are all the same.

    Attributes:
        likelihood: f, by its proximal map.
        copies: their number m.
    """

    likelihood: Any
    copies: int = dataclasses.field(metadata=dict(static=True))

    @property
    def step_limit(self) -> Scalar:
        """That of f, m times: a step lam of m copies is one of lam / m of f."""
        return self.copies * getattr(self.likelihood, "step_limit", jnp.inf)

    def prox(self, v: Float[Array, "m h w c"], lam: Scalar) -> Float[Array, "m h w c"]:
        """The prox, `Prox_f^(lam / m)` of the mean for all copies.

        Args:
            v, lam: m copies of the image, and step of the prox.
        """
        return self.prox_from(v, lam, v)

    def prox_from(
        self, v: Float[Array, "m h w c"], lam: Scalar, start: Float[Array, "m h w c"]
    ) -> Float[Array, "m h w c"]:
        """`prox`, with a first guess for a data step that iterates.

        Args:
            v, lam, start: m copies of the image, step of the prox, and first guess of each copy.
        """
        point, step = jnp.mean(v, axis=0), lam / self.copies
        if hasattr(self.likelihood, "prox_from"):
            found = self.likelihood.prox_from(point, step, jnp.mean(start, axis=0))
        else:
            found = self.likelihood.prox(point, step)
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
    return Separate(priors), Shared(likelihood, len(priors))
