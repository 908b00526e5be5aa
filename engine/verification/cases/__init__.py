"""The cases, one file a chapter."""
