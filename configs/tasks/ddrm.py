"""The tasks of DDRM (B. Kawar et al., Denoising diffusion restoration models, NeurIPS 2022) and of those after it.

    python -m launch.evaluate --tasks=ddrm/super_resolution,ddrm/gaussian_blur

Its noise is that of images in [0, 1], and doubled inside: 0.05 is 0.1 in [-1, 1]. What differs from the published code:

gaussian_blur, uniform_blur, anisotropic_blur
                 there are short: 5 taps of deviation 10, 9 equal taps (a width so large that they are), 9 taps of
                 deviations 20 and 1, with zeros outside of the image. The published operator is none of these: its
                 loop leaves the last tap out, and of a colour image it orders singular values by channel and singular
                 vectors by pixel (relative difference 0.75 from a blur). Here are the blurs that were meant, all
                 taps, every channel, zeros outside. Numbers of either are not to be compared, nor with those of other
                 benchmarks' kernels.
super_resolution means of 4 x 4 pixels; bicubic_super_resolution has 16 taps, a = -1/2.
inpainting       every other pixel is hidden, at random. Its masks of letters are not here.
compressed_sensing_2, compressed_sensing_4
                 Walsh-Hadamard; the number of pixels is to be a power of two.
colourisation    grey images of colour ones: nothing to do for a prior of grey images.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The benchmark: seed of its kernels and masks, the range that sigma refers to, shape of its images, tasks."""
    sigma = 0.05
    tasks = dict(
        denoising=dict(operator="denoising", sigma=sigma),
        super_resolution=dict(operator="average_downsampling", factor=4, sigma=sigma),
        bicubic_super_resolution=dict(operator="bicubic_downsampling", factor=4, sigma=sigma),
        gaussian_blur=dict(operator="gaussian_blur", width=10.0, radius=2, boundary="zero", sigma=sigma),
        uniform_blur=dict(operator="gaussian_blur", width=1e6, radius=4, boundary="zero", sigma=sigma),
        anisotropic_blur=dict(operator="gaussian_blur", width=(20.0, 1.0), radius=4, boundary="zero", sigma=sigma),
        inpainting=dict(operator="random_mask", hidden=0.5, sigma=sigma),
        compressed_sensing_2=dict(operator="compressed_sensing", ratio=2.0, sigma=sigma),
        compressed_sensing_4=dict(operator="compressed_sensing", ratio=4.0, sigma=sigma),
        colourisation=dict(operator="colourisation", sigma=sigma),
    )
    return ml_collections.ConfigDict(dict(seed=0, sigma_range="[0, 1]", image_shape=(256, 256, 3), tasks=tasks))
