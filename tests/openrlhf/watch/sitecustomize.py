"""Python's own hook of start-up, in each process of a job: write down what tokens are paid.

With this folder on PYTHONPATH, the first rollout whose advantages OpenRLHF computes goes to the file
of OBSERVED_PAY, a row for each response: its prompt, and for each of its tokens the text up to there
and the reward that it is paid, without the penalty for KL; the tokens of the whole sequence, and the
places of those that the model is trained on.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from pathlib import Path


class Watch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Changes `rlsp_dense` once it is imported; everything else stays as it is."""

    def find_spec(self, name, path, target=None):
        if name != "rlsp_dense":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        self.inner, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.inner.create_module(spec)

    def exec_module(self, module):
        self.inner.exec_module(module)
        module.pay_steps = watched(module.pay_steps)


def watched(pay_steps):
    """The same function; what it returns writes rewards down."""

    def paying(module, compute):
        computed, seen = pay_steps(module, compute), []
        reward = module.compute_reward

        def compute_reward(r, kl_coef, kl, *others, **named):
            rewards = reward(r, kl_coef, kl, *others, **named)
            seen.append(rewards + kl_coef * kl)
            return rewards

        def compute_advantages_and_returns(self, experiences):
            done = computed(self, experiences)
            write(Path(os.environ["OBSERVED_PAY"]), self.tokenizer, experiences, seen)
            return done

        module.compute_reward = compute_reward
        return compute_advantages_and_returns

    return paying


def write(path, tokenizer, experiences, rewards):
    """The rows of a rollout, unless one is there."""
    if path.exists():
        return
    lines = []
    for experience, paid in zip(experiences, rewards, strict=True):
        for row, tokens in enumerate(experience.sequences.tolist()):
            places = experience.action_mask[row].nonzero().flatten().tolist()
            # Position t of the mask is about the choice of token t + 1.
            until = [tokenizer.decode(tokens[: place + 2]) for place in places]
            prompt = tokenizer.decode(tokens[: places[0] + 1])
            found = {"prompt": prompt, "until": until, "paid": paid[row][places].tolist()}
            found |= {"sequence": tokens, "chosen": [place + 1 for place in places]}
            lines.append(json.dumps(found) + "\n")
    path.write_text("".join(lines))


sys.meta_path.insert(0, Watch())
