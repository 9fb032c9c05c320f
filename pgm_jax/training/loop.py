"""The training loop, from top to bottom: resume, step, look, write, stop.

What happens to a run that stops:
    1. killed at any moment, it goes on from the newest readable checkpoint and ends at the same bits as if it had not;
    2. on SIGTERM or Ctrl-C it finishes its step, saves and leaves;
    3. on a loss that is not finite it stops, names the step and saves nothing after it;
    4. finished, it does nothing when started again.
"""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import PyTree
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pgm_jax.networks import Preconditioned
from pgm_jax.training import checkpoint
from pgm_jax.training.data import prefetched
from pgm_jax.training.losses import Objective
from pgm_jax.training.sharding import batch_sharding, device_mesh, replicated
from pgm_jax.training.step import TrainState, init_state, make_step
from pgm_jax.training.writers import ScalarWriter, image_sheet, save_image
from pgm_jax.types import Images, Key, Schedule

# (mesh, shapes of the state) -> shardings of the state: `replicated` or `fully_sharded`
StateSharding = Callable[[Mesh, PyTree], PyTree]


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often, in steps, a run does what is not training.

    Attributes:
        log: write scalars and look for NaNs.
        save: write a checkpoint.
        sheet: draw a sheet of images; 0 for never.
    """

    log: int = 50
    save: int = 500
    sheet: int = 1000


class NotFiniteError(RuntimeError):
    """The loss of a step was NaN or infinite."""


def train(
    network: Preconditioned,
    optimizer: optax.GradientTransformation,
    schedule: Schedule,
    objective: Objective,
    dataset: grain.MapDataset,
    key: Key,
    *,
    folder: str | Path,
    steps: int,
    description: dict[str, Any],
    ema_decay: float = 0.999,
    cadence: Cadence = Cadence(),
    preview: Images | None = None,
    state_sharding: StateSharding = replicated,
    mesh: Mesh | None = None,
) -> TrainState:
    """Train a prox network, from the newest checkpoint in the folder where there is one.

    Args:
        network: network to train.
        optimizer: optax transformation, clipping and learning rate included.
        schedule: distribution of the levels, see `make_step`.
        objective: loss of one residual, see `matching_objective`.
        dataset: `dataset[step]` is this process's part of a batch, `[B, H, W, C]` in [-1, 1].
        key: key of the run.
        folder: where checkpoints, scalars and sheets go.
        steps: number of steps of the whole run, the resumed ones included.
        description: what the state belongs to (network, optimizer) as JSON; a checkpoint of another is refused.
        ema_decay: largest decay of the average of the parameters.
        cadence: how often to log, save and draw.
        preview: images `[N, H, W, C]` in [-1, 1] for the sheets; no sheets if None.
        state_sharding: where the state lives; `replicated` is data parallel, `fully_sharded` FSDP.
        mesh: devices to use; all of them if None.

    Returns:
        The state after the last step, or that at which SIGTERM or Ctrl-C arrived.

    Raises:
        NotFiniteError: if the loss of a step, which is named, is NaN or infinite.
        ValueError: if the folder's checkpoint belongs to another network or optimizer, or if no checkpoint reads.
    """
    mesh = device_mesh() if mesh is None else mesh
    key_init, key_run = jax.random.split(key)
    init = lambda k: init_state(k, network, optimizer)  # noqa: E731
    shapes = jax.eval_shape(init, key_init)
    shardings = state_sharding(mesh, shapes)

    with checkpoint.open_checkpoints(Path(folder) / "checkpoints") as checkpoints, _stop_signal() as stopped:
        target = jax.tree.map(lambda s, sh: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sh), shapes, shardings)
        found = checkpoint.load(checkpoints, target, description)
        # Made under jit with its shardings, so that no device ever holds more than its part.
        start, state = found if found else (0, jax.jit(init, out_shardings=shardings)(key_init))
        if start >= steps:
            return state
        step_fn = jax.jit(
            make_step(network, optimizer, schedule, objective, ema_decay),
            donate_argnums=0,
            out_shardings=(shardings, None),
        )
        batches = prefetched(dataset, start)
        sharding = batch_sharding(mesh)
        writer = ScalarWriter(folder, start) if jax.process_index() == 0 else None
        pending: list[dict[str, jax.Array]] = []
        clock, clock_step = time.perf_counter(), start

        with _progress(steps, start) as show:
            for step in range(start + 1, steps + 1):
                local = next(batches)
                batch = jax.make_array_from_process_local_data(sharding, local)
                state, scalars = step_fn(state, batch, key_run)
                pending.append(scalars)
                last = step == steps or stopped()
                save = last or step % cadence.save == 0
                if last or save or step % cadence.log == 0:
                    means = _mean_scalars(pending, step)
                    rate = (step - clock_step) * batch.shape[0] / (time.perf_counter() - clock)
                    pending, clock, clock_step = [], time.perf_counter(), step
                    show(step, means["loss"], rate)
                    if writer:
                        writer.write(step, dict(means, images_per_second=rate))
                if save:
                    checkpoint.save(checkpoints, step, state, description, means["loss"])
                if writer and preview is not None and cadence.sheet and (last or step % cadence.sheet == 0):
                    sheet = preview_sheet(network, jax.device_get(state.ema), preview, schedule)
                    save_image(Path(folder) / "sheets" / f"{step:07d}.png", sheet)
                    writer.image(step, "denoised", sheet)
                if last:
                    break
        if writer:
            writer.close()
    return state


def preview_sheet(network: Preconditioned, params: PyTree, images: Images, schedule: Schedule) -> np.ndarray:
    """A picture of what the network does: images, and noisy and restored ones at four levels.

    Args:
        network: network.
        params: its parameters.
        images: clean images `[N, H, W, C]` in [-1, 1].
        schedule: the levels lam(t) at t = 0.3, 0.5, 0.7, 0.9 are shown.
    """
    images = np.asarray(images)
    noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    rows = [images]
    for t in (0.3, 0.5, 0.7, 0.9):
        lam = np.full(len(images), schedule.lam(t), np.float32)
        noisy = images + np.sqrt(lam)[:, None, None, None] * noise
        rows += [noisy, np.asarray(_apply(network, params, noisy, lam))]
    return image_sheet(np.stack(rows))


_apply = jax.jit(lambda network, params, u, lam: network.apply(params, u, lam), static_argnums=0)


def _mean_scalars(pending: list[dict[str, jax.Array]], step: int) -> dict[str, float]:
    values = {name: np.array([float(scalars[name]) for scalars in pending]) for name in pending[0]}
    bad = np.flatnonzero(~np.isfinite(values["loss"]) | ~np.isfinite(values["grad_norm"]))
    if len(bad):
        first = step - len(pending) + 1 + int(bad[0])
        raise NotFiniteError(
            f"The loss of step {first} is {values['loss'][bad[0]]} (norm of its gradient: {values['grad_norm'][bad[0]]}). "
            "Nothing was saved after it. Start again from the newest checkpoint with a lower learning rate, a smaller "
            "clipping norm, or float32 where bfloat16 was used."
        )
    return {name: float(np.mean(value)) for name, value in values.items()}


@contextlib.contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into a flag while training, so that a step is never cut in two."""
    received: list[int] = []
    signals = (signal.SIGTERM, signal.SIGINT)
    try:
        before = [signal.signal(number, lambda number, frame: received.append(number)) for number in signals]
    except ValueError:  # signals can be caught in the main thread only; elsewhere the caller's handlers stay
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(steps: int, start: int) -> Iterator[Callable[[int, float, float], None]]:
    columns = (
        SpinnerColumn(),
        TextColumn("step {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.0f} images/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=jax.process_index() != 0) as progress:
        task = progress.add_task("train", total=steps, completed=start, loss=float("nan"), rate=0.0)
        yield lambda step, loss, rate: progress.update(task, completed=step, loss=loss, rate=rate)
