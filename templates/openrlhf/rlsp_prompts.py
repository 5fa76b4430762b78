"""The recipe's prompts for OpenRLHF: as many as it takes, in the order of rlsp's own engine."""

from random import Random

LIMIT = 20
"""Prompts to try for each one that a rollout needs."""


class FilteredError(Exception):
    """Too few prompts of a rollout pass the filter."""


class Prompts:
    """An endless loader of single prompts: shuffled passes over all rows, one after another.

    Rollouts are whole however many prompts are filtered out of them. `rows` has `__getitem__`,
    `__len__` and `collate_fn`; `steps` rollouts of `size` prompts are wanted.
    """

    def __init__(self, rows, seed, steps, size):
        self.rows, self.seed, self.steps, self.size = rows, seed, steps, size
        self.position = 0  # prompts that were handed out
        self.begun = 0  # those before the present rollout
        self.made = 0  # rollouts that are whole
        self.order = None  # (pass, its rows), made when the pass begins

    def __len__(self):
        return self.steps * self.size

    def __iter__(self):
        while True:
            if self.position - self.begun >= LIMIT * self.size:
                taken = f"{LIMIT * self.size} prompts were asked for a rollout of {self.size}"
                raise FilteredError(
                    f"step {self.made}: {taken}, and ppo.select leaves too few of them; "
                    "widen its band, or take prompts of another difficulty"
                )

            # Counted before it is handed out: a generator does not go on after its last `next`.
            row = self.row()
            self.position += 1
            yield self.rows.collate_fn([self.rows[row]])

    def row(self):
        """The row at the position, by the same rule as rlsp_cli/engine/batch.py."""
        passes, place = divmod(self.position, len(self.rows))
        if self.order is None or self.order[0] != passes:
            order = list(range(len(self.rows)))
            Random(f"{self.seed}:{passes}").shuffle(order)
            self.order = passes, order
        return self.order[1][place]

    def begin(self):
        """Begin a rollout; False when all are made, as after a resume from the last step."""
        self.begun = self.position
        return self.made < self.steps

    def end(self):
        """End a rollout; its number, and whether it was the last."""
        self.made += 1
        return self.made - 1, self.made == self.steps

    def state_dict(self):
        """The state that OpenRLHF puts into its checkpoints, by torchdata's name."""
        return {"position": self.position, "made": self.made}

    def load_state_dict(self, state):
        """Go on from the state in a checkpoint."""
        self.position, self.made = state["position"], state["made"]
