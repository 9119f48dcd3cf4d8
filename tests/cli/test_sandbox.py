import json
import signal

import httpx

from tests.cli.running import Running, clean_environment

HEROKU = {"Accept": "application/vnd.heroku+json; version=3"}


def test_the_sandbox_says_where_it_is_answers_and_stops() -> None:
    with Running("sandbox", "--port", "0", "--teams", "2", "--json", env=clean_environment()) as sandbox:
        said = json.loads(sandbox.line())
        with httpx.Client(trust_env=False, timeout=30, base_url=said["sandbox_url"], headers=HEROKU) as client:
            teams = client.get("/teams", headers={"Authorization": f"Bearer {said['token']}"}).json()
            unknown = client.get("/teams").status_code
        code, out, err = sandbox.stop(signal.SIGINT)

    assert len(teams) == 2
    assert unknown == 401
    assert (code, out, err) == (0, "", "")


def test_it_tells_people_how_to_use_it() -> None:
    with Running("sandbox", "--port", "0", env=clean_environment()) as sandbox:
        page = ""
        while "Ctrl-C" not in page:
            page += sandbox.line()
        code, _, _ = sandbox.stop(signal.SIGTERM)

    assert "HEROKU_API_URL=http://127.0.0.1:" in page
    assert "curl" in page
    assert code == 0
