"""A mixture of 25 Gaussians, measured linearly, in 8 and 80 dimensions: PGM beside exact samples and guided diffusions.

python -m launch.toys --config=configs/toys/mixture.py

Two problems for each column instead of 20 and 8:

python -m launch.toys --config=configs/toys/mixture.py --config.seeds=2 --output=out/toys/mixture_quick

Expected: seven of eight claims hold. Corrected PGM with the exact prox is at 1.3 floors, with a plain splitting at 22;
by rounds of ADMM it is ahead of all quoted methods that differentiate in 4 of 12 columns, where the claim asks for 6.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the columns of the tables, and how many problems and samples."""
    config = ml_collections.ConfigDict()
    config.experiment = "mixture"
    # Problems of each column: `seeds`, and an upper limit for each dimension.
    config.seeds, config.dimensions, config.at_most = 20, (8, 80), (20, 8)
    # Noise in the units of y, numbers of measurements.
    config.sigmas, config.measurements = (1.0, 0.1), (1, 2, 4)
    # Samples of a set, directions of the sliced W1.
    config.samples, config.directions = 1000, 2000
    # Problems that also run in float64.
    config.double_seeds = 4
    return config
