"""A Heroku to play with: a seeded, scalable fake of the Platform API, with its limits, quirks, and faults on request.

It imports nothing of the rest of the adapter: a fake that shares the client's reading would share its mistakes.
"""

from .options import Options
from .running import RunningSandbox
from .seed import SeedOptions, generate
from .server import run_sandbox
from .state import Sandbox
from .world import World

__all__ = ["Options", "RunningSandbox", "Sandbox", "SeedOptions", "World", "generate", "run_sandbox"]
