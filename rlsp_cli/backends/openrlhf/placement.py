"""Which model gets how many GPUs, and what a Ray cluster must have free for that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Cluster, Ppo


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


def total_gpus(ppo: Ppo, cluster: Cluster) -> int:
    """GPUs of the cluster; without any, as many processes as there are sets to place."""
    return cluster.nodes * cluster.gpus_per_node or len(_sets(ppo)) * cluster.nodes


def takes_turns(ppo: Ppo) -> bool:
    """Whether models and engines on the same GPUs give their memory back while another one works."""
    return ppo.openrlhf.placement.share == "all" and ppo.openrlhf.async_rollout == "none"


def roles(ppo: Ppo, cluster: Cluster) -> Roles:
    """GPUs of every model, and of every set of models that share theirs.

    | the recipe gives                           | GPUs of the set                                    |
    |--------------------------------------------|----------------------------------------------------|
    | `placement.MODEL`, for one of its models   | that many                                          |
    | `engines.count`, for engines by themselves | count x tensor_parallel                            |
    | neither                                    | an even share of what the other sets leave, or one |

    Engines take whole multiples of tensor_parallel, and so may leave some GPUs of a share idle.
    """
    sets, per_engine = _sets(ppo), ppo.openrlhf.engines.tensor_parallel
    given = {models: _given_gpus(models, ppo) for models in sets}
    share = _even_share(total_gpus(ppo, cluster), list(given.values()))

    gpus: dict[str, int] = {}
    for models in sets:
        size = given[models] or share
        gpus.update(dict.fromkeys(models, size))
        if "engines" in models and given[models] is None:
            gpus["engines"] = max(share // per_engine, 1) * per_engine

    return Roles(
        actor=gpus["actor"],
        reference=gpus.get("reference", 0),
        critic=gpus.get("critic", 0),
        engines=ppo.openrlhf.engines.count or gpus["engines"] // per_engine,
        tensor_parallel=per_engine,
        asked=tuple((" + ".join(models), gpus[models[0]]) for models in sets),
    )


def _given_gpus(models: tuple[str, ...], ppo: Ppo) -> int | None:
    """GPUs that the recipe gives to a set; None where it leaves them to us."""
    place, engines = ppo.openrlhf.placement, ppo.openrlhf.engines
    named = {"actor": place.actor, "reference": place.reference, "critic": place.critic}
    for model in models:
        if named.get(model):
            return named[model]

    if models == ("engines",) and engines.count:
        return engines.count * engines.tensor_parallel
    return None


def _even_share(total: int, given: Sequence[int | None]) -> int:
    """What each set without a number of its own gets."""
    left = total - sum(size for size in given if size is not None)
    return max(left // max(given.count(None), 1), 1)


def nodes_and_gpus(gpus: int, gpus_per_node: int) -> tuple[int, int]:
    """A model's GPUs as (nodes, GPUs on each): whole nodes where they do not fit on one."""
    if not gpus_per_node or gpus <= gpus_per_node:
        return 1, gpus
    return gpus // gpus_per_node, gpus_per_node


def placement_problems(ppo: Ppo, cluster: Cluster) -> Iterator[Issue]:
    """What cannot be placed, with what can."""
    found, total, per_node = roles(ppo, cluster), total_gpus(ppo, cluster), cluster.gpus_per_node
    if found.gpus > total:
        parts = ", ".join(f"{who} {count}" for who, count in found.asked)
        message = f"{found.gpus} GPUs are wanted ({parts}), and the cluster has {total}"
        hint = "lower them, share more, or set cluster.nodes and gpus_per_node"
        yield Issue("ppo.openrlhf.placement", message, hint)

    if per_node and found.tensor_parallel > per_node:
        message = f"{found.tensor_parallel} GPUs are more than a node has"
        yield Issue(
            "ppo.openrlhf.engines.tensor_parallel", message, f"set it to at most {per_node}"
        )

    for who, count in found.asked:
        if per_node and count > per_node and count % per_node:
            below = count // per_node * per_node
            message = f"{who}: {count} GPUs are not whole nodes of {per_node}"
            yield Issue(
                "ppo.openrlhf.placement", message, f"the nearest are {below} and {below + per_node}"
            )

    yield from _unshared(ppo, found)


def _unshared(ppo: Ppo, found: Roles) -> Iterator[Issue]:
    """Models that share GPUs have the same ones."""
    place, engine_gpus = ppo.openrlhf.placement, found.engines * found.tensor_parallel
    with_actor = next(models for models in _sets(ppo) if "actor" in models)
    for model in ("reference", "critic"):
        wanted = getattr(place, model)
        if model in with_actor and wanted not in (None, found.actor):
            message = f"it shares the actor's {found.actor} GPUs, not {wanted}"
            yield Issue(
                f"ppo.openrlhf.placement.{model}",
                message,
                "leave it out, or set placement.share: none",
            )

    if "engines" in with_actor and engine_gpus != found.actor:
        message = f"{found.engines} engines of {found.tensor_parallel} GPUs are not the actor's {found.actor}"
        nearest = [n for n in range(1, found.actor + 1) if found.actor % n == 0]
        hint = f"tensor_parallel can be {', '.join(map(str, nearest))}; leave count out"
        yield Issue("ppo.openrlhf.engines", message, hint)


def _sets(ppo: Ppo) -> list[tuple[str, ...]]:
    """The models that share GPUs, by set; the reference is there with a KL penalty, the critic with `gae`.

    | `placement.share` | sets                                                                          |
    |-------------------|-------------------------------------------------------------------------------|
    | `all`             | actor + reference + critic + engines; with async rollouts engines have theirs |
    | `actor_reference` | actor + reference, critic, engines                                            |
    | `none`            | actor, reference, critic, engines                                             |

    Engines that sample during training cannot share GPUs with what trains.
    """
    share = ppo.openrlhf.placement.share
    reference = ["reference"] if ppo.kl_coef else []
    critic = ["critic"] if ppo.estimator == "gae" else []

    if share == "all":
        models = ["actor", *reference, *critic]
        return [(*models, "engines")] if takes_turns(ppo) else [tuple(models), ("engines",)]
    if share == "actor_reference":
        return [("actor", *reference), *((model,) for model in critic), ("engines",)]
    return [(model,) for model in ("actor", *reference, *critic, "engines")]
