"""What potentials share."""

import jax
from jaxtyping import Array, Float


class ByAutodiff:
    """The gradient of whatever has a differentiable value."""

    def grad(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The gradient of the value, by automatic differentiation.

        Args:
            x: point.
        """
        return jax.grad(self.value)(x)

    def value(self, x: Float[Array, "..."]) -> Float[Array, ""]:
        """The value of the potential.

        Args:
            x: point.
        """
        raise NotImplementedError
