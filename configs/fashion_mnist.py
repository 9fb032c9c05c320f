r"""Fashion-MNIST, 28 x 28 grey images padded to 32 x 32: the prior that comes with the library.

    python -m launch.prepare --dataset=fashion_mnist
    python -m launch.train --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist
    python -m launch.evaluate --prior=runs/fashion_mnist/prior.npz

`docs/operators.png` is the sheet of fifteen tasks on one bundled image, out/operators/sheet.png:

    python -m launch.restore --count=1 --batch=1 --output=out/operators --tasks=inpainting,box_inpainting,denoising,\
circular_blur,motion_blur,bicubic_super_resolution,blurred_super_resolution,compressed_sensing,tomography,\
fourier_sampling,phase_retrieval,nonlinear_blur,dynamic_range,saturation,quantisation

Cost: 8,200 steps of 64 images, about 120 images/s on two CPU cores with nothing beside it, 75 minutes.
Expected: `mse` 0.18 at the end; PSNR of one sample / of the mean of 8 on the 64 bundled images 22.2 / 24.4 dB
(inpainting), 18.9 / 21.2 dB (super-resolution), 24.1 / 26.2 dB (blur), error / std 1.15, 1.10 and 1.24.

The shipped weights come from such a run that was stopped and resumed, with changes on the way: up to step 2,249 sigma
was drawn between 0.01 and 10, the first 1,600 steps saw the images in another order, and the number of steps, thus
the fall of the learning rate, was settled at step 5,051. `docs/fashion_mnist_training.jsonl` is its log.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: data, network, training, sampling and tasks."""
    config = ml_collections.ConfigDict()

    config.data = ml_collections.ConfigDict(
        dict(source="fashion_mnist", split="train", image_shape=(32, 32, 1), flip=False)
    )
    config.network = ml_collections.ConfigDict(
        dict(
            unet=dict(
                channels=(64, 128),
                blocks=(1, 2),
                attention=(False, True),
                patch=2,
                head_channels=64,
                embedding=128,
                dtype="float32",  # bfloat16 pays on a GPU, a TPU and a CPU with AMX
            ),
            # Of the padded training images.
            mean=-0.56,
            std=0.66,
        )
    )
    config.train = ml_collections.ConfigDict(
        dict(
            seed=0,
            steps=8_200,
            batch_size=64,
            # log lam is uniform between the squares of these, in the units of the images.
            sigma_min=0.02,
            sigma_max=5.0,
            # Warm start by `l1` or `l2` for this share of the steps, then proximal matching while zeta, in units of
            # c_out, falls.
            warm_up="l2",
            warm_share=0.8,
            zeta_start=2.0,
            zeta_end=1.0,
            stages=0,  # or the number of widths that zeta takes, each for as many steps
            learning_rate=1e-3,
            warmup_steps=500,
            decay_share=0.4,
            adam_b2=0.99,
            weight_decay=1e-4,
            clip_norm=1.0,
            ema_decay=0.999,
            sharding="replicated",  # or `fsdp`
            log_every=50,
            save_every=500,
            sheet_every=2000,
        )
    )
    # calls=0 for what suits the prior, 100, or 20 for the exact step. setting="" for what suits it, or "calibrated", or
    # "sharp": the best single samples, too sure of themselves, see `pgm_jax.samplers.default_rows`.
    config.sampler = ml_collections.ConfigDict(dict(calls=0, samples=8, setting=""))
    # sigma is the noise of the measurement in the units of the images, which lie in [-1, 1].
    config.tasks = ml_collections.ConfigDict(
        dict(
            inpainting=dict(operator="random_mask", hidden=0.7, sigma=0.05),
            box_inpainting=dict(operator="box_mask", box=(8, 8, 16, 16), sigma=0.05),
            denoising=dict(operator="denoising", sigma=0.4),
            blur=dict(operator="gaussian_blur", width=1.2, boundary="reflect", sigma=0.05),
            circular_blur=dict(operator="gaussian_blur", width=1.2, boundary="circular", sigma=0.05),
            motion_blur=dict(operator="motion_blur", size=15, intensity=0.5, sigma=0.05),
            super_resolution=dict(operator="average_downsampling", factor=4, sigma=0.05),
            bicubic_super_resolution=dict(operator="bicubic_downsampling", factor=4, sigma=0.05),
            blurred_super_resolution=dict(
                operator="blur_downsampling", kernel=((0, 0.2, 0), (0.2, 0.2, 0.2), (0, 0.2, 0)), factor=2, sigma=0.05
            ),
            compressed_sensing=dict(operator="compressed_sensing", ratio=4.0, sigma=0.05),
            # A line integral is a sum of pixels along 32 of them.
            tomography=dict(operator="radon", angles=16, sigma=0.2),
            fourier_sampling=dict(operator="cartesian_sampling", acceleration=3.0, sigma=0.05),
            phase_retrieval=dict(operator="phase_retrieval", oversampling=2.0, sigma=0.05),
            nonlinear_blur=dict(operator="synthetic_blur", widths=(0.5, 1.0), sigma=0.05),
            dynamic_range=dict(operator="high_dynamic_range", gain=2.0, sigma=0.05),
            saturation=dict(operator="saturation", gain=2.0, sigma=0.05),
            quantisation=dict(operator="quantisation", levels=4, sigma=0.05),
        )
    )
    return config
