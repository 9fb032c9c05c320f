"""The tasks of the code that was published with the paper on proximal generative modelling.

    python -m launch.evaluate --tasks=pgm/gaussian_blur,pgm/inpainting

The noise has the deviation 0.05 for images in [-1, 1]. What differs from that code:

gaussian_blur    the same: the kernel "61 x 61, deviation 3", of which 25 x 25 entries are not 0, on the torus.
super_resolution there x is reduced by bicubic interpolation without antialiasing, and what is taken for the transpose
                 is bicubic enlargement (relative difference 4.45). Here it is bicubic with antialiasing, and with its
                 exact adjoint.
inpainting       30 % of the pixels are seen, by one mask, the same for all images and channels. There the noisy values
                 are pasted into the result, which bounds PSNR by 37.3 dB. The mask is drawn from the same seed, 7, by
                 another generator, and so is another one.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The benchmark: seed of its mask, the range that sigma refers to, shape of its images, tasks."""
    sigma = 0.05
    tasks = dict(
        gaussian_blur=dict(operator="gaussian_blur", width=3.0, boundary="circular", sigma=sigma),
        super_resolution=dict(operator="bicubic_downsampling", factor=4, sigma=sigma),
        inpainting=dict(operator="random_mask", hidden=0.7, drawn="once", sigma=sigma),
    )
    return ml_collections.ConfigDict(dict(seed=7, sigma_range="[-1, 1]", image_shape=(256, 256, 3), tasks=tasks))
