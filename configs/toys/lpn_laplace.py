"""A learned proximal network of a Laplace distribution: its prox against soft thresholding, its prior against |x|.

python -m launch.toys --config=configs/toys/lpn_laplace.py

Cost: to be measured.
Expected: to be measured.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the convex network and its training."""
    config = ml_collections.ConfigDict()
    config.experiment = "lpn_laplace"
    config.examples = 1_000_000
    # The convex network: sharpness of its softplus, layers of so many features.
    config.beta, config.width, config.layers = 10.0, 50, 5
    config.steps, config.batch_size, config.learning_rate, config.ema_decay = 20_000, 2000, 2e-3, 0.999
    # Warm start by l1 for this share, then the width gamma falls between these in so many stages.
    config.warm_share, config.gammas, config.stages = 0.3, (0.5, 0.1), 5
    return config
