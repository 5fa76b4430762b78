"""The recipe's prompts for OpenRLHF: as many as are asked for, in the order of rlsp's own engine."""

from random import Random

LIMIT = 20
"""Prompts that may be asked for each one that a rollout needs, before nothing is learnt by going on."""


class FilteredError(Exception):
    """Too few prompts of a rollout pass the filter."""


class Prompts:
    """An endless loader of single prompts: shuffled passes over all rows, which run into each other.

    Rollouts are whole however many prompts are filtered out of them. `rows` has `__getitem__`,
    `__len__` and `collate_fn`; `steps` rollouts of `size` prompts are wanted.
    """

    def __init__(self, rows, seed, steps, size):
        self.rows, self.seed, self.steps, self.size = rows, seed, steps, size
        self.position = self.begun = self.made = 0
        self.order = None

    def __len__(self):
        return self.steps * self.size

    def __iter__(self):
        while True:
            if self.position - self.begun >= LIMIT * self.size:
                asked = f"step {self.made}: {LIMIT * self.size} prompts were asked for a rollout of {self.size}"
                raise FilteredError(
                    f"{asked}, and ppo.openrlhf.dynamic_filtering leaves too few of them; widen its range, "
                    "or take prompts of another difficulty"
                )
            row = self.row()
            self.position += 1
            yield self.rows.collate_fn([self.rows[row]])

    def row(self):
        """The row at the position; the same rule as rlsp_cli/engine/batch.py."""
        passes, place = divmod(self.position, len(self.rows))
        if self.order is None or self.order[0] != passes:
            order = list(range(len(self.rows)))
            Random(f"{self.seed}:{passes}").shuffle(order)
            self.order = passes, order
        return self.order[1][place]

    def begin(self):
        """Here begins a rollout; False when all are made, as for a training that was saved after its last step."""
        self.begun = self.position
        return self.made < self.steps

    def end(self):
        """A rollout was made; its number, and whether it was the last."""
        self.made += 1
        return self.made - 1, self.made == self.steps

    def state_dict(self):
        """Where to go on; OpenRLHF puts it into its checkpoints."""
        return {"position": self.position, "made": self.made}

    def load_state_dict(self, state):
        """Go on where a checkpoint was."""
        self.position, self.made = state["position"], state["made"]
