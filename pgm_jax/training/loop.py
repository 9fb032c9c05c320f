"""The training loop, from top to bottom: resume, step, check, write, stop.

What happens to a run that stops:
    1. killed at any moment, it resumes from the newest sound checkpoint and ends at the same bits;
    2. on SIGTERM or Ctrl-C it finishes its step, saves and raises `Interrupted`; the next one ends it at once;
    3. on a loss, gradient or parameter that is not finite it stops, names the step and saves nothing from it on;
    4. finished, it does nothing when started again; with more steps it continues;
    5. where the scalars of steps are there and no checkpoint is, it refuses to start from the beginning.
"""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, PyTree
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pgm_jax.files import local_path
from pgm_jax.training import checkpoint
from pgm_jax.training.checkpoint import CheckpointError
from pgm_jax.training.denoising import denoising_psnr
from pgm_jax.training.draws import Draws, as_draws
from pgm_jax.training.hosts import on_any, together
from pgm_jax.training.losses import Objective
from pgm_jax.training.sharding import device_mesh, replicated, whole
from pgm_jax.training.step import Network, TrainState, init_state, make_step
from pgm_jax.training.writers import ScalarWriter
from pgm_jax.types import Images, Key, Schedule, as_key

GRACE = 1.0  # seconds in which a second signal is taken for the first: `timeout` and some launchers send it twice
NAMES: dict[int, str] = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


@dataclasses.dataclass(frozen=True)
class Cadence:
    """How often, in steps, a run logs, saves and draws sheets.

    Attributes:
        log: write scalars and look for NaNs.
        save: write a checkpoint.
        sheet: draw a sheet of images; 0 for never.
    """

    log: int = 50
    save: int = 500
    sheet: int = 1000

    def __post_init__(self):
        if min(self.log, self.save) < 1 or self.sheet < 0:
            raise ValueError(f"{self}: log and save are at least 1 step, sheet at least 0.")


