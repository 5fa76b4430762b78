"""Which number format a model is computed in."""

from pathlib import Path

import pytest
import torch

from rlsp_cli.engine import precision
from rlsp_cli.engine.precision import autocast, computes_in_bfloat16


def model(parameters: int) -> torch.nn.Module:
    with torch.device("meta"):
        large = torch.nn.Linear(parameters, 1, bias=False)
    large.weight = torch.nn.Parameter(torch.empty(1).expand(1, parameters), requires_grad=False)
    return large


@pytest.mark.parametrize(
    ("gain", "parameters", "expected"),
    [
        (8.0, 135_000_000, True),
        (1.2, 135_000_000, False),
        (8.0, 227_000, False),
        (0.01, 135_000_000, False),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_it_is_faster_and_the_model_is_large(
    gain: float, parameters: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_gain", lambda: gain)
    assert computes_in_bfloat16(model(parameters), "auto") == expected
    assert computes_in_bfloat16(model(parameters), "bfloat16")
    assert not computes_in_bfloat16(model(parameters), "float32")
    with autocast(model(parameters), "auto"):
        assert torch.is_autocast_enabled("cpu") == expected


def test_the_gain_of_this_cpu_is_measured_once_on_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSP_CACHE_DIR", str(tmp_path))
    precision._cpu_gain.cache_clear()
    gain = precision._cpu_gain()
    assert 0.001 < gain < 100

    # Another process would find the file; what another one wrote into it counts.
    precision._cpu_gain.cache_clear()
    assert precision._cpu_gain() == gain
    (file,) = tmp_path.glob("bfloat16/*/gain")
    file.write_text("7.5")
    precision._cpu_gain.cache_clear()
    assert precision._cpu_gain() == 7.5
    precision._cpu_gain.cache_clear()
