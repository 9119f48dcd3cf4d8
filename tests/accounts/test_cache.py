import asyncio

from adapter.accounts.cache import MAX_AGE, ShortCache


class Source:
    def __init__(self) -> None:
        self.value: str | None = "old"
        self.reads = 0

    async def read(self) -> str | None:
        self.reads += 1
        return self.value


async def test_a_value_is_read_once_while_it_is_young() -> None:
    seconds = 0.0
    cache: ShortCache[str] = ShortCache(10, timer=lambda: seconds)
    source = Source()

    for seconds in (0.0, 1.0, MAX_AGE - 0.01):  # noqa: B007  # the timer reads it
        assert await cache.get("k", source.read) == "old"
    assert source.reads == 1
    seconds = MAX_AGE + 0.01
    await cache.get("k", source.read)

    assert source.reads == 2


async def test_absence_is_not_remembered() -> None:
    cache: ShortCache[str] = ShortCache(10)
    source = Source()
    source.value = None

    assert await cache.get("k", source.read) is None
    source.value = "new"

    assert await cache.get("k", source.read) == "new"


async def test_only_what_is_meant_is_dropped() -> None:
    cache: ShortCache[str] = ShortCache(10)
    source = Source()
    await cache.get("a", source.read)
    source.value = "other"
    await cache.get("b", source.read)

    cache.drop(lambda value: value == "old")

    assert len(cache) == 1


async def test_a_reading_overtaken_by_a_change_is_not_kept() -> None:
    cache: ShortCache[str] = ShortCache(10)
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        reading.set()
        await go_on.wait()
        return "old"

    pending = asyncio.create_task(cache.get("k", slow))
    await reading.wait()
    cache.drop(lambda value: value == "old")
    go_on.set()

    assert await pending == "old"
    assert len(cache) == 0
