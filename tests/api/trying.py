"""Trying ids of others, and ids that nobody has."""

from __future__ import annotations

from dataclasses import dataclass, field

from .owned import COMMON, MISSING


@dataclass
class Trying:
    """What nobody has is answered to everybody alike, so that one asks for it."""

    operations: list
    tenants: list
    share: int
    for_missing: dict = field(default_factory=dict)

    async def all_of_others(self, turn):
        """Ask for everything of everybody else, and return how often that was."""
        own, asked = self.tenants[turn], 0
        for place, other in enumerate(self.tenants):
            if other is own:
                continue
            for n, (operation, foreign, missing, aimed) in enumerate(aims(self.operations, own, other, place)):
                if (n + turn + place) % self.share:
                    continue
                known = await self.answer_for_missing(own, operation, missing, aimed)
                headers = {"accept": "text/event-stream"} if asked % 3 == 0 else {}
                answer = await own.caller.ask(operation.method, foreign, operation.example, **headers)
                assert answer.told == known.told, (operation.id, foreign)
                asked += 1
        return asked

    async def answer_for_missing(self, own, operation, missing, aimed):
        if (key := (operation.id, aimed)) not in self.for_missing:
            answer = await own.caller.ask(operation.method, missing, operation.example)
            assert answer.status == 404, (operation.id, answer.text)
            self.for_missing[key] = answer
        return self.for_missing[key]


def aims(operations, own, other, turn):
    """Yield each operation with ids of which at least one is another's, and the same with ids that nobody has, and which these are."""
    for operation in operations:
        owners = [owner for owner in operation.owners if owner[0] not in COMMON]
        if not owners or operation.by_person:
            continue
        for aimed in range(1, 2 ** len(owners)):
            foreign, missing = {}, {}
            for n, (collection, name) in enumerate(owners):
                if aimed >> n & 1:
                    ids = other.has[collection]
                    foreign[name], missing[name] = ids[turn % len(ids)], MISSING[collection]()
                else:
                    foreign[name] = missing[name] = own.has[collection][0]
            yield operation, operation.at(**foreign), operation.at(**missing), aimed
