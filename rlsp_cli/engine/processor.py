"""The processor of this machine."""

import platform
from functools import cache
from pathlib import Path


@cache
def processor_name() -> str:
    """The processor's name; Linux alone says more than the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
