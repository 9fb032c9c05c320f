"""A nonlinear blur and phase retrieval: Gauss-Newton data steps against single gradient steps, with the shipped prior.

    python -m launch.toys --config=configs/toys/nonlinear.py

Cost: four to five minutes on two CPU cores.
Expected: on the blur, Gauss-Newton steps are 3 dB and more above gradient steps with the integrator alone. With
correctors they are 3.4 dB above the safe one and 1.2 dB above the tuned one, so that the last claim on the blur fails.
Phase retrieval, best of four, succeeds on all images with correctors.

The tuned gradient steps are the best on images 1000 to 1003 of the test split, of 0.3, 1, 1.9, 3, 5, 10 and 30 times
1 / L; from 5 on chains of the corrected sampler end in numbers that are none, as all do without a cap, as in the paper.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: images, tasks and how many calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "nonlinear"
    # The first bundled images, chains of each, network calls of each chain.
    config.images, config.chains, config.calls = 16, 4, 100
    config.sigma = 0.05  # of the measurement, in the units of the images, which lie in [-1, 1]
    # Tuned gradient steps of each sampler, in units of 1 / L, L = |J|^2 / sigma^2 at mid-grey.
    config.tuned = ml_collections.ConfigDict(
        {
            "nonlinear blur": {"integrator alone": 10.0, "corrected": 3.0},
            "phase retrieval": {"integrator alone": 3.0, "corrected": 1.9},
        }
    )
    # Of Levenberg and Marquardt in each data step: relative slope, iterations of conjugate gradients, linearisations.
    config.solver = (1e-2, 20, 3)
    # PSNR in dB from which a phase is retrieved, for the image or the same turned by 180 degrees.
    config.success = 22.0
    config.widths = (0.5, 2.0)  # of the blur's kernels, in pixels
    config.shown = 3
    return config
