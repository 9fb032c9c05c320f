"""The rows of the operators' law tables, a file a family: `ROWS` of linear ones, `NONLINEAR` of the others."""

import importlib
import pkgutil

FAMILIES = [importlib.import_module(f"operator_rows.{module.name}") for module in pkgutil.iter_modules(__path__)]
