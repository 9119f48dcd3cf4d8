"""What a figure ought to come to, and whether it does."""

import msgspec


class Aim(msgspec.Struct, frozen=True):
    bound: float
    at_most: bool

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}"


def at_least(bound: float) -> Aim:
    return Aim(bound, at_most=False)


def at_most(bound: float) -> Aim:
    return Aim(bound, at_most=True)
