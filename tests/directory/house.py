"""A directory over a provider that answers what a test has it answer."""

from typing import Any

from adapter.directory.cursors import Cursors
from adapter.directory.query import parse_list, parse_one
from adapter.directory.service import Answer, Directory
from adapter.mapping.engine import anonymous_id
from adapter.web.query import parse_query
from tests.directory.fakes import SHIPPED, Clock, Provider

EVERYBODY = ["ada", "bob", "cyd", "dan", "me"]
INVITED = anonymous_id(SHIPPED.resources["users"], "new@example.com")


class House:
    """A directory over a provider, asked as the unified door asks it."""

    def __init__(self, answers: dict[str, Any], **more: Any) -> None:
        self.clock = Clock()
        self.provider = Provider(answers)
        self.directory = Directory(SHIPPED, Cursors([b"k" * 32]), clock=self.clock, **{"wait": 5.0, **more})

    async def ask(
        self, query: str = "", name: str = "users", *, account: str = "acc", max_age: float | None = None
    ) -> Answer:
        resource = self.directory.resource(name)
        asked = parse_list(resource, parse_query(query.encode()), max_age=max_age)
        return await self.directory.list_records(account, self.provider, resource, asked)

    async def get(self, key: str, name: str = "users", query: str = "") -> Answer:
        resource = self.directory.resource(name)
        asked = parse_one(resource, parse_query(query.encode()))
        return await self.directory.get_record("acc", self.provider, resource, key, asked)

    async def touched(self, path: str) -> int:
        return await self.directory.touched("acc", self.provider, path)

    async def calls(self, query: str = "", name: str = "users", **more: Any) -> list[str]:
        """What a list asks the provider for."""
        self.provider.forget_calls()
        await self.ask(query, name, **more)
        return sorted(self.provider.calls)


def keys(answer: Answer) -> list[str]:
    return [record.key for record in answer.records]


def gaps(answer: Answer) -> list[tuple[str, str]]:
    return [(gap.unit, gap.reason) for gap in answer.missing]
