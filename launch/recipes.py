"""The tasks of published benchmarks, configs/tasks/RECIPE.py: "dps/gaussian_blur" is a task of one of them."""

import runpy
from pathlib import Path
from typing import Any

from launch.config import known

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "tasks"


def recipe_names() -> list[str]:
    """The recipes that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe: seed, sigma_range, image_shape and tasks.

    Raises:
        ValueError: if there is none of that name.
    """
    known(name, recipe_names(), "recipe")
    return runpy.run_path(str(FOLDER / f"{name}.py"))["get_config"]().to_dict()


def recipe_task(name: str) -> dict[str, Any]:
    """The task of a name "recipe/task", with the seed of its recipe and the range that its noise refers to.

    Raises:
        ValueError: if there is no such recipe, or it has no such task.
    """
    recipe_name, _, task = name.partition("/")
    recipe = read_recipe(recipe_name)
    known(task, recipe["tasks"], f"task of the recipe {recipe_name}")
    return dict(sigma_range=recipe["sigma_range"], seed=recipe["seed"]) | recipe["tasks"][task]


def recipe_shape(name: str) -> tuple[int, ...]:
    """The shape of the images that the recipe of a task "recipe/task" is for."""
    return tuple(read_recipe(name.partition("/")[0])["image_shape"])
