"""Which instances of a run start and end together, and which are there for the others.

* A *gang* is joined by stream edges. Its members wait for whatever any of them waits for, so that all become ready in
  the same moment; when one fails, the others end.
* A *service* runs for as long as there is other work: once every *ordinary* instance has ended, services are stopped,
  as completed. What lies below a service is not ordinary: it waits for the service's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wattle.core.models import Instance, Worker


class Together:
    """Computed once for a run. `gangs` maps each member to all members, ascending; `upstream` and `downstream` are
    indexed like the instances, with gangs counted as one; `ordinary` says which instances keep services alive."""

    def __init__(self, instances: Sequence[Instance], definitions: Mapping[str, Worker]) -> None:
        self.gangs = _gangs(instances, definitions)
        self.upstream = [instance.upstream for instance in instances]
        for members in set(self.gangs.values()):
            outside = {index for member in members for index in instances[member].upstream}.difference(members)
            for member in members:
                self.upstream[member] = tuple(sorted(outside))
        self.downstream: list[list[int]] = [[] for _ in instances]
        for index, befores in enumerate(self.upstream):
            for before in befores:
                self.downstream[before].append(index)
        services = [instance.index for instance in instances if definitions[instance.worker].service]
        apart = self.below(services) if services else set()
        self.ordinary = [index not in apart for index in range(len(instances))]
        self.has_services = bool(services) and any(self.ordinary)

    def below(self, indexes: Sequence[int]) -> set[int]:
        """These, and all that waits for them."""
        todo, found = list(indexes), set(indexes)
        while todo:
            for index in self.downstream[todo.pop()]:
                if index not in found:
                    found.add(index)
                    todo.append(index)
        return found


    def from_here_on(self, indexes: Iterable[int]) -> set[int]:
        """These, all that waits for them, and gangs as a whole: what must run again when these do."""
        found: set[int] = set()
        todo = list(indexes)
        while todo:
            index = todo.pop()
            if index not in found:
                found.add(index)
                todo += self.gangs.get(index, ())
                todo += self.downstream[index]
        return found


def _gangs(instances: Sequence[Instance], definitions: Mapping[str, Worker]) -> dict[int, tuple[int, ...]]:
    """Union of what stream edges join, by index; instances without one are left out."""
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for instance in instances:
        for feed in instance.inputs.values():
            for source, port in feed.sources:
                output = definitions[instances[source].worker].outputs.get(port)
                if output is not None and output.type == "stream":
                    parent[root(source)] = root(instance.index)
    members: dict[int, list[int]] = {}
    for index in sorted(parent):
        members.setdefault(root(index), []).append(index)
    return {index: tuple(found) for found in members.values() for index in found}
