"""The generated code is that of the proto files, which keep the rules of buf."""

import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from gemel.bindings.proto.generate import GENERATED, PACKAGE, PROTO, generate, protoc, sources


def test_generated_descriptors_are_up_to_date(tmp_path: Path) -> None:
    protoc(f"--descriptor_set_out={tmp_path / 'set'}")
    fresh = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes())
    for file in fresh.file:
        module: Any = importlib.import_module(f"{PACKAGE}.{file.name.removesuffix('.proto').replace('/', '.')}_pb2")
        kept = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for message in _messages(file):
            for field in message.field:
                field.ClearField("json_name")
        assert kept == file, f"{file.name} has changed: run 'make proto'"


def _messages(parent: Any) -> list[Any]:
    children = list(getattr(parent, "message_type", getattr(parent, "nested_type", [])))
    return [message for child in children for message in (child, *_messages(child))]


def test_generating_makes_the_files_that_are_kept(tmp_path: Path) -> None:
    generate(tmp_path / "generated")
    names = {path.relative_to(tmp_path / "generated") for path in (tmp_path / "generated").rglob("*.py*")}
    kept = {path.relative_to(GENERATED) for path in GENERATED.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    assert names == kept
    assert len(sources()) == 4


@pytest.mark.slow
def test_the_rules_of_buf() -> None:
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("npx is missing: the proto files are not linted")
    command = [npx, "--yes", "@bufbuild/buf"]
    if subprocess.run([*command, "--version"], capture_output=True, timeout=120).returncode != 0:
        pytest.skip("@bufbuild/buf cannot be had from npm: the proto files are not linted")
    lint = subprocess.run([*command, "lint"], cwd=PROTO, capture_output=True, text=True, timeout=120)
    assert lint.returncode == 0, lint.stdout + lint.stderr
