"""The doors of the library: `python -m launch.train`, `.restore`, `.evaluate`, `.prepare`; each knows --help."""
