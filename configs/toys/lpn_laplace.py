"""A learned proximal network of a Laplace distribution: its prox against soft thresholding, its prior against |x|.

python -m launch.toys --config=configs/toys/lpn_laplace.py

Cost: 5 minutes of two cores.
Expected: 1 claim of 4 holds. The network of least squares is within 0.009 of its minimiser at the five points; that of
proximal matching is within 0.15 of the prox, 0.14 beyond 1.5, and its prior within 0.063 of |x|: the claims ask for
0.12, 0.03 and 0.05.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the convex network and its training."""
    config = ml_collections.ConfigDict()
    config.experiment = "lpn_laplace"
    config.examples = 1_000_000
    # The convex network: sharpness of its softplus, layers of so many features.
    config.beta, config.width, config.layers = 20.0, 48, 2
    # The learning rate falls by this factor over the training: a small gamma leaves little signal in the noise.
    config.steps, config.batch_size, config.learning_rate, config.fall = 25_000, 2500, 1e-2, 0.003
    config.ema_decay = 0.9995
    # Warm start by l1 for this share, then the width gamma falls between these in so many stages.
    config.warm_share, config.gammas, config.stages = 0.05, (0.5, 0.1), 5
    return config
