"""`python -m adapter`: the same as the `adapter` command."""

from adapter.cli import main

# A worker that is spawned imports this module under another name, and must not begin a second adapter.
if __name__ == "__main__":
    main()
