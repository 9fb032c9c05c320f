r"""A learned proximal network at work: deblurring, compressed sensing and tomography of clothes by plug-and-play ADMM.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/lpn.py --workdir=runs/lpn
python -m launch.toys --config=configs/toys/plug_and_play.py

Cost: 4 minutes of two cores, after the training.
Expected: 4 claims of 5 hold. LPN is ahead of total variation by 1.3, 5.6, 4.7 and 3.1 dB; 77 % of the rows lower the
residual of ADMM where rho meets its bound.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the measurements, and the settings of each method."""
    config = ml_collections.ConfigDict()
    config.experiment = "plug_and_play"
    config.prior = "runs/lpn/prior.npz"
    config.images = 16
    # Width of the blur in pixels, views of the scan, noise of the measurements.
    config.blur, config.views, config.noise, config.sinogram_noise = 1.2, 16, 0.05, 0.2
    config.rows, config.calls = 100, 100
    # For deblurring, sensing x4, sensing x16 and tomography; each the best of three or four on the test images 1000 to
    # 1007, which are not among the bundled ones.
    config.lpn_strength = (0.03, 0.03, 0.04, 0.24)
    config.tv_weight = (2.0, 8.0, 12.0, 4.0)
    config.unet_strength = (0.03, 0.06, 0.06, 0.24)
    config.tv_step, config.unet_step = 0.01, 0.01
    # rho over its bound in the two runs whose residuals are shown.
    config.ratios, config.residual_rows = (1.25, 0.01), 200
    return config
