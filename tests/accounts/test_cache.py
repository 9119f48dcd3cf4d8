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


async def test_what_lapses_under_load_is_read_once() -> None:
    cache: ShortCache[str] = ShortCache(10)
    source = Source()

    found = await asyncio.gather(*(cache.get("k", source.read) for _ in range(50)))

    assert set(found) == {"old"}
    assert source.reads == 1


async def test_who_asks_after_a_change_does_not_get_an_older_reading() -> None:
    cache: ShortCache[str] = ShortCache(10)
    go_on = asyncio.Event()
    source = Source()

    async def slow() -> str:
        await go_on.wait()
        return "old"

    early = asyncio.create_task(cache.get("k", slow))
    await asyncio.sleep(0)
    cache.drop(lambda _: True)
    source.value = "new"
    late = await cache.get("k", source.read)
    go_on.set()

    assert (await early, late) == ("old", "new")
    assert await cache.get("k", source.read) == "new"


async def test_a_waiter_who_goes_away_leaves_the_reading_to_the_others() -> None:
    cache: ShortCache[str] = ShortCache(10)
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "old"

    first, second = asyncio.create_task(cache.get("k", slow)), asyncio.create_task(cache.get("k", slow))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go_on.set()

    assert await second == "old"


async def test_a_reading_that_fails_fails_for_all_and_is_tried_again() -> None:
    cache: ShortCache[str] = ShortCache(10)

    async def broken() -> str:
        raise OSError

    failures = await asyncio.gather(*(cache.get("k", broken) for _ in range(3)), return_exceptions=True)

    assert [type(failure) for failure in failures] == [OSError] * 3
    assert await cache.get("k", Source().read) == "old"


async def test_the_oldest_makes_room() -> None:
    cache: ShortCache[str] = ShortCache(2)
    source = Source()
    for key in ("a", "b", "c", "b"):
        await cache.get(key, source.read)

    assert len(cache) == 2
    assert source.reads == 3
