"""A Gaussian prior and a Gaussian measurement: every sampler against its own recursion, the posterior, and calibration.

python -m launch.toys --config=configs/toys/gaussian.py

Cost: about two minutes of one core, 30 s of them for compilation.
Expected: 24 claims hold. Every sampler matches its recursion. Corrected PGM reaches the posterior and is calibrated;
the integrator alone does neither, unless the step is exact.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the problem, the grids, and how much is drawn."""
    config = ml_collections.ConfigDict()
    config.experiment = "gaussian"
    # Eigenvalues of a full C, and of one on a plane; singular values of A, noise sigma.
    config.variances = (1.0, 0.518, 0.268, 0.139, 0.072, 0.0373, 0.0193, 0.01)
    config.plane = (1.0, 0.316, 0.1, 0.0316, 0.01, 0.0, 0.0, 0.0)
    config.gains, config.sigma = (1.0, 0.669, 0.447, 0.299, 0.2), 0.1
    # Levels of the integrator alone; smallest lam of all; largest lam of annealed Langevin, below 1 / |H| = 0.01.
    config.levels, config.lam_min, config.stable = (20, 200), 2.5e-5, 0.008
    # Corrector steps at each of 12 levels, for one posterior and for calibration; their rate c.
    config.correctors, config.correctors_many, config.rate = 150, 60, 1.5
    # Steps of the samplers at one level.
    config.steps = 1000
    # Chains for means and covariances; simulations and samples of each for calibration.
    config.samples, config.simulations, config.draws = 10_000, 700, 100
    return config
