from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.upstream.protocol import IdAndMessage, RangePaging, RemainingHeader, ScopeHeaders

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
ERRORS = IdAndMessage(ids={"404": "not_found", "5xx": "internal_server_error"})
BUDGET = RemainingHeader(capacity=4500, per_minute=75)


class TestPaging:
    def test_a_first_page_names_its_field_and_size(self) -> None:
        assert RangePaging().first("id") == {"range": "id ..; max=1000"}
        assert RangePaging().first("id", 7) == {"range": "id ..; max=7"}
        assert RangePaging(max=200).first("id", 1000) == {"range": "id ..; max=200"}
        assert RangePaging().first(None) == {}

    @pytest.mark.parametrize(("given", "expected"), [({"next-range": "id ]a..; max=2"}, "id ]a..; max=2"), ({}, None)])
    def test_the_way_on_is_the_header_or_nowhere(self, given: dict[str, str], expected: str | None) -> None:
        assert RangePaging().following(given) == expected

    @pytest.mark.parametrize(
        ("continuation", "page", "expected"),
        [
            ("id ]a..; max=2", None, "id ]a..; max=2"),
            ("id ]a..; max=2", 5, "id ]a..; max=5"),
            ("id ]a..", 5, "id ]a..; max=5"),
            ("id ..; ;", 5, "id ..; max=5"),
            ("name ]a..; max=2, order=desc", 5, "name ]a..; max=5, order=desc"),
            ("name ]a..; order=desc", 5, "name ]a..; order=desc, max=5"),
        ],
    )
    def test_a_page_may_be_of_another_size(self, continuation: str, page: int | None, expected: str) -> None:
        assert RangePaging().follow(continuation, page) == {"range": expected}


class TestBudget:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"ratelimit-remaining": "4499"}, (4499, 1.0)),
            ({"ratelimit-remaining": "10", "ratelimit-multiplier": "2"}, (10, 2.0)),
            ({"ratelimit-remaining": "10", "ratelimit-multiplier": "x"}, (10, 1.0)),
            ({"ratelimit-remaining": "10", "ratelimit-multiplier": "nan"}, (10, 1.0)),
            ({"ratelimit-remaining": "-1"}, None),
            ({"ratelimit-remaining": "٣"}, None),
            ({"ratelimit-remaining": ""}, None),
            ({}, None),
        ],
    )
    def test_what_an_answer_tells(self, headers: dict[str, str], expected: tuple[int, float] | None) -> None:
        assert BUDGET.observe(headers) == expected

    def test_an_empty_bucket_fills_in_an_hour(self) -> None:
        assert BUDGET.window == 3600


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'{"id":"not_found","message":"No."}', ("not_found", "No.", {"id": "not_found", "message": "No."})),
            (b'{"error":"x"}', (None, None, {"error": "x"})),
            (b'{"id":1}', (None, None, {"id": 1})),
            (b"[1]", (None, None, [1])),
            (b"Your account is suspended.", (None, None, "Your account is suspended.")),
            (b"\xff", (None, None, "\ufffd")),
            (b"", (None, None, None)),
        ],
    )
    def test_bodies_of_any_kind_are_read(self, body: bytes, expected: tuple[object, ...]) -> None:
        assert ERRORS.read(body) == expected

    def test_ids_go_by_status_and_then_by_family(self) -> None:
        assert [ERRORS.id_of(status) for status in (404, 503, 418)] == ["not_found", "internal_server_error", None]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (None, 30),
            ("", 30),
            ("0", 1),
            ("7", 7),
            ("7.2", 8),
            ("86400", 30),
            ("-5", 30),
            ("soon", 30),
            (str(int(NOW.timestamp()) + 42), 42),
            ("1353000000", 30),
            ("Sun, 01 Feb 2026 12:01:00 GMT", 60),
            ("Sun, 01 Feb 2026 11:00:00 GMT", 30),
            ("Sun, 01 Feb 2026 12:01:00", 30),
            ("9" * 400, 30),
        ],
    )
    def test_how_long_to_wait_is_read_defensively(self, given: str | None, expected: int) -> None:
        headers = {} if given is None else {"retry-after": given}

        assert ERRORS.wait(headers, lambda: NOW) == expected

    @given(st.text())
    def test_no_text_makes_the_wait_absurd(self, text: str) -> None:
        assert 1 <= ERRORS.wait({"retry-after": text}) <= 3600


class TestScopes:
    @pytest.mark.parametrize(
        ("held", "accepted", "missing"),
        [
            ("read", "global", ("global",)),
            ("global", "global identity", ()),
            ("read,write", "global, read-protected", ("global", "read-protected")),
            ("", "global", ("global",)),
            ("read", "", ()),
        ],
    )
    def test_what_is_missing_is_what_any_one_of_would_do(self, held: str, accepted: str, missing: tuple[str]) -> None:
        assert ScopeHeaders().missing({"oauth-scope": held, "oauth-scope-accepted": accepted}) == missing

    def test_a_401_tells_nothing(self) -> None:
        assert (ScopeHeaders().held({}), ScopeHeaders().missing({})) == ((), ())
