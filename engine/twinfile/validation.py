"""What pydantic finds wrong with the form of a twin file, as sentences with their places."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gemel.engine.twinfile.errors import Path, Place, TwinFileError
from gemel.engine.twinfile.schema import Document
from gemel.engine.twinfile.sensors import kinds_of
from gemel.names import listed, meant, nearest


def from_validation(error: ValidationError, place: Place, tree: Any) -> dict[Path, tuple[Any, TwinFileError]]:
    """The mistakes that pydantic found in ``tree`` by their places: what it says, and that as one sentence.

    Unknown keys come first, then all by depth. Of those at one place, or in and around it, only the first: what no
    branch of a union takes is one mistake, and so is a misspelt key with the one that is missing for it.
    """
    ordered = sorted(error.errors(), key=lambda item: (item["type"] != "extra_forbidden", len(item["loc"])))
    found: dict[Path, tuple[Any, TwinFileError]] = {}
    slips: set[Path] = set()
    for item in ordered:
        path = tuple(written_path(item["loc"], tree, item["type"] == "missing"))
        if path in slips or any(path[: len(other)] == other or other[: len(path)] == path for other in found):
            continue
        found[path] = item, _sentence(item, path, place, tree)
        if meant_path := intended(path, item):
            slips.add(meant_path)  # which would be told to be missing
    return found


def intended(path: Path, item: Any) -> Path | None:
    """The place of the key that was probably meant by an unknown one; None of other mistakes, or where none is near."""
    if item["type"] != "extra_forbidden":
        return None
    near = nearest(str(path[-1]), allowed_keys(item["loc"][:-1]))
    return None if near is None else (*path[:-1], near)


def _sentence(first: Any, path: Path, place: Place, tree: Any) -> TwinFileError:
    where = place
    for key in path:
        where = where / key
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        known = allowed_keys(first["loc"][:-1])
        allowed = f": allowed are {listed(str(path[-1]), known)}" if known else "."
        return where.error(f"unknown key '{path[-1]}'{allowed}")
    if kind == "missing":
        what = "the table [model]" if path == ("model",) else f"the key '{path[-1]}'"
        return where.error(f"{what} is missing.")
    if kind in ("too_short", "too_long"):
        least, most = (first["ctx"].get(key) for key in ("min_length", "max_length"))
        length = f"at least {least}" if most is None else f"at most {most}"
        return where.error(f"its length must be {length}, not {first['ctx']['actual_length']}.")
    if kind == "literal_error":
        return where.error(_choice(first.get("input"), first["ctx"]["expected"]))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _of_tag(first, path, where, tree)
    if kind == "string_pattern_mismatch":
        signs = "letters, digits, '_', '-' and '.', the first one a letter or a digit"
        return where.error(f"it must be made of {signs}, not {_written(first)}.")
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return where.error(f"it must be {words} {first['ctx'][key]:g}, not {_written(first)}.")
    if kind in _WANTED:
        keys = f" with the keys {', '.join(allowed_keys(first['loc']))}" if kind == "model_type" else ""
        return where.error(f"{_WANTED[kind]}{keys} is wanted, not {_written(first)}.")
    return where.error(f"{message[0].lower()}{message[1:]} (got {_written(first)}).")


def _of_tag(first: Any, path: Path, where: Place, tree: Any) -> TwinFileError:
    """What is wrong with the key that says which kind of table one is."""
    key, model = str(first["ctx"]["discriminator"]).strip("'"), tree.get("model")
    known = isinstance(model, dict) and path[0] in ("sensors", "candidates")
    kinds = kinds_of(model.get("physics"), model.get("analysis")) if known else ()
    expected = ", ".join(f"'{kind}'" for kind in kinds) or first["ctx"].get("expected_tags")
    if first["type"] == "union_tag_not_found":
        return (where / key).error(f"the key '{key}' is missing" + (f": choose {expected}." if expected else "."))
    return (where / key).error(_choice(first["ctx"]["tag"], expected))


def _choice(given: Any, expected: str) -> str:
    """The refusal of a word that is none of those expected, each in quotes."""
    known = expected.split("'")[1::2]
    return f"'{given}' is not allowed: choose {expected}.{meant(str(given), known) if len(known) > 1 else ''}"


_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""What a number must be, by the kind of mistake that pydantic finds, and where that says the bound."""

_WANTED = {
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
    "list_type": "a list",
    "string_type": "text in quotes, such as a quantity with its unit,",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What a key takes, by the kind of mistake that pydantic finds."""


_LONG = 60
"""Signs of what was written that are quoted at most."""


def _written(mistake: Any) -> str:
    """What was written, as TOML writes it where it is short."""
    given = mistake.get("input")
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, dict | list) and len(repr(given)) > _LONG:
        return "a table" if isinstance(given, dict) else "a list"
    return f'"{given}"' if isinstance(given, str) else repr(given)


def written_path(loc: Sequence[str | int], tree: Any, missing: bool) -> list[str | int]:
    """A path of pydantic's without the branches of unions that it adds: what the file itself has, and the last key
    where that is one that is ``missing``.
    """
    path: list[str | int] = []
    node: Any = tree
    for position, key in enumerate(loc):
        last = position == len(loc) - 1
        known = (isinstance(node, dict) and key in node) or (isinstance(node, list) and isinstance(key, int))
        if not known:
            if last and missing and isinstance(node, dict | list):
                path.append(key)
            continue
        below: Any = node[key]  # pyright: ignore[reportArgumentType, reportCallIssue]
        if not last and not isinstance(below, dict | list):  # what follows are branches, or this is one
            after = loc[position + 1]
            if after in node or (missing and position + 2 == len(loc)):
                continue
            return [*path, key]
        path.append(key)
        node = below
    return path


def allowed_keys(loc: Sequence[str | int]) -> list[str]:
    """The keys that the schema knows at a path of pydantic's."""
    model = _annotation(loc)
    return sorted(_fields(model)) if isinstance(model, type) and issubclass(model, BaseModel) else []


def field_at(loc: Sequence[str | int]) -> FieldInfo | None:
    """What the schema says of the key at the end of a path of pydantic's; None where it is the entry of a table or a
    list.
    """
    model = _annotation(loc[:-1])
    return _fields(model).get(str(loc[-1])) if isinstance(model, type) and issubclass(model, BaseModel) else None


def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of a table by the keys that a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _annotation(loc: Sequence[str | int]) -> Any:
    """What the schema wants at a path: a table, or a type that holds several."""
    model: Any = Document
    for key in loc:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            model = _pick(model, key)
            continue
        field = _fields(model).get(str(key))
        model = _pick(field.annotation, None) if field else model
    return model


def _pick(annotation: Any, key: Any) -> Any:
    """The table inside an annotation: of a dict its value, of a list its item, of a union the branch ``key``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    tables = _tables(annotation)
    for table in tables:
        literals = [get_args(field.annotation) for field in table.model_fields.values()]
        if key == table.__name__ or any(key in values for values in literals):
            return table
    return tables[0] if len(tables) == 1 else annotation


def _tables(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables(part)]
