"""The tasks of diffusion posterior sampling (H. Chung et al., ICLR 2023) and of those who measure as it does.

    python -m launch.evaluate --tasks=dps/super_resolution,dps/gaussian_blur

The noise has the deviation 0.05 for images in [-1, 1], on the measurement. What differs from the published code:

inpainting       theirs adds noise to hidden pixels too, so that its residual holds noise that nothing explains; here
                 what is hidden is not measured. The share of hidden pixels is 0.7 for every image; there it may be
                 drawn.
motion_blur      a kernel of 61 x 61 pixels and intensity 0.5 for every image, by another generator of such paths.
gaussian_blur    the kernel "61 x 61, deviation 3" has 25 x 25 entries that are not 0, which are those here. Of its 2-D
                 frequencies on 256 x 256 pixels 95 % are damped below 0.05: they come from the prior, with any method.
super_resolution 16 bicubic taps against aliasing; the border is mirrored with its edge pixel.
nonlinear_blur   a network, whose weights (GOPRO_wVAE.pth of "Explore image deblurring via encoded blur kernel space",
                 CVPR 2021) are not ours to give: --setting=weights=GOPRO_wVAE.pth. There its blur is drawn anew at
                 every call, here once and for all images.
synthetic_nonlinear_blur
                 needs no weights and is another operator, whose numbers are not to be set beside the network's.
phase_retrieval  64 zeros on each side of 256; images in [-1, 1] are transformed. phase_retrieval_daps transforms those
                 in [0, 1], as DAPS does. Published numbers are those of the best of four runs.
hdr              clip(2 x, -1, 1).
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The benchmark: seed of its kernels and masks, the range that sigma refers to, shape of its images, tasks."""
    sigma = 0.05
    tasks = dict(
        super_resolution=dict(operator="bicubic_downsampling", factor=4, sigma=sigma),
        inpainting=dict(operator="random_mask", hidden=0.7, sigma=sigma),
        box_inpainting=dict(operator="random_box_mask", size=(128, 128), margin=16, sigma=sigma),
        gaussian_blur=dict(operator="gaussian_blur", width=3.0, boundary="reflect", sigma=sigma),
        motion_blur=dict(operator="motion_blur", size=61, intensity=0.5, boundary="reflect", drawn="each", sigma=sigma),
        nonlinear_blur=dict(operator="nonlinear_blur", sigma=sigma),
        synthetic_nonlinear_blur=dict(operator="synthetic_blur", sigma=sigma),
        phase_retrieval=dict(operator="phase_retrieval", oversampling=2.0, sigma=sigma),
        phase_retrieval_daps=dict(operator="phase_retrieval", oversampling=2.0, image_range=(0.0, 1.0), sigma=sigma),
        hdr=dict(operator="high_dynamic_range", gain=2.0, sigma=sigma),
    )
    return ml_collections.ConfigDict(dict(seed=0, sigma_range="[-1, 1]", image_shape=(256, 256, 3), tasks=tasks))
