"""The checker that the import hook of jaxtyping applies to every function of pgm_jax."""

from collections.abc import Callable

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable) -> Callable:
    """Check the annotations of a function, except those of a constructor.

    jax rebuilds a dataclass that is a pytree with whatever a transformation puts into its leaves: batched arrays,
    specifications, axes, None, bare objects. The methods still check what they are given and what they return.
    """
    return function if function.__name__ == "__init__" else _check(function)
