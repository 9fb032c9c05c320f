r"""The exact step on clothes: PSNR and calibration against calls, beside the plain step of the bundled prior.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/exact_step.py --workdir=runs/exact_step
python -m launch.toys --config=configs/toys/exact_step.py
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the tasks, and the numbers of calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "exact_step"
    config.prior = "runs/exact_step/prior.npz"
    config.tasks = ("inpainting", "super-resolution", "deblurring", "Fourier samples", "motion blur")
    config.images, config.samples, config.sigma = 64, 8, 0.05
    config.calls, config.plain_calls = (1, 5, 10, 20, 50), (10, 20, 50, 100)
    # Calls of the exact step and of the plain one: those of the claims, and those whose pictures are shown.
    config.judged, config.shown = (20, 100), (10, 100)
    # Error over deviation that counts as calibrated, and the loss in dB that a new operator may cost.
    config.calibrated, config.slack = (0.95, 1.2), 0.3
    return config
