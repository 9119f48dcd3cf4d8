from tests.cli.conftest import Terminal


def test_before_the_first_question_it_says_that_nothing_was_read(connected: Terminal) -> None:
    ended = connected("directory", "status")

    assert ended.code == 0
    assert "never" in ended.out
    assert "next question" in ended.out
    assert "not known before the first question" in ended.err


def test_after_a_question_each_list_stands_with_its_place_and_age(connected: Terminal) -> None:
    connected("users", "list")

    ended = connected("directory", "status")

    assert "team_permissions" in ended.out
    assert " fresh " in ended.out
    assert "right 20" in ended.out, "the day's proof"
    assert "Reading everything anew takes" in ended.err


def test_as_json_it_is_what_the_http_api_says(connected: Terminal) -> None:
    connected("users", "list")

    found = connected("directory", "status", "--json").json

    assert found["result_count"] == found["summary"]["units"] == len(found["result"])
    assert {"unit", "path", "state", "due_at", "proof"} <= set(found["result"][0])
