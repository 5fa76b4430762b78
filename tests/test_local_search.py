"""Search with a model of the embedded engine: step by step it writes what it would have written at once."""

from pathlib import Path

from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.evals.samplers import Decoding, Request, answers
from rlsp_cli.evals.search import Policy, Search, TreeLog
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.search import SearchUse

REQUESTS = [Request(f"{a}", f"{a} + 2 =") for a in range(4)]
GREEDY = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=24, seed=0)


def test_one_branch_of_greedy_steps_is_the_greedy_response(tmp_path: Path) -> None:
    spec = FromScratch(
        hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, max_length=64, init_std=0.4
    )
    # Whatever the random weights say, some of it ends a sentence.
    model = new_model(spec, ["0 1 2 3 4 + = a . ! ? ;"], seed=3)
    sampler = LocalSampler(*model, "float32", batch=4)
    whole = answers(sampler, REQUESTS, GREEDY)

    settings = SearchUse.model_validate({"steps": {"by": "sentences"}, "step_tokens": 7})
    policy = Policy("beam", {"beams": 1, "children": 1})
    log = TreeLog(tmp_path / "trees.jsonl")
    grown = {
        one.request.id: one
        for one in Search(sampler, policy, None, settings, log).grow(REQUESTS, GREEDY)
    }
    for request, response in zip(REQUESTS, whole, strict=True):
        found = grown[request.id]
        assert found.answer.response == response.text
        assert found.policy_tokens == response.num_tokens
    assert max(one.answer.depth for one in grown.values()) > 4
