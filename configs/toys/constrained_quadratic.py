"""A quadratic restricted to the unit ball in eight dimensions, with the exact and with a learned prox.

python -m launch.toys --config=configs/toys/constrained_quadratic.py
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the instance, sizes, grids and the training of the prox."""
    config = ml_collections.ConfigDict()
    config.experiment = "constrained_quadratic"
    # Seed of A and b, dimension, samples of a set.
    config.instance, config.dimension, config.samples = 0, 8, 10_000
    config.calls = 2000
    config.corrected = ml_collections.ConfigDict(dict(lam_max=1.0, lam_min=1e-5, levels=14, rate=1.0, power=0.5))
    config.learned_calls = 100
    config.learned_corrected = ml_collections.ConfigDict(
        dict(lam_max=0.1, lam_min=1e-3, levels=20, rate=0.5, power=0.0)
    )
    # Training of the prox on uniform samples of the ball; see launch/experiments/learning.py. Sigmas cover the levels.
    config.learning = ml_collections.ConfigDict(
        dict(examples=100_000, width=96, steps=5000, batch_size=512, sigma_min=0.02, sigma_max=0.6)
    )
    return config
