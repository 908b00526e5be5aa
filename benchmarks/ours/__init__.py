"""The cases as Gemel solves them; each module has ``run(case, n, repeat)`` that returns a row."""
