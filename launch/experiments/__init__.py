"""Experiments with known answers: each has `run(config, key) -> Findings`, which `launch.toys` calls."""
