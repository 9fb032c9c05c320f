"""What cannot be built is refused at once: what was given, what was expected, how to mend it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax import operators

SHAPE = (8, 12, 3)
KEY = jax.random.key(0)

REFUSED = {
    "no channel axis": (lambda: operators.random_mask(KEY, (8, 12)), r"\(8, 12\).*grey image has one channel"),
    "an empty image": (lambda: operators.average_downsampling((0, 12, 3), 2), "three positive whole numbers"),
    "a mask of another size": (lambda: operators.mask(SHAPE, np.ones((12, 8, 1))), r"\(12, 8, 1\).*\(8, 12, 1\)"),
    "a mask of two channels": (
        lambda: operators.mask(SHAPE, np.ones((8, 12, 2))),
        r"\(8, 12, 2\): give it as \(8, 12\) or",
    ),
    "everything hidden": (lambda: operators.random_mask(KEY, SHAPE, hidden=1.0), "below 1, and is 1.0"),
    "a percentage": (lambda: operators.random_mask(KEY, SHAPE, hidden=70.0), "is 70.0; seventy per cent are 0.7"),
    "less than nothing hidden": (lambda: operators.random_mask(KEY, SHAPE, hidden=-0.1), "at least 0.*is -0.1"),
    "a box below the image": (lambda: operators.box_mask(SHAPE, (4, 0, 5, 2)), r"\(4, 0, 5, 2\).*8 x 12"),
    "a box right of the image": (lambda: operators.box_mask(SHAPE, (0, 8, 2, 5)), "outside the image of 8 x 12"),
    "a box left of the image": (lambda: operators.box_mask(SHAPE, (0, -1, 2, 5)), "at least 0"),
    "an empty box": (lambda: operators.box_mask(SHAPE, (2, 2, 0, 5)), "is empty"),
    "matrices of another image": (
        lambda: operators.separable_map(SHAPE, np.ones((4, 12)), np.ones((4, 8))),
        r"\(4, 12\).*\(m, 8\).*\(n, 12\)",
    ),
    "rows of three axes": (lambda: operators.separable_map(SHAPE, np.ones((1, 8, 8)), np.eye(12)), r"\(m, 8\)"),
    "a kernel above the image": (lambda: operators.circular_blur(SHAPE, np.ones((9, 3))), "9 x 3 .* fit .* 8 x 12"),
    "a kernel beside the image": (lambda: operators.circular_blur(SHAPE, np.ones((3, 13))), "3 x 13 .* 8 x 12"),
    "an even kernel": (lambda: operators.circular_blur(SHAPE, np.ones((3, 4))), r"\(3, 4\).*odd sides"),
    "a kernel of one axis": (lambda: operators.circular_blur(SHAPE, np.ones(3)), r"\(3,\).*a matrix"),
    "an unknown boundary": (
        lambda: operators.gaussian_blur(SHAPE, 0.5, boundary="mirror"),
        "circular.*reflect.*zero.*not 'mirror'",
    ),
    "no width": (lambda: operators.gaussian_blur(SHAPE, 0.0), "above 0, and is 0.0"),
    "a negative width": (lambda: operators.gaussian_blur(SHAPE, -1.0), "above 0, and is -1.0"),
    "a negative radius": (lambda: operators.gaussian_blur(SHAPE, 1.0, radius=-1), "at least 0, and is -1"),
    "a wide circular blur": (lambda: operators.gaussian_blur(SHAPE, 1.0), "9 x 9 .* 8 x 12.*smaller width"),
    "a wide reflecting blur": (lambda: operators.gaussian_blur(SHAPE, 1.0, boundary="reflect"), "9 x 9 .* 8 x 12"),
    "a factor of one side only": (lambda: operators.average_downsampling(SHAPE, 3), "factor 3 .* 8 x 12.*crop"),
    "another": (lambda: operators.bicubic_downsampling((12, 8, 3), 3), "factor 3 .* 12 x 8"),
    "no factor": (lambda: operators.average_downsampling(SHAPE, 0), "at least 1, and is 0"),
    "a negative factor": (lambda: operators.bicubic_downsampling(SHAPE, -2), "at least 1, and is -2"),
    "an image of another size": (
        lambda: operators.box_mask(SHAPE, (0, 0, 1, 1))(np.ones((2, 12, 8, 3))),
        r"\(2, 12, 8, 3\).*takes \(8, 12, 3\), after any number of batch axes",
    ),
    "an image without channels": (lambda: operators.random_mask(KEY, SHAPE)(np.ones((8, 12))), "axis of the channels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        build()


def test_an_operator_must_say_what_it_measures():
    class Nothing(operators.LinearOperator):
        image_shape = SHAPE

    with pytest.raises(NotImplementedError, match=r"Nothing must define forward\(x\)"):
        Nothing().forward(jnp.ones(SHAPE))


def test_a_closed_form_must_be_stated():
    class Unsolved(operators.ClosedForm):
        image_shape = SHAPE

    with pytest.raises(NotImplementedError, match=r"Unsolved must define solve\(v, y, rho, solver, start\)"):
        Unsolved().solve(jnp.ones(SHAPE), jnp.ones(SHAPE), 0.1)