class NotFiniteError(RuntimeError):
    """The loss of a step, its gradient or the parameters after it were NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """A signal ended a training before its last step; `state` is saved, `number` is that of the signal."""

    def __init__(self, state: TrainState, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name} at step {int(state.step)}")
        self.state, self.number = state, number


def train(
    key: Key,
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: Schedule | Draws,
    objective: Objective,
    dataset: grain.MapDataset,
    *,
    folder: str | Path,
    steps: int,
    ema_decay: float = 0.999,
    cadence: Cadence = Cadence(),
    preview: Images | Float[np.ndarray, "n h w c"] | None = None,
    state_sharding: Callable[[Mesh, PyTree], PyTree] = replicated,
    mesh: Mesh | None = None,
    start: PyTree | None = None,
    held_out: Float[np.ndarray, "held height width c"] | None = None,
) -> TrainState:
    """Train a network, from the newest checkpoint in the folder where there is one.

    A checkpoint of another network or another kind of optimizer is refused. What may change on the way are numbers,
    such as the learning rate, and the type of the computation.

    Args:
        key: key of the run.
        network, optimizer, schedule, objective, ema_decay: as for `make_step`.
        dataset: `dataset[step]` is this process's part of a batch, `[B, H, W, C]` in [-1, 1].
        folder: where checkpoints, scalars and sheets go.
        steps: number of steps of the whole run, the resumed ones included.
        cadence: how often to log, save and draw.
        preview: images `[N, H, W, C]` in [-1, 1] for the sheets; no sheets if None.
        state_sharding: (mesh, shapes of the state) -> its shardings: `replicated` (data parallel) or `fully_sharded`.
        mesh: devices to use; all of them if None.
        start: parameters of a new run in place of random ones, of the whole network or of a part of it.
        held_out: images `[M, K, L, C]` in [-1, 1] that are not trained on. Whenever a checkpoint is written, the PSNR
            of what the averaged network makes of them under noise is logged, see `denoising_psnr`.

    Returns:
        The state after the last step.

    Raises:
        Interrupted: after SIGTERM or Ctrl-C, once the step is finished and saved; it holds the state.
        NotFiniteError: if the loss of a step, which is named, its gradient or the parameters after it are not finite.
        TypeError: if `key` is no key.
        ValueError: if there are no steps, the decay is not in [0, 1), the devices do not divide a batch, `start` does
            not fit the network, or another process trains in the folder.
        CheckpointError: if the folder's checkpoint belongs to another network or optimizer, no checkpoint is sound, or
            there is none and there are the scalars of a run.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a run has at least 1.")
    key, folder, mesh = as_key(key), local_path(folder), device_mesh() if mesh is None else mesh
    if (count := len(np.asarray(dataset[0])) * jax.process_count()) % mesh.size:
        raise ValueError(f"{mesh.size} devices do not divide a batch of {count} images; give a multiple of them.")
    key_init, key_run = jax.random.split(key)
    init = lambda k, start: init_state(k, network, optimizer, start)  # noqa: E731
    shapes = jax.eval_shape(init, key_init, start)
    description, shardings = _identity(network, shapes.opt_state), state_sharding(mesh, shapes)
    target = jax.tree.map(lambda s, sh: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sh), shapes, shardings)
    step_fn = make_step(network, optimizer, schedule, objective, ema_decay)
    step_fn = jax.jit(step_fn, donate_argnums=0, out_shardings=(shardings, None))

    with contextlib.ExitStack() as stack:
        stopped = stack.enter_context(_stop_signal())
        checkpoints = stack.enter_context(checkpoint.open_checkpoints(folder / "checkpoints"))
        found = checkpoint.load(checkpoints, target, description)
        if found is None:
            _refuse_history(folder)
            # Made under jit with its shardings, so that no device ever holds more than its part.
            found = checkpoint.Found(0, jax.jit(init, out_shardings=shardings)(key_init, start), None)
            # From here on, scalars without a checkpoint mean that something was lost.
            checkpoint.save(checkpoints, 0, found.state, description, math.inf)
            checkpoint.wait(checkpoints)
        begun, state, carried = found
        if begun >= steps:
            _say(f"The run in {folder} has taken {begun} steps of {steps}: nothing is left to do.")
            return state
        if begun:
            _say(f"Going on from step {begun} of {steps} in {folder}.")
        ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
        batches, sharding = iter(dataset[begun:].to_iter_dataset(ahead)), NamedSharding(mesh, PartitionSpec("data"))
        with together():
            writer = stack.enter_context(ScalarWriter(folder, begun)) if jax.process_index() == 0 else None
        show = stack.enter_context(_progress(steps, begun))
        pending: list[dict[str, Any]] = carried or []  # scalars of the steps since those that were written last
        clock, clock_step = time.perf_counter(), begun
        quality: dict[str, float] = {}

        for step in range(begun + 1, steps + 1):
            batch = jax.make_array_from_process_local_data(sharding, next(batches))
            state, scalars = step_fn(state, batch, key_run)
            pending.append(scalars)
            stop = _agreed(stopped(), step == steps or step % cadence.log == 0)
            # Not where it stops: the scalars of a run that is stopped and resumed are those of one left alone.
            log = step == steps or step % cadence.log == 0 or step % cadence.save == 0
            if log or stop:
                means = _mean_scalars(pending, step)
            if log:  # before what the checkpoint takes
                rate = (step - clock_step) * count / (time.perf_counter() - clock)
            if held_out is not None and (step == steps or step % cadence.save == 0):
                means |= denoising_psnr(network, whole(state.ema), jnp.asarray(held_out))
                quality = {name: means[name] for name in means if name.startswith("psnr")}
            if log:
                if writer:
                    writer.write(step, dict(means, images_per_second=rate))
                show(step, means["loss"], rate, (steps - step) * count / rate, quality)
                pending = []
            if stop or step == steps or step % cadence.save == 0:
                if writer:
                    writer.flush()
                carried = [{name: float(value) for name, value in scalars.items()} for scalars in pending]
                checkpoint.save(checkpoints, step, state, description, means["loss"], carried)
            if log or step == begun + 1:  # the first step compiles, which is no part of the rate
                clock, clock_step = time.perf_counter(), step
            if preview is not None and cadence.sheet and (step == steps or step % cadence.sheet == 0):
                ema = whole(state.ema)
                if writer:
                    writer.sheet(step, _preview(network, ema, preview, schedule))
            if stop:
                break
    if step < steps:
        by = NAMES[number] if (number := stopped()) else "another process"
        _say(f"Stopped by {by} at step {step} of {steps}, which is saved; start again to go on.")
        raise Interrupted(state, number or signal.SIGTERM)
    return state


def _refuse_history(folder: Path) -> None:
    """Raise a CheckpointError where a run has left scalars or damaged checkpoints, and no sound checkpoint is there."""
    scalars = folder / "metrics.jsonl"
    damaged = sorted(path.name for path in (folder / "checkpoints").glob("*.damaged*") if path.name[0] != "0")
    if damaged or (scalars.is_file() and scalars.stat().st_size):
        what = f"Its damaged ones are {', '.join(damaged)}." if damaged else f"{scalars.name} tells of steps."
        raise CheckpointError(
            f"The run in {folder} has taken steps, and no sound checkpoint is there. {what} Put checkpoints back, "
            "named by their step, or give another folder. To start from the beginning, remove what is there "
            "(launch.train: --restart)."
        )


