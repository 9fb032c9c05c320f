"""A nonlinear blur and phase retrieval: Gauss-Newton data steps against single gradient steps, with the shipped prior.

    python -m launch.toys --config=configs/toys/nonlinear.py

Cost: four to five minutes on two CPU cores.
Expected: on the blur, Gauss-Newton steps are at least 3 dB above gradient steps with the integrator alone. With
correctors they are 3.4 dB above the safe step and 1.2 dB above the tuned one, so the last claim on the blur fails.
Phase retrieval, best of four, succeeds on all images with correctors.

The tuned gradient steps are the best on images 1000 to 1003 of the test split, out of 0.3, 1, 1.9, 3, 5, 10 and 30
times 1 / L. From 5 on, chains of the corrected sampler diverge; without a cap, as in the paper, all chains do.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: images, tasks and numbers of calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "nonlinear"
    # Number of bundled images, chains of each, network calls of each chain.
    config.images, config.chains, config.calls = 16, 4, 100
    config.sigma = 0.05  # of the measurement, in the units of the images, which lie in [-1, 1]
    # Tuned gradient steps of each sampler, in units of 1 / L, L = |J|^2 / sigma^2 at mid-grey.
    config.tuned = ml_collections.ConfigDict(
        {
            "nonlinear blur": {"integrator alone": 10.0, "corrected": 3.0},
            "phase retrieval": {"integrator alone": 3.0, "corrected": 1.9},
        }
    )
    # Levenberg-Marquardt in each data step: relative slope, iterations of conjugate gradients, linearisations.
    config.solver = (1e-2, 20, 3)
    # PSNR in dB at which a phase counts as retrieved, for the image or its rotation by 180 degrees.
    config.success = 22.0
    config.widths = (0.5, 2.0)  # of the blur's kernels, in pixels
    config.shown = 3
    return config
