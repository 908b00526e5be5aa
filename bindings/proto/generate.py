"""Generates the Python of the wire from its proto files: ``python bindings/proto/generate.py``.

protoc writes imports of the proto package (``from gemel.v1 import ...``), which is not where the modules
live: they are rewritten to the one place they have, ``gemel.bindings.proto.generated.gemel.v1``.
"""

import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

PROTO = Path(__file__).resolve().parent
GENERATED = PROTO / "generated"
PACKAGE = "gemel.bindings.proto.generated"


def sources() -> list[Path]:
    """The proto files, in the order of their names."""
    return sorted((PROTO / "gemel").rglob("*.proto"))


def protoc(*arguments: str) -> None:
    """Run the protoc of grpcio-tools on the sources; raises `RuntimeError` where it refuses them."""
    from grpc_tools import protoc as tool

    include = str(files("grpc_tools") / "_proto")
    command = ["protoc", f"-I{PROTO}", f"-I{include}", *arguments, *(str(path) for path in sources())]
    if tool.main(command) != 0:
        raise RuntimeError("protoc refused the proto files: its words are above.")


def rewrite(text: str) -> str:
    """A generated module with absolute imports of its neighbours, which type checkers leave alone."""
    absolute = f"from {PACKAGE}.gemel.v1 import"
    return "# type: ignore\n" + re.sub(r"^from gemel\.v1 import", absolute, text, flags=re.MULTILINE)


def generate(folder: Path) -> None:
    """Write the package ``folder`` anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    protoc(f"--python_out={folder}", f"--pyi_out={folder}", f"--grpc_python_out={folder}")
    for path in folder.rglob("*.py*"):
        path.write_text(rewrite(path.read_text()))
    for package in (folder, folder / "gemel", folder / "gemel" / "v1"):
        (package / "__init__.py").write_text('"""Generated from the proto files by bindings/proto/generate.py."""\n')


if __name__ == "__main__":
    generate(GENERATED)
    sys.stdout.write(f"{len(sources())} proto files -> {GENERATED}\n")
