"""Timings of Gemel beside other codes on the same problems; `python -m benchmarks --list` names them."""
