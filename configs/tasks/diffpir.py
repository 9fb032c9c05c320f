"""The tasks of DiffPIR (Y. Zhu et al., Denoising diffusion models for plug-and-play image restoration, 2023).

    python -m launch.evaluate --tasks=diffpir/gaussian_blur,diffpir/inpainting

Its noise, 12.75 / 255 = 0.05, is that of images in [0, 1]: 0.1 in [-1, 1], and 6 dB more than the 0.05 of DPS. What
differs from the published code:

gaussian_blur    a kernel of 61 x 61 pixels on the torus. There its deviation is drawn, 3 (2 U + 1) with U in [0, 1];
                 here it is 3. Measurements are of images rounded to bytes there and are not here.
motion_blur      on the torus, a kernel for every image, by another generator of such paths.
super_resolution bicubic against aliasing, with 16 taps; there it is that of MATLAB, or blur and decimation.
inpainting, box_inpainting
                 there without noise. A posterior needs some: here it is that of rounding to bytes, 1 / (255 sqrt(12)).
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The benchmark: seed of its kernels and masks, the range that sigma refers to, shape of its images, tasks."""
    sigma, rounding = 12.75 / 255, 1 / (255 * 12**0.5)
    tasks = dict(
        gaussian_blur=dict(operator="gaussian_blur", width=3.0, boundary="circular", sigma=sigma),
        motion_blur=dict(operator="motion_blur", size=61, boundary="circular", drawn="each", sigma=sigma),
        super_resolution=dict(operator="bicubic_downsampling", factor=4, sigma=sigma),
        inpainting=dict(operator="random_mask", hidden=0.5, sigma=rounding),
        box_inpainting=dict(operator="random_box_mask", size=(128, 128), sigma=rounding),
    )
    return ml_collections.ConfigDict(dict(seed=0, sigma_range="[0, 1]", image_shape=(256, 256, 3), tasks=tasks))
