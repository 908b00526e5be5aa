"""What a reader must know of the machine, and nothing that names it or its user."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def describe() -> dict[str, object]:
    """CPU, cores, load, system and the revision of the code."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "revision": _revision(),
    }


def slug(machine: dict[str, object], device: str) -> str:
    """A file name's part such as ``amd-epyc-2c-cpu``."""
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']}c {device}".lower()).strip("-")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.is_file() else []
    return " ".join((names[0] if names else platform.processor() or "unknown CPU").split())


def _revision() -> str:
    """The commit, with ``+`` where the measured code differs from it."""
    git = ["git", "-C", str(ROOT)]
    code = ["engine", "solvers", "meshes", "src", "benchmarks/ours", "benchmarks/peers"]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *code], capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.returncode else "")
