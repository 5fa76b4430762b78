"""A served model in a thread of the test's own process, where the engine is loaded already."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from transformers import LlamaConfig, LlamaForTokenClassification, PreTrainedTokenizerFast

from rlsp_cli.backends.local.model_server.app import ModelServer
from rlsp_cli.backends.local.model_server.model import Model, load
from rlsp_cli.child.port import held_port
from rlsp_cli.rewards.models import Address

KEY = "secret"


def byte_classifier(
    folder: Path, tokenizer: PreTrainedTokenizerFast, classes: int = 2, hidden_size: int = 16
) -> Path:
    """A folder with this tokenizer and a classifier of one layer, with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        num_labels=classes,
        initializer_range=0.5,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def serving_model(folder: Path) -> Iterator[tuple[Address, Model]]:
    """The address of a folder's model, and the model."""
    model = load(str(folder), 0, "auto")
    with held_port() as port:
        app = ModelServer(model, KEY).app()
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Address(f"http://127.0.0.1:{port}/v1", str(folder), KEY), model
        finally:
            server.should_exit = True
            thread.join()
