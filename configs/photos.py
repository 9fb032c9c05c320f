r"""Photographs of any size, for the exact step: the prior that restores pictures of one's own.

python -m launch.prepare --dataset=photos --output=photos
python -m launch.train --config=configs/photos.py --workdir=runs/photos

Cost: 100,000 steps of 32 crops; on two CPU cores with AMX 60 crops/s with dtype="bfloat16", 15 hours.

`load_prior("photos")` is the averaged weights after 8,551 steps: 5,551 in bfloat16 at a constant learning rate, then
3,000 from `train.start="photos"` in float32 whose last 75 % take the learning rate to 0 (`train.decay_share=0.75`).
`docs/photos_training.jsonl` is their log. Up to step 3,451 the comb of the colourisation family had equal signs in all
channels. The held-out pictures are denoised to a PSNR of 33.2, 30.2 and 26.6 dB at noise of 15, 25 and 50 of 255;
from step 4,000 on, at 25, they rose by 1.6 dB, so that more training is worth it.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: data, network and training."""
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict(
        dict(
            source="./photos",
            split="train[:94%]",
            held_out="train[94%:]",  # whose denoising PSNR is logged
            image_shape=(64, 64, 3),  # of the random crops
            flip=False,  # crops are mirrored and turned anyway
        )
    )
    config.network = ml_collections.ConfigDict(
        dict(
            local_unet=dict(
                channels=(64, 128, 128),
                blocks=(1, 2, 3),
                patch=2,
                embedding=128,
                dtype="float32",  # or "bfloat16", faster on a GPU, a TPU and a CPU with AMX
            ),
            mean=-0.1,
            std=0.5,
            metric=dict(period=7),  # of the comb that probes an operator
        )
    )
    config.train = ml_collections.ConfigDict(
        dict(
            seed=0,
            steps=100_000,
            batch_size=32,
            start="",  # a prior whose weights it starts from
            # log lam is uniform between the squares of the first two, and the log of the noise of the measurements
            # between the other two, all in the units of the images.
            sigma_min=0.005,
            sigma_max=5.0,
            noise_min=0.005,
            noise_max=0.3,
            # Share of every batch that one of `count` such operators measures; nothing measures the rest.
            families=dict(
                masks=dict(operator="random_mask", count=100, share=0.16, between=dict(hidden=(0.1, 0.95))),
                boxes=dict(operator="random_box_mask", count=100, share=0.04, size=(16, 16)),
                channels=dict(
                    operator="random_mask", count=50, share=0.04, shared=False, between=dict(hidden=(0.3, 0.8))
                ),
                blurs=dict(
                    operator="gaussian_blur", count=200, share=0.13, boundary="reflect", between=dict(width=(0.4, 3.0))
                ),
                motion=dict(operator="motion_blur", count=100, share=0.05, size=15, boundary="circular"),
                averages_of_two=dict(operator="average_downsampling", count=1, share=0.04, factor=2),
                averages_of_four=dict(operator="average_downsampling", count=1, share=0.04, factor=4),
                bicubic_of_two=dict(operator="bicubic_downsampling", count=1, share=0.04, factor=2),
                bicubic_of_four=dict(operator="bicubic_downsampling", count=1, share=0.04, factor=4),
                grey=dict(operator="colourisation", count=1, share=0.04),
            ),
            warm_up="l2",
            warm_share=1.0,
            zeta_start=2.0,
            zeta_end=1.0,
            stages=0,
            learning_rate=5e-4,
            warmup_steps=500,
            decay_share=0.5,
            adam_b2=0.99,
            weight_decay=1e-4,
            clip_norm=1.0,
            ema_decay=0.999,
            sharding="replicated",
            log_every=50,
            save_every=500,
            sheet_every=5000,
        )
    )
    return config
