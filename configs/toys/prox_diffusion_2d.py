"""Proximal diffusion learned in the plane: W2 of a network of two conditions and of a denoiser, against calls.

python -m launch.toys --config=configs/toys/prox_diffusion_2d.py

Cost: 3 minutes of two cores.
Expected: 3 claims hold. W2 of the hybrid steps is 0.23, 0.14 and 0.10 with 5, 10 and 20 calls, of Euler-Maruyama 1.9,
0.34 and 0.22; DPM-Solver++(2M) on the learned denoiser is ahead of both from 10 calls on.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the data, the two trainings, and how much is drawn."""
    config = ml_collections.ConfigDict()
    config.experiment = "prox_diffusion_2d"
    # Two moons with noise of this deviation.
    config.noise, config.examples = 0.03, 50_000
    # The module of both networks.
    config.width, config.blocks, config.embedding = 96, 4, 64
    config.steps, config.batch_size, config.learning_rate, config.ema_decay = 6_000, 512, 3e-3, 0.998
    # Warm start by l1 for this share, then proximal matching in so many stages.
    config.warm_share, config.zeta_start, config.zeta_end, config.stages = 0.5, 2.0, 1.0, 2
    # Numbers of steps that the ProxDM network is trained for.
    config.counts = (5, 10, 20, 50)
    # Calls; those of the claims; those whose samples are drawn; last time of the score.
    config.calls, config.judged, config.shown, config.end = (5, 10, 20, 50), (5, 10, 20), 5, 1e-3
    config.samples, config.repeats = 1000, 3
    return config
