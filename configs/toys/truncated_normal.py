"""N(0, 1) restricted to [-1, 1], by every sampler, with the exact and with a learned prox.

python -m launch.toys --config=configs/toys/truncated_normal.py
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: sizes, grids and the training of the prox."""
    config = ml_collections.ConfigDict()
    config.experiment = "truncated_normal"
    # Samples of a set, runs of each sampler, pairs of exact sets for the floor.
    config.samples, config.repeats, config.pairs = 10_000, 3, 100
    # Prox calls of the corrected sampler and of plain Langevin processes, and of the diffusions.
    config.calls, config.steps = 2000, 200
    config.corrected = ml_collections.ConfigDict(dict(lam_max=1.0, lam_min=5e-5, levels=12, rate=1.0, power=0.5))
    config.learned_calls = 200
    config.learned_corrected = ml_collections.ConfigDict(
        dict(lam_max=1.0, lam_min=3e-3, levels=20, rate=0.5, power=0.0)
    )
    # Training of the prox on uniform samples; see launch/experiments/learning.py.
    config.learning = ml_collections.ConfigDict(dict(examples=100_000, width=32, steps=4000, batch_size=512))
    config.curve = (10, 20, 50, 100, 200, 500, 1000, 2000)
    return config