def _identity(network: Network, opt_state: PyTree) -> dict[str, Any]:
    """What gives a state its shapes and its meaning; the parameters have one type, whatever that of the computation."""

    def fields(value: Any) -> dict[str, Any]:
        names = {field.name for field in dataclasses.fields(value)} - {"parent", "name", "dtype"}
        return {name: getattr(value, name) for name in names}

    def kinds(node: Any) -> list[str]:
        own = [type(node).__name__] if hasattr(node, "_fields") else []
        return own + [kind for child in node for kind in kinds(child)] if isinstance(node, tuple) else []

    described = fields(network)
    module = described.pop("module")
    described[type(module).__name__.lower()] = fields(module)
    identity = dict(network=described, optimizer=kinds(opt_state))
    return json.loads(json.dumps(identity, default=lambda value: getattr(value, "__name__", str(value))))


def _preview(
    network: Network, params: PyTree, images: Images | Float[np.ndarray, "n h w c"], schedule: Schedule | Draws
) -> np.ndarray:
    """Images, and noisy and restored ones, as the draws preview them."""
    rows, draws, key = [images], as_draws(schedule), jax.random.key(0)
    previews = getattr(draws, "previews", lambda key, images: [draws.draw(key, images)])
    for seen in previews(key, jnp.asarray(images)):
        rows += [seen.point, _apply(network, params, seen.point, *seen.conditions)]
    return np.stack([np.asarray(row) for row in rows])


_apply = jax.jit(lambda network, params, *seen: network.apply(params, *seen), static_argnums=0)


def _mean_scalars(pending: list[dict[str, Any]], step: int) -> dict[str, float]:
    values = {name: np.array([float(scalars[name]) for scalars in pending]) for name in pending[0]}
    loss, grad_norm, param_norm = (values[name] for name in ("loss", "grad_norm", "param_norm"))
    bad = np.flatnonzero(~np.isfinite(loss + grad_norm + param_norm))
    if len(bad):
        i = int(bad[0])
        raise NotFiniteError(
            f"Step {step - len(pending) + 1 + i} is not finite: its loss is {loss[i]}, the norm of the gradient "
            f"{grad_norm[i]}, that of the parameters after it {param_norm[i]}. Nothing was saved from it on. Look at "
            "its images, or start again, from the newest checkpoint, with a lower learning rate, a smaller clipping "
            "norm, or float32 where bfloat16 was used."
        )
    return {name: float(np.mean(value)) for name, value in values.items()}


@contextlib.contextmanager
def _stop_signal() -> Iterator[Callable[[], int | None]]:
    """Turn the first SIGTERM or Ctrl-C into its number while training, so that a step is never cut in two."""
    received: list[int] = []
    since: list[float] = []
    before: dict[int, Any] = {}

    def receive(number: int, frame: object) -> None:
        if received and time.monotonic() - since[0] > GRACE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)  # the operating system ends the process
        elif not received:
            received.append(number)
            since.append(time.monotonic())
            # Not print, which may be at work where the signal arrives.
            words = "finishing the step and saving; send it again to stop immediately."
            os.write(2, f"{NAMES[number]}: {words}\n".encode())

    try:
        for each in (signal.SIGTERM, signal.SIGINT):
            before[each] = signal.signal(each, receive)
    except ValueError:  # signals can be caught in the main thread only; elsewhere the caller's handlers stay
        pass
    try:
        yield lambda: received[0] if received else None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _agreed(stopped: int | None, log: bool) -> bool:
    # Several processes hear of it at different steps, and have to leave at the same one.
    if jax.process_count() == 1:
        return stopped is not None
    return log and on_any(stopped is not None)


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)


@contextlib.contextmanager
def _progress(steps: int, start: int) -> Iterator[Callable[[int, float, float, float, dict[str, float]], None]]:
    """Show (step, loss, images/s, seconds left, quality): as a bar on a terminal, as lines elsewhere."""

    def told(quality: dict[str, float]) -> str:
        return "".join(f"  {name.replace('_', ' ')} {value:.2f} dB" for name, value in quality.items())

    console = Console()
    if not console.is_terminal or jax.process_index() != 0:
        yield lambda step, loss, rate, left, quality: _say(
            f"step {step}/{steps}  loss {loss:.4f}{told(quality)}  {rate:.0f} images/s  left "
            f"{datetime.timedelta(seconds=round(left))}"
        )
        return
    columns = (
        SpinnerColumn(),
        TextColumn("step {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.4f}{task.fields[quality]}  {task.fields[rate]:.0f} images/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=steps, completed=start, loss=float("nan"), rate=0.0, quality="")
        yield lambda step, loss, rate, left, quality: progress.update(
            task, completed=step, loss=loss, rate=rate, quality=told(quality)
        )
