"""A nonlinear blur and phase retrieval: Gauss-Newton data steps against single gradient steps, with the shipped prior.

    python -m launch.toys --config=configs/toys/nonlinear.py

Cost: about ten minutes on two CPU cores.
Expected: on the blur, one sample is 1.5 dB or more better with Gauss-Newton steps, with correctors and without; phase
retrieval, best of four, succeeds on most images with them and on none or few without.

The step of the gradient was chosen on images 1000 to 1003 of the test split, among 0.3, 1, 1.9 and 3 times 1 / L.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: images, tasks and how many calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "nonlinear"
    # The first bundled images, chains of each, network calls of each chain.
    config.images, config.chains, config.calls = 16, 4, 100
    config.sigma = 0.05  # of the measurement, in the units of the images, which lie in [-1, 1]
    # Gradient step in units of 1 / L, L = |J|^2 / sigma^2 at mid-grey.
    config.step = 1.0
    # Of Levenberg and Marquardt in each data step: relative slope, iterations of conjugate gradients, linearisations.
    config.stop = (1e-2, 20, 3)
    # PSNR in dB from which a phase is retrieved, for the image or the same turned by 180 degrees.
    config.success = 22.0
    config.widths = (0.5, 2.0)  # of the blur's kernels, in pixels
    config.shown = 3
    return config
