"""The messages and services of the wire: sources under ``gemel/v1``, generated Python under ``generated``."""
