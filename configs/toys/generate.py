r"""Pictures of clothes out of noise: feature distance of proximal and score samplers of learned networks, by calls.

    python -m launch.prepare --dataset=fashion_mnist
    python -m launch.train --config=configs/proxdm.py --workdir=runs/proxdm
    python -m launch.train --workdir=runs/denoiser --config.network.unet.patch=4 --config.train.steps=6000 \
        --config.train.warm_share=1. --config.train.sigma_min=0.01 --config.train.sigma_max=152.
    python -m launch.toys --config=configs/toys/generate.py

Cost: 7 minutes of two cores, after the trainings, of 15 minutes each.
Expected: the claim fails. The feature distance of ten hybrid steps is 18.3, of Euler-Maruyama 83 at 10 calls, 33 at 20
and 9.8 at 50; of DPM-Solver++(2M) 6.5 at 10; of other test images 1.4.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the networks, the data, and how much is drawn."""
    config = ml_collections.ConfigDict()
    config.experiment = "generate"
    # Files of launch.train, and the set whose labels the classifier learns: a TFDS set, or an .npz with train and test.
    config.prior, config.denoiser = "runs/proxdm/prior.npz", "runs/denoiser/prior.npz"
    config.source = "fashion_mnist"
    config.classifier_steps, config.classifier_batch = 1_500, 128
    # Path of pt_inception-2015-12-05-6726825d.pth for FID as well, which needs far more than 2048 samples; or "".
    config.inception = ""
    # Calls; those of the claim; those whose pictures are shown.
    config.calls = (5, 10, 20, 50)
    config.judged, config.shown = (10, 50), (10, 50)
    # Last time of the score, and the highest and lowest level of Heun's method.
    config.end, config.edm = 1e-3, (80.0**2, 0.002**2)
    config.samples = 500
    config.gaussian_samples = 4_000  # of the Gaussian of the images' covariance
    return config
