"""Small checks of what stands in a mapping file; each refusal shows the fault and what is known at that place."""

import re
from collections.abc import Iterable, Mapping

from adapter.errors import DeclarationError
from adapter.mapping.expressions import Expression, compile_expression


def must_be_known(word: str, known: Iterable[str], kind: str, path: str, at: str) -> None:
    if word not in known:
        raise DeclarationError(path, at, f"unknown {kind} `{word}`", sorted(known))


def optional(text: str | None, path: str, at: str) -> Expression | None:
    return None if text is None else compile_expression(text, path, at)


def pair(table: Mapping[str, str], path: str, at: str) -> tuple[str, Expression] | None:
    return next(((name, compile_expression(text, path, f"{at}.{name}")) for name, text in table.items()), None)


def pattern(text: str | None, path: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise DeclarationError(path, "id_pattern", f"is not a regular expression: {error}") from None
