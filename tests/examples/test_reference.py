"""The reference of the twin file names every key that the schema knows, and every kind."""

import inspect
from pathlib import Path

from pydantic import BaseModel

from gemel.engine.twinfile import schema
from gemel.engine.twinfile.conditions import KINDS

TEXT = (Path(__file__).parents[2] / "examples" / "README.md").read_text(encoding="utf-8")


def test_every_key_is_in_the_reference():
    tables = [table for _, table in inspect.getmembers(schema, inspect.isclass) if issubclass(table, BaseModel)]
    keys = {field.alias or name for table in tables for name, field in table.model_fields.items()}
    top = {
        "mesh",
        "model",
        "materials",
        "conditions",
        "parameters",
        "inputs",
        "sensors",
        "data",
        "calibration",
        "experiments",
    }
    top |= {"candidates", "nodes", "boundaries", "links", "heats", "neural"}
    missing = sorted(key for key in keys - top - {"validation"} if f"`{key}`" not in TEXT and f"`{key}." not in TEXT)
    assert [key for key in missing if key not in ("input", "gain")] == []


def test_every_kind_is_in_the_reference():
    for kinds in KINDS.values():
        for kind in kinds:
            assert f"`{kind}`" in TEXT
