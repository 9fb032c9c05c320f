"""A learned proximal network of a Laplace distribution: its prox against soft thresholding, its prior against |x|.

python -m launch.toys --config=configs/toys/lpn_laplace.py

Cost: 6 minutes of two cores.
Expected: 4 claims hold. The network of least squares is within 0.0006 of its minimiser at the five points; that of
proximal matching is within 0.117 of the prox, 0.013 beyond 1.5, and its prior within 0.029 of |x|.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the convex network and its training."""
    config = ml_collections.ConfigDict()
    config.experiment = "lpn_laplace"
    # Points of a batch lie between -reach and reach, each with so many targets.
    config.reach, config.targets = 4.5, 64
    # The convex network: sharpness of its softplus, layers of so many features.
    config.beta, config.width, config.layers = 10.0, 96, 2
    # The learning rate falls by this factor over the training: a small gamma leaves little signal in the noise.
    config.steps, config.batch_size, config.learning_rate, config.fall = 30_000, 500, 2e-2, 0.005
    config.ema_decay = 0.999
    # Warm start by l1 for this share, then the width gamma falls between these in so many stages.
    config.warm_share, config.gammas, config.stages = 0.05, (0.4, 0.1), 3
    return config
