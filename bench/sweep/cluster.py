"""Machines of the Ray session that is open: their resources, the trials that fit, and their use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from bench.errors import InputError
from bench.sweep.work import ClusterUse, Resources

_TYPE = "accelerator_type:"


@dataclass(frozen=True)
class Node:
    """A machine of a cluster."""

    host: str
    resources: Mapping[str, float]  # by Ray's names: CPU, GPU and others

    @property
    def accelerator(self) -> str | None:
        """Type of its GPUs, as Ray names it; None where Ray knows none."""
        types = [name.removeprefix(_TYPE) for name in self.resources if name.startswith(_TYPE)]
        return types[0] if types else None

    @property
    def description(self) -> str:
        """CPUs and GPUs of the machine, for people."""
        cpus, gpus = (self.resources.get(name, 0) for name in ("CPU", "GPU"))
        text = f"{cpus:g} CPU{'s' * (cpus != 1)}"
        if gpus:
            kind = f" of type {self.accelerator}" if self.accelerator else ""
            text += f" and {gpus:g} GPU{'s' * (gpus != 1)}{kind}"
        return text


@dataclass(frozen=True)
class Survey:
    """A cluster at one moment."""

    address: str
    nodes: Sequence[Node]
    use: ClusterUse


def nodes() -> list[Node]:
    """Return every machine that Ray has now."""
    return [
        Node(node["NodeManagerHostname"], node["Resources"])
        for node in ray.nodes()
        if node["Alive"]
    ]


def use() -> ClusterUse:
    """Return the number of machines, and what all jobs of the cluster use of them."""
    total, free = ray.cluster_resources(), ray.available_resources()

    def amounts(name: str) -> tuple[float, float]:
        whole = total.get(name, 0.0)
        return whole - free.get(name, 0.0), whole

    return ClusterUse(len(nodes()), *amounts("CPU"), *amounts("GPU"))


def parallel_trials(resources: Resources, nodes: Sequence[Mapping[str, float]], pieces: int) -> int:
    """Return the number of trials that run at once, each on one machine.

    Args:
        nodes: resources of each machine.
        pieces: number of pieces of work.

    Raises:
        InputError: where no trial fits on any machine.
    """
    if resources.gpus_per_trial and max(node.get("GPU", 0) for node in nodes) < min(
        1, resources.gpus_per_trial
    ):
        raise InputError(
            "a trial asks for a GPU, but Ray sees none: use --device cpu, or --gpus-per-trial 0"
        )
    slots = sum(fitting_trials(resources, node) for node in nodes)
    if slots < 1:
        raise InputError("no trial fits on any machine: lower --cpus-per-trial or --gpus-per-trial")
    return max(1, min(slots, resources.max_concurrent or slots, pieces))


def fitting_trials(resources: Resources, node: Mapping[str, float]) -> int:
    """Return the number of trials that fit on one machine."""
    slots = int(node.get("CPU", 0) / resources.cpus_per_trial)
    if share := resources.gpus_per_trial:
        gpus = node.get("GPU", 0)  # a part of a GPU comes from a single one
        slots = min(slots, int(gpus) * int(1 / share + 1e-9) if share < 1 else int(gpus / share))
    return slots
