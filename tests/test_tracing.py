"""What is traced, what is static, and that no program is taken for another."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.potentials import Gaussian
from pgm_jax.tracing import as_partial, compiled
from pgm_jax.types import as_key, pytree


def classes(register, count=100):
    """Classes with the same fields, each of which adds its number."""

    def one(number):
        class Adder:
            array: jax.Array
            shape: tuple = dataclasses.field(metadata=dict(static=True))

            def __call__(self, x):
                return self.array * x + number

        Adder.__annotations__ = dict(array=jax.Array, shape=tuple)
        return register(Adder)

    return [one(number) for number in range(count)]


def registered(cls):
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


def test_structures_know_their_class():
    first, second = (cls(jnp.ones(()), (3,)) for cls in classes(pytree, 2))
    assert jax.tree.structure(first) != jax.tree.structure(second)
    assert jax.tree.structure(first) == jax.tree.structure(type(first)(jnp.zeros(()), (3,)))


@pytest.mark.parametrize("register", [pytree, registered])
def test_no_program_is_taken_for_another(register):
    """Not even for classes that jax does not tell apart."""
    call = compiled(lambda adder, x: adder(x))
    for number, cls in enumerate(classes(register)):
        assert call(cls(jnp.zeros(()), (3,)), jnp.ones(())) == number


def test_a_pytree_is_a_frozen_dataclass_with_named_leaves():
    (cls,) = classes(pytree, 1)
    made = cls(jnp.ones(2), shape=(3,))
    ((path, leaf),) = jax.tree_util.tree_leaves_with_path(made)
    assert jax.tree_util.keystr(path) == ".array" and leaf is made.array
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.shape = (4,)
    doubled = jax.tree.map(lambda a: 2 * a, made)
    np.testing.assert_array_equal(doubled.array, 2.0)
    assert doubled.shape == (3,) and isinstance(doubled, cls)


def test_arrays_are_traced_and_all_else_is_static():
    traces = []

    @compiled
    def scaled(function, factor, word, x):
        traces.append(word)
        return factor * function(x)

    double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
    assert scaled(double, 1.0, "a", jnp.ones(())) == 2 and scaled(double, 5.0, "a", jnp.zeros(())) == 0
    assert traces == ["a"]
    assert scaled(triple, 1.0, "a", 1.0) == 3 and scaled(double, 1, "b", np.float32(1)) == 2
    assert len(traces) == 3


def test_a_bound_method_keeps_its_arrays():
    one, other = (as_partial(Gaussian(mean, 0.5).prox) for mean in (0.0, 1.0))
    assert jax.tree.structure(one) == jax.tree.structure(other) and jax.tree.leaves(other) == [1.0, 0.5]
    np.testing.assert_allclose(other(jnp.ones(2), 1.0), Gaussian(1.0, 0.5).prox(jnp.ones(2), 1.0))


def test_keys_of_all_kinds_become_threefry():
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        np.testing.assert_array_equal(jax.random.key_data(as_key(key)), [0, 3])
    for impl in ("rbg", "unsafe_rbg"):
        derived = as_key(jax.random.key(3, impl=impl))
        assert jax.random.key_impl(derived) == jax.random.key_impl(jax.random.key(0))
    for wrong in (0, jax.random.split(jax.random.key(0)), jnp.zeros(2), None):
        with pytest.raises(TypeError, match=r"give one key: jax.random.key\(0\)"):
            as_key(wrong)
