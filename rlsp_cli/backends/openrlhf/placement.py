"""Which model gets how many GPUs, and what a Ray cluster must have free for that."""

from collections.abc import Iterator
from dataclasses import dataclass

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Ppo, Recipe


@dataclass(frozen=True)
class Roles:
    """GPUs of each model, 0 for one that is not there. `asked` is (who, GPUs) for each set that is reserved at once.

    Without GPUs the processes are counted as if each had one: Ray places them by that number.
    """

    actor: int
    reference: int
    critic: int
    engines: int
    tensor_parallel: int
    asked: tuple[tuple[str, int], ...]

    @property
    def gpus(self) -> int:
        """GPUs of the whole job, and one CPU for each."""
        return sum(count for _, count in self.asked)


def total_gpus(recipe: Recipe) -> int:
    """GPUs of the cluster; without any, as many processes as there are sets to place."""
    assert recipe.ppo, "checked by the recipe"
    return recipe.cluster.nodes * recipe.cluster.gpus_per_node or len(_sets(recipe.ppo)) * recipe.cluster.nodes


def takes_turns(ppo: Ppo) -> bool:
    """Whether models and engines on the same GPUs give their memory back while another one works."""
    return ppo.openrlhf.placement.share == "all" and ppo.openrlhf.async_rollout == "none"


def roles(recipe: Recipe) -> Roles:
    """Every model's GPUs: what the recipe says, and an even share of the rest for those that it does not name."""
    assert recipe.ppo, "checked by the recipe"
    ppo, place, total = recipe.ppo, recipe.ppo.openrlhf.placement, total_gpus(recipe)
    tensor_parallel = ppo.openrlhf.engines.tensor_parallel
    named = {"actor": place.actor, "reference": place.reference, "critic": place.critic}
    engines = ppo.openrlhf.engines.count * tensor_parallel if ppo.openrlhf.engines.count else None
    given = [next((named[m] for m in models if named.get(m)), engines if models == ("engines",) else None)
             for models in _sets(ppo)]  # fmt: skip
    open_sets = given.count(None)
    share = max((total - sum(count or 0 for count in given)) // open_sets, 1) if open_sets else 0
    gpus = {model: count or share for models, count in zip(_sets(ppo), given, strict=True) for model in models}
    if share and "engines" in gpus and engines is None:
        gpus["engines"] = max(share // tensor_parallel, 1) * tensor_parallel
    return Roles(
        actor=gpus["actor"],
        reference=gpus.get("reference", 0),
        critic=gpus.get("critic", 0),
        engines=(engines or gpus["engines"]) // tensor_parallel,
        tensor_parallel=tensor_parallel,
        asked=tuple((" + ".join(models), gpus[models[0]]) for models in _sets(ppo)),
    )


def nodes_and_gpus(gpus: int, gpus_per_node: int) -> tuple[int, int]:
    """A model's GPUs as (nodes, GPUs on each): whole nodes where they do not fit on one."""
    if not gpus_per_node or gpus <= gpus_per_node:
        return 1, gpus
    return gpus // gpus_per_node, gpus_per_node


def placement_problems(recipe: Recipe) -> Iterator[Issue]:
    """What cannot be placed, with what can."""
    assert recipe.ppo, "checked by the recipe"
    found, total, per_node = roles(recipe), total_gpus(recipe), recipe.cluster.gpus_per_node
    if found.gpus > total:
        parts = ", ".join(f"{who} {count}" for who, count in found.asked)
        message = f"{found.gpus} GPUs are wanted ({parts}), and the cluster has {total}"
        yield Issue("ppo.openrlhf.placement", message, "lower them, share more, or set cluster.nodes and gpus_per_node")
    if per_node and found.tensor_parallel > per_node:
        hint = f"set it to at most {per_node}"
        yield Issue(
            "ppo.openrlhf.engines.tensor_parallel", f"{found.tensor_parallel} GPUs are more than a node has", hint
        )
    for who, count in found.asked:
        if per_node and count > per_node and count % per_node:
            hint = f"the nearest are {count // per_node * per_node} and {(count // per_node + 1) * per_node}"
            yield Issue("ppo.openrlhf.placement", f"{who}: {count} GPUs are not whole nodes of {per_node}", hint)
    yield from _unshared(recipe.ppo, found, total)


def _unshared(ppo: Ppo, found: Roles, total: int) -> Iterator[Issue]:
    """Models that share GPUs have the same ones."""
    place, engine_gpus = ppo.openrlhf.placement, found.engines * found.tensor_parallel
    together = {m for models in _sets(ppo) for m in models if len(models) > 1 and "actor" in models}
    for model in ("reference", "critic"):
        wanted = getattr(place, model)
        if model in together and wanted not in (None, found.actor):
            hint = "leave it out, or set placement.share: none"
            yield Issue(
                f"ppo.openrlhf.placement.{model}", f"it shares the actor's {found.actor} GPUs, not {wanted}", hint
            )
    if "engines" in together and engine_gpus != found.actor:
        message = f"{found.engines} engines of {found.tensor_parallel} GPUs are not the actor's {found.actor}"
        nearest = [n for n in range(1, found.actor + 1) if found.actor % n == 0]
        yield Issue(
            "ppo.openrlhf.engines", message, f"tensor_parallel can be {', '.join(map(str, nearest))}; leave count out"
        )


def _sets(ppo: Ppo) -> list[tuple[str, ...]]:
    """The models that share GPUs, by set. Engines that sample during training cannot share with what trains."""
    models = ["actor", *(["reference"] if ppo.kl_coef else []), *(["critic"] if ppo.estimator == "gae" else [])]
    if ppo.openrlhf.placement.share == "all":
        return [(*models, "engines")] if ppo.openrlhf.async_rollout == "none" else [tuple(models), ("engines",)]
    together = tuple(m for m in models if m != "critic")
    first = [together] if ppo.openrlhf.placement.share == "actor_reference" else [(model,) for model in together]
    return [*first, *([("critic",)] if "critic" in models else []), ("engines",)]
