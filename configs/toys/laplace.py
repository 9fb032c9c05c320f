"""A Laplace prior and a Gaussian measurement of one number: distances to the exact posterior, and calibration.

python -m launch.toys --config=configs/toys/laplace.py

Cost: about 45 s of one core.
Expected: 12 claims hold. The W1 of corrected PGM equals that of exact samples, and it is calibrated; the W1 of the
integrator alone is 10 to 20 times as large.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the measurement, the grids, and how much is drawn."""
    config = ml_collections.ConfigDict()
    config.experiment = "laplace"
    # Prior exp(-|x| / scale), measurement y of noise sigma.
    config.scale, config.y, config.sigma = 1.0, 0.5, 0.7
    # Levels of the integrator alone; levels, smallest lam and total rows of the corrected one.
    config.levels, config.rungs, config.lam_min, config.calls = (20, 200), 12, 1e-3, 1000
    # Chains for distances; simulations and samples of each for calibration.
    config.samples, config.simulations, config.draws = 10_000, 1000, 100
    return config
