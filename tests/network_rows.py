"""The networks of the law tables, one of each kind and form."""

from pgm_jax.networks import (
    ICNN,
    ConvexNetwork,
    ConvICNN,
    DenoiserForm,
    LocalNetwork,
    LocalUNet,
    MetricNetwork,
    Patched,
    Preconditioned,
    TimedNetwork,
    UNet,
    eps_form,
    prox_form,
)
from pgm_jax.schedules import LinearVP

SHAPE = (4, 4, 1)
UNET, VP = UNet(channels=(8,), blocks=(1,), attention=(False,), embedding=4), LinearVP()
NETWORKS = {
    "levels": Preconditioned(UNET, SHAPE, -0.25, 0.5),
    "any noise": MetricNetwork(UNET, SHAPE, -0.25, 0.5, period=3),
    "any size": LocalNetwork(LocalUNet((8,), (1,), 2, 4), (None, None, 1), -0.25, 0.5, 3),
    "times": TimedNetwork(UNET, SHAPE, VP, DenoiserForm(-0.25, 0.5)),
    "times, eps": TimedNetwork(UNET, SHAPE, LinearVP(0.2, 10.0), eps_form, "prox"),
    "times, prox": TimedNetwork(UNET, SHAPE, VP, prox_form, "eps"),
    "dense": ConvexNetwork(ICNN(beta=5.0, widths=(6, 4), alpha=0.125), SHAPE, 0.5),
    "convolutional": ConvexNetwork(ConvICNN(channels=4, strides=(1, 2), way="softplus"), SHAPE, 0.25),
    "patches": ConvexNetwork(Patched(ICNN(widths=(4,)), 2, 1), SHAPE, 0.5),
}
