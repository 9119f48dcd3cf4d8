"""An app apart from all the others, so that serving it imports nothing of ours."""

import os
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

BODY_FILE = "BENCH_BODY_FILE"


def fixed() -> ASGIApp:
    """A route that returns the same bytes each time, and does nothing else."""
    body = Path(os.environ[BODY_FILE]).read_bytes()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  # it takes no body
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer
