"""Networks as plain numbers and words, and back: what a file says of its network, and a configuration of its own.

    one condition, lam      unet = {...}, image_shape, mean, std                                   `Preconditioned`
    noise of any shape      the same and metric = {period}                                        `MetricNetwork`
    the same, of any size   local_unet = {...}, image_shape (None, None, C), mean, std, metric    `LocalNetwork`
    two, t and lam          unet, image_shape and timed = {beta_min, beta_max, form, loss}        `TimedNetwork`
    a convex potential      icnn or conv_icnn = {...}, image_shape, sigma, patches = {patch, stride}  `ConvexNetwork`

Files come from anywhere, so that every number is checked before a network is made of it.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from pgm_jax.networks.icnn import ICNN, WAYS, ConvICNN, Patched, softplus
from pgm_jax.networks.local_net import LocalNetwork
from pgm_jax.networks.local_unet import LocalUNet
from pgm_jax.networks.lpn import ConvexNetwork
from pgm_jax.networks.metric_net import MetricNetwork
from pgm_jax.networks.prox_net import Preconditioned
from pgm_jax.networks.timed_net import DenoiserForm, Form, TimedNetwork, eps_form, prox_form
from pgm_jax.networks.unet import UNet
from pgm_jax.schedules import LinearVP

# What a network of a file may be: beyond every published one, and small enough to be made in seconds.
_MOST_BLOCKS, _MOST_LEVELS, _WIDEST, _MOST_PIXELS = 32, 10, 2**14, 2**28
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_FORMS: dict[str, Form] = dict(eps=eps_form, prox=prox_form)
_CONVEX: dict[str, type[ICNN | ConvICNN]] = dict(icnn=ICNN, conv_icnn=ConvICNN)
MODULES = ("unet", "local_unet", *_CONVEX)

Described = Preconditioned | MetricNetwork | TimedNetwork | ConvexNetwork


def describe(network: Described) -> dict[str, Any]:
    """A `network` as plain numbers and words; `network_of` inverts it.

    Raises:
        TypeError: if its module, its schedule or its activation has no such description.
    """
    if isinstance(network, ConvexNetwork):
        return _describe_convex(network)
    if not isinstance(network.module, UNet | LocalUNet):
        raise TypeError(
            f"A prior file holds a UNet or a LocalUNet, got {type(network.module).__name__}; keep its params by other "
            "means."
        )
    unet = _settings(network.module)
    unet["dtype"] = jnp.dtype(unet["dtype"]).name
    name = "unet" if isinstance(network.module, UNet) else "local_unet"
    told: dict[str, Any] = {name: unet, "image_shape": network.image_shape}
    if isinstance(network, Preconditioned | MetricNetwork):
        told |= dict(mean=network.mean, std=network.std)
        return told | dict(metric=dict(period=network.period)) if isinstance(network, MetricNetwork) else told
    if not isinstance(network.schedule, LinearVP):
        raise TypeError(f"A prior file holds a network of LinearVP, got {type(network.schedule).__name__}.")
    schedule = dict(beta_min=float(network.schedule.beta_min), beta_max=float(network.schedule.beta_max))
    if isinstance(network.form, DenoiserForm):
        told |= dict(mean=network.form.mean, std=network.form.std)
        form = "denoiser"
    elif (form := next((name for name, known in _FORMS.items() if known is network.form), None)) is None:
        raise TypeError(f"A prior file holds a network of a form of its own module, got {network.form}.")
    return told | dict(timed=dict(**schedule, form=form, loss=network.loss))


def network_of(description: dict[str, Any]) -> Described:
    """The network of a `description` by `describe`, possibly by way of JSON: lists become tuples.

    Raises:
        ValueError: if a setting has another type or range than a usable network has.
        KeyError: if one is missing.
    """
    kinds = [name for name in MODULES if name in description]
    if len(kinds) != 1:
        raise ValueError(f"a network is one of {', '.join(MODULES)}, and the description has {len(kinds)} of them")
    more = dict(unet=["mean", "std", "timed", "metric"], local_unet=["mean", "std", "metric"])
    _known(description, "network", [*kinds, "image_shape", *more.get(kinds[0], ["sigma", "patches"])])
    if kinds == ["local_unet"]:
        return _local_network(description)
    if kinds != ["unet"]:
        return _convex_network(description, kinds[0])
    _check_unet(description)
    unet = _tuples(description["unet"])
    unet["dtype"] = jnp.dtype(unet["dtype"])
    module, shape = UNet(**unet), tuple(description["image_shape"])
    if {"metric", "timed"} <= description.keys():
        raise ValueError("a network has metric or timed, and the description has both")
    if "metric" in description:
        metric = _known(description["metric"], "metric", ["period"])
        _integer(metric["period"], "metric.period", 1, min(shape[:2]))
        _check_scaling(description)
        return MetricNetwork(module, shape, float(description["mean"]), float(description["std"]), metric["period"])
    if "timed" not in description:
        _check_scaling(description)
        return Preconditioned(module, shape, float(description["mean"]), float(description["std"]))
    timed = _known(description["timed"], "timed", ["beta_min", "beta_max", "form", "loss"])
    form, low, high = timed["form"], timed["beta_min"], timed["beta_max"]
    if form not in ("denoiser", *_FORMS):
        raise ValueError(f"timed.form is {_brief(form)}; give 'denoiser', {', '.join(map(repr, _FORMS))}")
    _number(low, "timed.beta_min", 1e-6, 1e6)
    _number(high, "timed.beta_max", low, 1e6)
    if form == "denoiser":
        _check_scaling(description)
        own: Form = DenoiserForm(float(description["mean"]), float(description["std"]))
    else:
        own = _FORMS[form]
    return TimedNetwork(module, shape, LinearVP(float(low), float(high)), own, timed["loss"])


def _local_network(description: dict[str, Any]) -> LocalNetwork:
    _check_levels(description, LocalUNet, "local_unet", dict(patch=1, embedding=2))
    unet, shape = _tuples(description["local_unet"]), description["image_shape"]
    unet["dtype"] = jnp.dtype(unet["dtype"])
    if len(shape) != 3 or shape[0] is not None or shape[1] is not None:
        raise ValueError(f"image_shape is {_brief(shape)}; a local_unet takes any size, (None, None, channels)")
    _whole(shape[2:], "image_shape", 1, _WIDEST)
    metric = _known(description["metric"], "metric", ["period"])
    _integer(metric["period"], "metric.period", 1, _WIDEST)
    _check_scaling(description)
    scaling = float(description["mean"]), float(description["std"])
    return LocalNetwork(LocalUNet(**unet), (None, None, shape[2]), *scaling, metric["period"])


def least_arrays(network: Described) -> int:
    """How many arrays of parameters a network has at least, told without making it.

    Args:
        network: any that can be described.
    """
    # A block of a U-Net has ten arrays of its own on either way, one of a LocalUNet six.
    each = {UNet: 20, LocalUNet: 6}.get(type(network.module), 0)
    return each * sum(network.module.blocks) if each else 0


def _describe_convex(network: ConvexNetwork) -> dict[str, Any]:
    module, told = network.module, dict[str, Any](image_shape=network.image_shape, sigma=network.sigma)
    if isinstance(module, Patched):
        told |= dict(patches=dict(patch=module.patch, stride=module.stride))
        module = module.module
    names = [name for name, known in _CONVEX.items() if type(module) is known]
    if not names or module.activation not in (softplus, jax.nn.softplus):
        raise TypeError(
            f"A prior file holds an ICNN or a ConvICNN of softplus, got {type(module).__name__} of "
            f"{getattr(module.activation, '__name__', module.activation)}; keep its params by other means."
        )
    settings = _settings(module)
    del settings["activation"]
    return {names[0]: settings} | told


def _convex_network(description: dict[str, Any], name: str) -> ConvexNetwork:
    kind = _CONVEX[name]
    fields = _known(description[name], name, sorted(_names(kind) - {"activation"}))
    for widths, most in dict(widths=_WIDEST, strides=8).items():
        if widths in fields:
            _whole(fields[widths], f"{name}.{widths}", 1, most)
            if not 1 <= len(fields[widths]) <= _MOST_BLOCKS:
                raise ValueError(f"{name}.{widths} has {len(fields[widths])} entries; give 1 to {_MOST_BLOCKS}")
    for width in ("channels", "size"):
        if width in fields:
            _integer(fields[width], f"{name}.{width}", 1, _WIDEST if width == "channels" else 99)
    for number, least in dict(beta=1e-6, alpha=0.0).items():
        if number in fields:
            _number(fields[number], f"{name}.{number}", least, 1e6)
    if fields.get("way", WAYS[0]) not in WAYS:
        raise ValueError(f"{name}.way is {_brief(fields['way'])}; give one of {', '.join(map(repr, WAYS))}")
    shape = _image_shape(description, 1)
    module: nn.Module = kind(**cast(Any, _tuples(fields)))
    if "patches" in description:
        patches = _known(description["patches"], "patches", ["patch", "stride"])
        for side in ("patch", "stride"):
            _integer(patches[side], f"patches.{side}", 1, _WIDEST)
        module = Patched(module, patches["patch"], patches["stride"])
    _number(description["sigma"], "sigma", 1e-18, 1e18)
    return ConvexNetwork(module, shape, float(description["sigma"]))


def _names(module: type[nn.Module]) -> set[str]:
    names = {name for kind in module.__mro__ for name in getattr(kind, "__annotations__", {}) if name in _fields(kind)}
    return names - {"parent", "name"}


def _fields(kind: type) -> Mapping[str, Any]:
    return getattr(kind, "__dataclass_fields__", {})


def _settings(module: nn.Module) -> dict[str, Any]:
    return {name: getattr(module, name) for name in sorted(_names(type(module)))}


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def _check_unet(description: Mapping[str, Any]) -> None:
    """Raise a ValueError for what is no description of a usable U-Net."""
    attention = _known(description["unet"], "unet", sorted(_names(UNet))).get("attention", UNet.attention)
    if not isinstance(attention, list | tuple) or not all(isinstance(each, bool) for each in attention):
        raise ValueError(f"unet.attention is {_brief(attention)}; give true or false for each level")
    fields = _check_levels(description, UNet, "unet", dict(patch=1, head_channels=1, embedding=2))
    levels = fields["channels"]
    for width, attends in zip(levels, attention, strict=True):
        if attends and width % fields["head_channels"]:
            raise ValueError(f"unet.head_channels is {fields['head_channels']}; it must divide {width}, unet.channels")
    _image_shape(description, fields["patch"] * 2 ** (len(levels) - 1))


def _check_levels(
    description: Mapping[str, Any], module: type[nn.Module], of: str, least: Mapping[str, int]
) -> dict[str, Any]:
    """The settings of a network of levels, once they are known to be usable."""
    names = _names(module)
    fields = {name: getattr(module, name) for name in names} | _known(description[of], of, sorted(names))
    levels = fields["channels"]
    _whole(levels, f"{of}.channels", 1, _WIDEST)
    _whole(fields["blocks"], f"{of}.blocks", 0, _MOST_BLOCKS)
    for name, smallest in least.items():
        _integer(fields[name], f"{of}.{name}", smallest, _WIDEST)
    counts = {f"{of}.{name}": len(fields[name]) for name in ("channels", "blocks", "attention") if name in fields}
    if not 1 <= min(counts.values()) == max(counts.values()) <= _MOST_LEVELS:
        *names, last = counts
        *numbers, count = counts.values()
        raise ValueError(
            f"{', '.join(names)} and {last} have {', '.join(map(str, numbers))} and {count} entries; give each one "
            f"entry a level, for 1 to {_MOST_LEVELS} levels"
        )
    if sum(fields["blocks"]) > _MOST_BLOCKS:
        raise ValueError(f"{of}.blocks is {_brief(fields['blocks'])}; give at most {_MOST_BLOCKS} in all")
    if (dtype := str(description[of]["dtype"])) not in _FLOATS:
        raise ValueError(f"{of}.dtype is {_brief(dtype)}; give one of {', '.join(_FLOATS)}")
    return fields


def _check_scaling(description: Mapping[str, Any]) -> None:
    # Within float32, where the scalings of a network take squares.
    for name, least in dict(mean=-1e18, std=1e-18).items():
        _number(description[name], name, least, 1e18)


def _image_shape(description: Mapping[str, Any], side: int) -> tuple[int, int, int]:
    shape = description["image_shape"]
    _whole(shape, "image_shape", 1, _WIDEST)
    if len(shape) != 3 or shape[0] % side or shape[1] % side or math.prod(shape) > _MOST_PIXELS:
        raise ValueError(
            f"image_shape is {_brief(shape)}; give (height, width, channels)"
            + f", both sides multiples of patch * 2^(levels - 1) = {side}" * (side > 1)
            + f", and at most {_MOST_PIXELS} numbers"
        )
    return tuple(shape)


def _known(settings: Any, of: str, names: list[str]) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise ValueError(f"{of} is {_brief(settings)}; give its settings, {', '.join(names)}")
    if unknown := sorted(settings.keys() - set(names)):
        raise ValueError(f"{of}.{unknown[0]} is no setting of it; it has {', '.join(names)}")
    return dict(settings)


def _whole(numbers: Any, name: str, least: int, most: int) -> None:
    if not isinstance(numbers, list | tuple) or not all(type(n) is int and least <= n <= most for n in numbers):
        raise ValueError(f"{name} is {_brief(numbers)}; give whole numbers from {least} to {most}")


def _integer(number: Any, name: str, least: int, most: int) -> None:
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"{name} is {_brief(number)}; give a whole number from {least} to {most}")


def _number(number: Any, name: str, least: float, most: float) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
        raise ValueError(f"{name} is {_brief(number)}; give a number from {least:g} to {most:g}")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
