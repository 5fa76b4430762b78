"""Which model gets how many GPUs, and what a Ray cluster must have free for that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.ppo import Ppo


@dataclass(frozen=True)
class Roles:
    """GPUs of each model, 0 for one that is not there; `placement_groups` has (models, GPUs).

    Without GPUs the processes are counted as if each had one: Ray places them by that number.
    """

    actor: int
    reference: int
    critic: int
    engines: int
    tensor_parallel: int
    placement_groups: tuple[tuple[str, int], ...]

    @property
    def gpus(self) -> int:
        """GPUs of the whole job, and one CPU for each."""
        return sum(count for _, count in self.placement_groups)


def total_gpus(ppo: Ppo, cluster: Cluster) -> int:
    """GPUs of the cluster; without any, as many processes as there are sets to place."""
    return cluster.nodes * cluster.gpus_per_node or len(_sets(ppo)) * cluster.nodes


def takes_turns(ppo: Ppo) -> bool:
    """Whether models and engines on the same GPUs free their memory while the others work."""
    return ppo.openrlhf.placement.share == "all" and ppo.openrlhf.async_rollout == "none"


def roles(ppo: Ppo, cluster: Cluster) -> Roles:
    """GPUs of every model, and of every set of models that share theirs.

    | the recipe gives                           | GPUs of the set                       |
    |--------------------------------------------|---------------------------------------|
    | `placement.MODEL`, for one of its models   | that many                             |
    | `engines.count`, for engines by themselves | count x tensor_parallel               |
    | neither                                    | an even share of what is left, or one |

    Engines take whole multiples of tensor_parallel, and so may leave some GPUs of a share idle.
    """
    sets, per_engine = _sets(ppo), ppo.openrlhf.engines.tensor_parallel

    # Sets with a number of their own come first: the others share what is left.
    given = {models: _given_gpus(models, ppo) for models in sets}
    share = _even_share(total_gpus(ppo, cluster), list(given.values()))

    gpus: dict[str, int] = {}
    for models in sets:
        size = given[models] or share
        gpus.update(dict.fromkeys(models, size))

        # An engine is all of its GPUs or none; a set with models as well keeps its size for them.
        if "engines" in models and given[models] is None:
            gpus["engines"] = max(share // per_engine, 1) * per_engine

    return Roles(
        actor=gpus["actor"],
        reference=gpus.get("reference", 0),
        critic=gpus.get("critic", 0),
        engines=ppo.openrlhf.engines.count or gpus["engines"] // per_engine,
        tensor_parallel=per_engine,
        placement_groups=tuple((" + ".join(models), gpus[models[0]]) for models in sets),
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
    placed, total, per_node = roles(ppo, cluster), total_gpus(ppo, cluster), cluster.gpus_per_node
    if placed.gpus > total:
        parts = ", ".join(f"{who} {count}" for who, count in placed.placement_groups)
        message = f"{placed.gpus} GPUs are wanted ({parts}), and the cluster has {total}"
        hint = "lower them, share more, or set cluster.nodes and gpus_per_node"
        yield Issue("ppo.openrlhf.placement", message, hint)

    # An engine's GPUs exchange activations for every token, so rlsp keeps them on one node.
    if per_node and placed.tensor_parallel > per_node:
        path = "ppo.openrlhf.engines.tensor_parallel"
        message = f"{placed.tensor_parallel} GPUs are more than a node has"
        yield Issue(path, message, f"set it to at most {per_node}")

    for who, count in placed.placement_groups:
        if per_node and count > per_node and count % per_node:
            below = count // per_node * per_node
            message = f"{who}: {count} GPUs are not whole nodes of {per_node}"
            hint = f"the nearest are {below} and {below + per_node}"
            yield Issue("ppo.openrlhf.placement", message, hint)

    yield from _unshared(ppo, placed)


def _unshared(ppo: Ppo, placed: Roles) -> Iterator[Issue]:
    """Models that share GPUs and are given different ones, as OpenRLHF asserts after Ray is up."""
    place, engine_gpus = ppo.openrlhf.placement, placed.engines * placed.tensor_parallel
    with_actor = next(models for models in _sets(ppo) if "actor" in models)
    wanted = {"reference": place.reference, "critic": place.critic}

    for model, gpus in wanted.items():
        if model in with_actor and gpus not in (None, placed.actor):
            message = f"it shares the actor's {placed.actor} GPUs, not {gpus}"
            hint = "leave it out, or set placement.share: none"
            yield Issue(f"ppo.openrlhf.placement.{model}", message, hint)

    if "engines" in with_actor and engine_gpus != placed.actor:
        engines = f"{placed.engines} engines of {placed.tensor_parallel} GPUs"
        message = f"{engines} are not the actor's {placed.actor}"
        fitting = [str(n) for n in range(1, placed.actor + 1) if placed.actor % n == 0]
        hint = f"tensor_parallel can be {', '.join(fitting)}; leave count out"
        yield Issue("ppo.openrlhf.engines", message, hint)


def _sets(ppo: Ppo) -> list[tuple[str, ...]]:
    """The models that share GPUs, by set. A KL penalty needs the reference, `gae` the critic.

    | `placement.share` | sets                                                     |
    |-------------------|----------------------------------------------------------|
    | `all`             | actor + reference + critic + engines                     |
    | `all`, async      | actor + reference + critic, engines                      |
    | `actor_reference` | actor + reference, critic, engines                       |
    | `none`            | actor, reference, critic, engines                        |

    Engines of asynchronous rollouts sample during training, and so share no GPUs with what trains.
    """
    share = ppo.openrlhf.placement.share
    reference = ("reference",) if ppo.kl_coef else ()
    critic = ("critic",) if ppo.estimator == "gae" else ()

    if share == "all":
        models = ("actor", *reference, *critic)
        return [(*models, "engines")] if takes_turns(ppo) else [models, ("engines",)]
    if share == "actor_reference":
        apart = [critic] if critic else []
        return [("actor", *reference), *apart, ("engines",)]
    return [(model,) for model in ("actor", *reference, *critic, "engines")]
