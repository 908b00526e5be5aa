"""Generated from the proto files by bindings/proto/generate.py."""
