"""The mapping files, read, laid over one another, and checked against each other.

A file that can't be used is refused here, at start: with the file, the path in it, what was found, what is known.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapter.declarations import decode, overlay, read_yaml
from adapter.errors import DeclarationError
from adapter.mapping.graphs import plan_graph
from adapter.mapping.model import GRAPH, WRITES, Model, Unit
from adapter.mapping.removals import plan_removals
from adapter.mapping.resource_files import check_derivation, resource_from
from adapter.mapping.schema import ResourceFile, UnitsFile
from adapter.mapping.unit_files import units_from
from adapter.mapping.write_files import writes_from
from adapter.mapping.write_schema import WritesFile
from adapter.mapping.writes import Writes

UNITS_FILE = "units.yaml"
GRAPH_FILE = f"{GRAPH}.yaml"
WRITES_FILE = f"{WRITES}.yaml"
OTHER_FILES = frozenset({"connect.yaml", "provider.yaml", UNITS_FILE})


def load_model(directories: Sequence[Path]) -> Model:
    """The model from a directory of files with overrides laid over it field by field; DeclarationError otherwise."""
    files = _files(directories)
    if UNITS_FILE not in files:
        raise DeclarationError(str(directories[0] / UNITS_FILE), "", "is missing")
    units_data, units_path = files.pop(UNITS_FILE)
    units_decl = decode(units_data, UnitsFile, units_path)
    units = units_from(units_decl, units_path)
    graph = files.pop(GRAPH_FILE, None)
    writes = _writes(files.pop(WRITES_FILE, None), units)
    decls = {name: (decode(data, ResourceFile, path), path) for name, (data, path) in files.items()}
    resources = {decl.resource: resource_from(name, decl, path, units) for name, (decl, path) in sorted(decls.items())}
    for decl, path in decls.values():
        check_derivation(decl, path, resources)
    return Model(
        units=units,
        resources=resources,
        removals=plan_removals(units_decl.removals, units_path),
        graph=plan_graph(*graph, resources) if graph else None,
        writes=writes,
    )


def _writes(file: tuple[dict[str, Any], str] | None, units: Mapping[str, Unit]) -> Writes | None:
    """What can be written; None for a provider that is only read."""
    if file is None:
        return None
    data, path = file
    return writes_from(decode(data, WritesFile, path), path, units)


def _files(directories: Sequence[Path]) -> dict[str, tuple[dict[str, Any], str]]:
    """File name -> its data after overlays, and the last file that had a say, which errors then name."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for directory in directories:
        if not directory.is_dir():
            raise DeclarationError(str(directory), "", "is not a directory of mapping files")
        for path in sorted(directory.glob("*.yaml")):
            if path.name.endswith(".cases.yaml") or (path.name in OTHER_FILES and path.name != UNITS_FILE):
                continue
            data = read_yaml(path)
            base = found[path.name][0] if path.name in found else {}
            found[path.name] = (overlay(base, data), str(path))
    return found
