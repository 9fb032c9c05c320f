"""The rows of the operators' law tables, a file a family: `ROWS` of linear ones, `NONLINEAR` of the others."""

import importlib
import pkgutil

_FAMILIES = [importlib.import_module(f"operator_rows.{module.name}") for module in pkgutil.iter_modules(__path__)]
ROWS = {name: row for family in _FAMILIES for name, row in getattr(family, "ROWS", {}).items()}
NONLINEAR = {name: row for family in _FAMILIES for name, row in getattr(family, "NONLINEAR", {}).items()}
