"""A twin file with mistakes in its form, made good enough to be read on and to find the others."""

import copy
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gemel.engine.twinfile.errors import Path, Spoiled
from gemel.engine.twinfile.validation import field_at, intended
from gemel.names import nearest


def repaired(tree: Any, found: Mapping[Path, Any]) -> tuple[Any, Spoiled] | None:
    """A document without what is wrong in it, and what is not known of it for that reason.

    What may be left out is left out; what must be there gets a value of its type, which means nothing. None where too
    little is left, as without a physics.

    Args:
        tree: the document as data.
        found: what pydantic says of each mistake, by its place.
    """
    tree, paths, names = copy.deepcopy(tree), set(), set()
    for path, item in found.items():
        at = _repair(tree, path, item)
        if at is None:
            return None
        paths |= {path, at}
        if len(path) == 2:  # what others may name
            names.add(str(path[-1]))
        if meant_path := intended(path, item):
            paths.add(meant_path)
        if item["type"] == "extra_forbidden" and isinstance(item["input"], dict):
            names |= set(map(str, item["input"]))
    return tree, Spoiled(frozenset(paths), frozenset(names))


def _repair(tree: Any, path: Path, item: Any) -> Path | None:
    """Take away, or fill in, what stands at a path, or the smallest part around it with which that can be done; returns
    where that is, None where it is the whole document.
    """
    field = None if item["type"] == "extra_forbidden" else field_at(item["loc"])
    while path:
        parent, key = _node(tree, path[:-1]), path[-1]
        if parent is None:  # it has gone with what is around it
            return path
        if isinstance(parent, dict) and (field is None or not field.is_required()):
            parent.pop(key, None)
            return path
        value = None if field is None else _blank(field.annotation, field, item.get("input"))
        if value is not None:
            parent[key] = value
            return path
        path = path[:-1]
        field = field_at(path) if path else None
    return None


def _node(tree: Any, path: Path) -> Any:
    """What stands at a path; None where there is nothing."""
    for key in path:
        if isinstance(tree, dict):
            tree = tree.get(key)
        else:
            tree = tree[key] if isinstance(tree, list) and isinstance(key, int) and key < len(tree) else None
    return tree


def _blank(annotation: Any, field: FieldInfo | None = None, given: Any = None) -> Any:
    """A value of a type; of several words the one that was probably meant; None where there is none to be had."""
    if get_origin(annotation) is Literal:
        words = [word for word in get_args(annotation) if isinstance(word, str)]
        return nearest(str(given), words)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        values = {
            name: _blank(one.annotation, one) for name, one in annotation.model_fields.items() if one.is_required()
        }
        return None if None in values.values() else values
    origin = get_origin(annotation) or annotation
    if origin is list:
        least = max((getattr(one, "min_length", 0) for one in (field.metadata if field else ())), default=0)
        return [_blank(get_args(annotation)[0])] * least
    plain: dict[Any, Any] = {str: "x", float: 1.0, int: 1, bool: False, dict: {}}
    if origin in plain:
        return plain[origin]
    return next((value for one in get_args(annotation) if (value := _blank(one)) is not None), None)
