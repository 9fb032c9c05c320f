"""Experiments with known answers, one a file: each is `run(config, key) -> Findings` for `launch.toys`."""
