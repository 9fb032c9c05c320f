"""The README's Python example runs as it stands, and its commands name modules and files that exist."""

import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_example_runs():
    """As it stands."""
    (example, *_) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    scope: dict = {}
    exec(compile(example, "README.md", "exec"), scope)
    result, truth = scope["result"], scope["truth"]
    assert result.samples.shape == (4, 8, 32, 32, 1) and float(result.failed.max()) == 0
    assert float(scope["pgm"].metrics.psnr(result.mean, truth).mean()) > 20


def test_commands_exist():
    modules = set(re.findall(r"python -m ((?:launch|benchmarks)\.\w+)", README))
    assert {"launch.train", "launch.restore", "launch.evaluate", "benchmarks.overhead"} <= modules
    assert all(importlib.util.find_spec(module) for module in modules)
    assert all((ROOT / path).exists() for path in re.findall(r"--config=(\S+\.py)", README))
    assert all((ROOT / path).exists() for path in re.findall(r"!\[.*?\]\((\S+?)\)", README))
