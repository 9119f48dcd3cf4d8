"""Faults really happen on the wire: seen through a real client, and where that matters through a bare socket."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from adapter.sandbox import RunningSandbox
from adapter.sandbox.faults import Match
from tests.sandbox.conftest import ACCEPT


@pytest.fixture
def client(running: RunningSandbox) -> Iterator[httpx.Client]:
    headers = {"Accept": ACCEPT, "Authorization": f"Bearer {running.owner_token}"}
    with httpx.Client(base_url=running.url, headers=headers) as opened:
        yield opened


def raw(running: RunningSandbox, path: str) -> bytes:
    """All bytes that come back until the other side has closed."""
    port = httpx.URL(running.url).port or 0
    headers = f"Host: sandbox\r\nAccept: {ACCEPT}\r\nAuthorization: Bearer {running.owner_token}"
    request = f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        while piece := connection.recv(65536):
            received += piece
    return received


def strike(running: RunningSandbox, kind: str, **more: object) -> None:
    running.faults([{"kind": kind, "times": 1, **more}])


def test_a_reset_is_a_reset(running: RunningSandbox) -> None:
    strike(running, "reset")

    with pytest.raises(ConnectionResetError):
        raw(running, "/teams")
    assert [(entry["status"], entry["fault"]) for entry in running.requests()] == [(0, "reset")]


def test_a_reset_in_the_middle_of_a_write_leaves_it_undone(running: RunningSandbox, client: httpx.Client) -> None:
    strike(running, "reset", match={"method": "POST"})

    with pytest.raises(httpx.TransportError):
        client.post("/apps", json={"name": "never-made"})
    assert client.get("/apps/never-made").status_code == 404


@pytest.mark.parametrize(
    ("fault", "lost"),
    [({"kind": "reset"}, True), ({"kind": "status", "status": 503}, False), ({"kind": "nonsense"}, False)],
)
def test_the_answer_to_a_write_that_was_carried_out_can_be_lost(
    running: RunningSandbox, client: httpx.Client, fault: dict[str, object], lost: bool
) -> None:
    running.faults([{"times": 1, "carried_out": True, "match": {"method": "POST"}, **fault}])

    if lost:
        with pytest.raises(httpx.TransportError):
            client.post("/apps", json={"name": "made-unseen"})
    else:
        assert client.post("/apps", json={"name": "made-unseen"}).status_code == fault.get("status", 200)
    assert client.get("/apps/made-unseen").status_code == 200


def test_a_truncated_answer_ends_before_its_length(running: RunningSandbox, client: httpx.Client) -> None:
    whole = client.get("/teams").content
    strike(running, "truncate")
    head, _, body = raw(running, "/teams").partition(b"\r\n\r\n")

    assert f"content-length: {len(whole)}".encode() in head.lower()
    assert body == whole[: len(whole) // 2]


def test_a_wrong_length_is_shorter_than_its_body(running: RunningSandbox, client: httpx.Client) -> None:
    whole = client.get("/teams").content
    strike(running, "wrong_length")
    head, _, body = raw(running, "/teams").partition(b"\r\n\r\n")

    assert f"content-length: {len(whole) - 10}".encode() in head.lower()
    assert body == whole


def test_cut_json_is_framed_as_if_it_were_whole(running: RunningSandbox, client: httpx.Client) -> None:
    strike(running, "cut_json")
    response = client.get("/teams")

    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_nonsense_is_a_page_that_says_200(running: RunningSandbox, client: httpx.Client) -> None:
    strike(running, "nonsense")
    response = client.get("/teams")

    assert (response.status_code, response.text[:6]) == (200, "<html>")


def test_a_slow_body_comes_whole_and_in_pieces(running: RunningSandbox, client: httpx.Client) -> None:
    whole = client.get("/teams").content
    strike(running, "slow_body", seconds=0.2)
    started = time.monotonic()
    with client.stream("GET", "/teams") as response:
        pieces = list(response.iter_raw())

    assert b"".join(pieces) == whole
    assert len(pieces) > 1
    assert time.monotonic() - started >= 0.15


def test_latency_comes_before_the_answer(running: RunningSandbox, client: httpx.Client) -> None:
    strike(running, "latency", seconds=0.2)
    started = time.monotonic()

    assert client.get("/teams").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_the_latency_of_all_answers_is_an_option(running: RunningSandbox, client: httpx.Client) -> None:
    running.options(latency_ms=100)
    started = time.monotonic()
    client.get("/teams")

    assert time.monotonic() - started >= 0.1


ANSWERS = [
    ({"kind": "status"}, 500, "internal_server_error"),
    ({"kind": "status", "status": 503, "body": '{"id": "maintenance"}'}, 503, "maintenance"),
    ({"kind": "rate_limit", "retry_after": "7"}, 429, "rate_limit"),
    ({"kind": "expired_token"}, 401, "unauthorized"),
]


@pytest.mark.parametrize(("fault", "status", "error"), ANSWERS)
def test_a_fault_answers_instead(
    running: RunningSandbox, client: httpx.Client, fault: dict[str, object], status: int, error: str
) -> None:
    running.faults([fault | {"times": 2}])
    responses = [client.get("/teams") for _ in range(3)]

    assert [response.status_code for response in responses] == [status, status, 200]
    assert responses[0].json()["id"] == error
    assert responses[0].headers.get("retry-after") == fault.get("retry_after")


def test_headers_are_laid_over_the_real_ones(running: RunningSandbox, client: httpx.Client) -> None:
    strike(running, "headers", headers={"Next-Range": "id ]same..; max=1", "X-Odd": "\xfc"})
    response = client.get("/apps", headers={"Range": "id ..; max=1"})

    assert response.headers["next-range"] == "id ]same..; max=1"
    assert dict(response.headers.raw)[b"x-odd"] == b"\xfc"
    assert response.status_code == 206


def test_faults_strike_what_they_match_until_they_are_cleared(running: RunningSandbox, client: httpx.Client) -> None:
    running.faults([{"kind": "status", "match": {"method": "get", "path": "/teams/*/members"}}])
    struck = [client.get(path).status_code for path in ("/teams/acme/members", "/teams/acme", "/apps")]
    running.clear_faults()

    assert struck == [500, 200, 200]
    assert client.get("/teams/acme/members").status_code == 200


def test_an_improbable_fault_strikes_sometimes(running: RunningSandbox, client: httpx.Client) -> None:
    running.faults([{"kind": "status", "probability": 0.5}])
    statuses = {client.get("/teams").status_code for _ in range(40)}

    assert statuses == {200, 500}


@pytest.mark.parametrize(
    ("match", "covered"),
    [
        (Match(), True),
        (Match(method="GET"), True),
        (Match(method="put"), False),
        (Match(path="/teams/*"), True),
        (Match(path="/teams"), False),
        (Match(path_regex=r"/teams/[a-z]+/members"), True),
        (Match(path_regex=r"/teams"), False),
    ],
)
def test_a_match_is_a_glob_or_a_pattern_of_the_whole_path(match: Match, covered: bool) -> None:
    assert match.covers("GET", "/teams/acme/members") == covered


def test_an_unknown_fault_is_refused(running: RunningSandbox) -> None:
    response = httpx.post(f"{running.url}/sandbox/faults", json=[{"kind": "earthquake"}])

    assert response.status_code == 422
    assert "earthquake" in response.json()["message"]
