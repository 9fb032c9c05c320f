"""The nonlinear blur network: as published on recorded inputs and outputs, and as a measurement of any weights."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks.blur_net import blur_network, blur_network_of_code, blur_params
from pgm_jax.operators import NonlinearOperator
from pgm_jax.types import Operator

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = pathlib.Path(os.environ.get("PGM_FIXTURES", ROOT.parent / "shared" / "fixtures"))
SHAPE = (128, 256, 3)
KEY = jax.random.key(3)


def convolution(*shape):
    return {"weight": shape, "bias": shape[:1]}


def published_layout(nf=2, front=1, back=2, kernel_dim=5):
    """Names and shapes of the published weights, (out, in, i, j), for a narrow network."""
    layers = {f"feature_extractor.{i}": convolution(nf, 3 if i == 0 else nf, 3, 3) for i in (0, 2, 4)}
    blocks = [f"feature_extractor.{6 + i}" for i in range(front)] + [f"recon_trunk.{i}" for i in range(back)]
    layers |= {f"{block}.conv{j}": convolution(nf, nf, 3, 3) for block in blocks for j in (1, 2)}
    widths, level = [nf, nf, 2 * nf, 4 * nf, 8 * nf, 8 * nf], "adapter.model"
    for depth in range(5):
        outer, inner = widths[depth : depth + 2]
        layers[f"{level}.down.{min(depth, 1)}"] = {"weight": (inner, outer, 4, 4)}
        layers[f"{level}.up.1"] = {"weight": (inner + (kernel_dim if depth == 4 else inner), outer, 4, 4)}
        level += ".submodule"
    layers["adapter.model.up.1"]["bias"] = (nf,)
    ends = (0, 4 * nf, nf), (3, 256, nf), (6, 64, 64), (8, 3, 64)
    layers |= {f"recon_trunk.{back + i}": convolution(out, into, 3, 3) for i, out, into in ends}
    return {f"{layer}.{kind}": shape for layer, kinds in layers.items() for kind, shape in kinds.items()}


def published(prefix="", scale=0.1, **sizes):
    random = np.random.default_rng(0)
    draw = lambda shape: (scale * random.standard_normal(shape)).astype(np.float32)  # noqa: E731
    return {prefix + name: draw(shape) for name, shape in published_layout(**sizes).items()}


@pytest.fixture(scope="module")
def params():
    return blur_params(published())


@pytest.fixture(scope="module")
def picture():
    return np.tanh(np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)


@jax.jit
def linearized(operator, x, r):
    y, derivative = operator.linearize(x)
    return y, derivative.forward(x), derivative.adjoint(r)


def test_agrees_with_the_published_network():
    path = FIXTURES / "nonlinear_blur_net_small.npz"
    if not path.exists():
        pytest.skip(f"no recorded outputs at {path}: set PGM_FIXTURES to the folder that holds them")
    fixture = np.load(path)
    weights = {name.removeprefix("weight/"): fixture[name] for name in fixture if name.startswith("weight/")}
    x, code, y = (jnp.asarray(fixture[f"{name}_nchw"][0].transpose(1, 2, 0)) for name in ("x01", "code", "y01"))
    operator = blur_network_of_code(code, x.shape, blur_params(weights))
    out = np.asarray(jax.jit(type(operator).forward)(operator, 2 * x - 1))
    assert np.abs(out - np.clip(2 * y - 1, -1, 1)).max() <= 1e-5
    assert np.mean(np.abs(out) < 1) > 0.5


def test_recorded_layout_is_that_of_these_tests():
    path = FIXTURES / "nonlinear_blur_net_small.npz"
    if not path.exists():
        pytest.skip(f"no recorded weights at {path}: set PGM_FIXTURES to the folder that holds them")
    with np.load(path) as fixture:
        shapes = {n.removeprefix("weight/"): fixture[n].shape for n in fixture if n.startswith("weight/")}
    assert shapes == published_layout(nf=8, front=2, back=3, kernel_dim=64)


def test_a_measurement(params, picture):
    operator = blur_network(KEY, SHAPE, params)
    assert isinstance(operator, NonlinearOperator) and isinstance(operator, Operator)
    assert operator.code.shape == (1, 2, 5) and operator.measurement_shape == SHAPE
    y, along, back = linearized(operator, picture, picture[::-1])
    assert y.shape == SHAPE and np.abs(y).max() <= 1
    np.testing.assert_allclose(np.vdot(along, picture[::-1]), np.vdot(picture, back), rtol=1e-3)
    far = linearized(operator, 30 * picture, picture)
    assert all(np.all(np.isfinite(a)) for a in far)


def test_the_code_is_drawn_once_and_has_its_deviation(params):
    operator = blur_network(KEY, (1280, 2560, 3), params)
    np.testing.assert_array_equal(operator.code, blur_network(KEY, (1280, 2560, 3), params).code)
    np.testing.assert_allclose(np.std(operator.code), 1.2, rtol=0.1)
    np.testing.assert_allclose(blur_network(KEY, SHAPE, params, 0.0).code, 0)


def test_blurs_of_many_codes_are_one_program_and_all_different(params, picture):
    @jax.jit
    def blurred(keys, x):
        return jax.vmap(lambda key: blur_network(key, SHAPE, params).forward(x))(keys)

    y = np.asarray(blurred(jax.random.split(KEY, 2), picture))
    assert np.abs(y[0] - y[1]).max() > 1e-4
    one, *_ = linearized(blur_network(jax.random.split(KEY, 2)[1], SHAPE, params), picture, picture[::-1])
    np.testing.assert_allclose(y[1], one, atol=1e-5)


def test_weights_behind_a_prefix_and_among_others(params):
    others = {"module.kernel_extractor.recon_trunk.0.weight": np.ones(3), "epoch": np.ones(()), "adapter.x": np.ones(2)}
    found = blur_params(published("module.") | others)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_sizes_are_those_of_the_weights():
    params = blur_params(published(nf=3, front=0, back=1, kernel_dim=2))
    assert blur_network(KEY, (128, 128, 3), params).code.shape == (1, 1, 2)
    assert sum(name.endswith("conv1") for name in params) == 1
    half = {name: array.astype(np.float16) for name, array in published().items()}
    assert {leaf.dtype for leaf in jax.tree.leaves(blur_params(half))} == {np.dtype(np.float32)}


def without(*names):
    return {name: array for name, array in published().items() if name not in names}


REFUSED = {
    "nothing": (lambda: blur_params({}), "lack feature_extractor.0.weight.*0 entries"),
    "another network": (lambda: blur_params({"conv.weight": np.ones(1)}), r"lack .*such as \['conv.weight'\]"),
    "a bias missing": (lambda: blur_params(without("recon_trunk.2.bias")), "lack recon_trunk.2.bias;"),
    "some missing": (
        lambda: blur_params(without("adapter.model.down.0.weight", "recon_trunk.10.weight")),
        "lack adapter.model.down.0.weight, recon_trunk.10.weight;",
    ),
    "the bottom missing": (
        lambda: blur_params(without("adapter.model.submodule.submodule.submodule.submodule.up.1.weight")),
        "lack adapter.model.submodule.submodule.submodule.submodule.up.1.weight;",
    ),
    "another width": (
        lambda: blur_params(published() | {"recon_trunk.0.conv1.weight": np.ones((3, 2, 3, 3), np.float32)}),
        r"recon_trunk.0.conv1.weight has shape \(3, 3, 2, 3\).*\(3, 3, 2, 2\)",
    ),
    "a dense layer": (lambda: blur_params({"adapter.model.down.0.weight": np.ones((3, 2))}), "four axes"),
    "two copies": (lambda: blur_params(published() | published("ema.")), "there twice.*'ema.feature_extractor.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("shape", [(128, 128), (100, 128, 3), (128, 192, 3), (128, 128, 1), (0, 128, 3)])
def test_images_of_other_sizes_are_refused(params, shape):
    with pytest.raises(ValueError, match=r"image_shape is .*\(height, width, 3\) with both sides multiples of 128"):
        blur_network(KEY, shape, params)


def test_codes_of_other_sizes_are_refused(params):
    with pytest.raises(ValueError, match=r"\(2, 1, 5\).*\(1, 2, 5\)"):
        blur_network_of_code(jnp.ones((2, 1, 5)), SHAPE, params)
