r"""The exact step on clothes: PSNR and calibration against calls, beside the plain step of the bundled prior.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/exact_step.py --workdir=runs/exact_step
python -m launch.toys --config=configs/toys/exact_step.py

The same with the network that comes with the library: --config.prior=fashion_mnist_exact

Cost: 28 minutes of two cores, after the training.
Expected: 16 of 18 claims hold. At 20 calls the exact step is calibrated and ahead of the plain one; beside 100 calls of
the plain one it is 0.04 dB behind for inpainting, 2.5 for Fourier samples, and not behind for the others of its
training. `restore` is behind by 0.04 dB at most, for it takes the plain step where the network misjudges an operator.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the tasks, and the numbers of calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "exact_step"
    config.prior = "runs/exact_step/prior.npz"
    config.tasks = (
        "inpainting",
        "super-resolution",
        "deblurring",
        "Fourier samples",
        "motion blur",
        "compressed sensing",
    )
    config.images, config.samples, config.sigma = 64, 8, 0.05
    config.calls, config.plain_calls = (1, 5, 10, 20), (20, 100)
    # Calls of the exact step and of the plain one: those of the claims, and those whose pictures are shown.
    config.judged, config.shown = (20, 100), (10, 100)
    # Error over deviation that counts as calibrated, and the loss in dB that the default of `restore` may cost.
    config.calibrated, config.slack = (0.95, 1.2), 0.3
    return config
