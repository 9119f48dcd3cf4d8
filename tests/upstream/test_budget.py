from adapter.upstream.budget import Budget
from adapter.upstream.protocol import RemainingHeader

RULE = RemainingHeader(capacity=4500, per_minute=75)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_known_before_an_answer_and_a_full_bucket_is_shown() -> None:
    budget = Budget(RULE)

    assert (budget.remaining, budget.observed_at) == (None, None)
    assert dict(budget.headers()) == {
        "ratelimit-limit": "4500;w=3600",
        "ratelimit-remaining": "4500",
        "ratelimit-reset": "0",
    }


def test_what_was_seen_grows_with_the_refill_and_never_beyond_the_bucket() -> None:
    clock = Clock()
    budget = Budget(RULE, clock)
    budget.observe({"ratelimit-remaining": "4000"})
    assert budget.remaining == 4000

    clock.now += 60
    assert budget.remaining == 4075
    assert dict(budget.headers())["ratelimit-reset"] == "340"

    clock.now += 3600
    assert budget.remaining == 4500


def test_a_multiplier_scales_the_bucket_and_its_refill() -> None:
    clock = Clock()
    budget = Budget(RULE, clock)
    budget.observe({"ratelimit-remaining": "0", "ratelimit-multiplier": "2"})
    clock.now += 60

    assert (budget.capacity, budget.remaining, budget.per_second) == (9000, 150, 2.5)
    assert dict(budget.headers())["ratelimit-limit"] == "9000;w=3600"


def test_an_answer_that_does_not_tell_changes_nothing_and_a_refusal_empties() -> None:
    budget = Budget(RULE, Clock())
    budget.observe({"ratelimit-remaining": "10"})
    budget.observe({})
    assert budget.remaining == 10

    budget.exhausted()
    assert budget.remaining == 0
    assert budget.observed_at is not None
