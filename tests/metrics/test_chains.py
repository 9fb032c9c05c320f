"""Effective sample size and R-hat, against closed forms and their definitions written as loops."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from pgm_jax import metrics

effective_sample_size, split_rhat = map(jax.jit, (metrics.effective_sample_size, metrics.split_rhat))


def autoregressive(phi, chains=4, steps=2000, coordinates=25):
    """x_t = phi x_{t-1} + noise, whose mean is as accurate as that of (1 - phi) / (1 + phi) as many draws."""
    noise = np.random.default_rng(0).standard_normal((chains, steps + 200, coordinates))
    return np.float32(signal.lfilter([1.0], [1.0, -phi], noise, axis=1)[:, 200:])


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_effective_sample_size_is_in_closed_form(phi):
    found = effective_sample_size(autoregressive(phi))
    assert found.shape == (25,)
    assert abs(np.mean(found) - 8000 * (1 - phi) / (1 + phi)) / (np.std(found) / 5) < 4


@pytest.mark.parametrize("steps", [2000, 1997])
def test_effective_sample_size_is_that_of_the_definition(steps):
    """Geyer's sums, written as loops over the lags of one coordinate."""
    chains = np.asarray(autoregressive(0.8, steps=2000)[:, :steps, 0], np.float64)
    halves = np.concatenate([chains[:, : steps // 2], chains[:, -(steps // 2) :]])
    t = halves.shape[1]
    within = np.var(halves, axis=1, ddof=1).mean()
    total = within * (t - 1) / t + np.var(halves.mean(1), ddof=1)
    centred = halves - halves.mean(1, keepdims=True)

    def rho(lag):
        return 1 - (within - np.sum(centred[:, : t - lag] * centred[:, lag:]) / (t - 1) / len(halves)) / total

    time, smallest = -1.0, np.inf
    for k in range(t // 2):
        smallest = min(smallest, rho(2 * k) + rho(2 * k + 1))
        if smallest <= 0:
            break
        time += 2 * smallest
    found = effective_sample_size(np.float32(chains))
    np.testing.assert_allclose(found, halves.size / time, rtol=1e-3)
    expected = np.sqrt(total / within)
    np.testing.assert_allclose(split_rhat(np.float32(chains)), expected, rtol=1e-5)


def test_chains_that_agree_and_chains_that_do_not():
    chains = autoregressive(0.0)
    assert np.all(np.abs(np.asarray(split_rhat(chains)) - 1) < 0.01)
    apart = chains + np.arange(4, dtype=np.float32)[:, None, None]
    assert np.all(split_rhat(apart) > 1.4)
    assert np.all(np.asarray(effective_sample_size(apart)) < 10)
    drifting = chains[:1] + np.linspace(0, 3, 2000, dtype=np.float32)[None, :, None]
    assert np.all(split_rhat(drifting) > 1.2)
    assert np.all(effective_sample_size(drifting) < 10)


def test_chains_that_are_stuck():
    apart = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None], (4, 20))
    together = np.ones((4, 20), np.float32)
    for chains in (apart, together):
        assert not np.isfinite(split_rhat(chains)) and not effective_sample_size(chains) > 10
    nearly = np.float32(apart + 1e-3 * np.random.default_rng(0).standard_normal(apart.shape))
    assert split_rhat(nearly) > 100
    to_and_fro = np.float32(np.broadcast_to(1 - 2.0 * (np.arange(20) % 2), (4, 20)))
    np.testing.assert_allclose(effective_sample_size(to_and_fro), 80 * np.log10(80), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3), (20,)])
@pytest.mark.parametrize("judge", [metrics.effective_sample_size, metrics.split_rhat], ids=["size", "rhat"])
def test_chains_that_are_too_short_are_refused(judge, shape):
    if len(shape) == 1:
        judge = inspect.unwrap(judge)  # the checks of shapes, that only tests have, would refuse it before
    with pytest.raises(ValueError, match=r"give \[C, T, ...\] with T of 4 or more"):
        judge(jnp.zeros(shape))
