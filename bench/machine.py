"""Where a measurement was made: processor, kernel, Python, and the versions of what took part."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("towline", "uvicorn", "uvloop", "websockets", "fastapi", "blake3", "sqlalchemy")


def machine_facts() -> dict[str, str | int | float]:
    """For JSON; versions of packages are under their names."""
    facts: dict[str, str | int | float] = {
        "cores": os.cpu_count() or 1,
        "cpu": _after(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def machine_line() -> str:
    """One sentence for a document."""
    facts = machine_facts()
    parts = [f"{facts['cores']} cores of {facts['cpu']}", f"{facts['memory_gib']} GiB of memory"]
    parts += [f"Linux {facts['kernel']}" if sys.platform == "linux" else str(facts["kernel"])]
    parts += [f"Python {facts['python']}", *(f"{name} {facts[name]}" for name in PACKAGES[:4])]
    return ", ".join(parts)


def _after(path: Path, name: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
