"""What a deployment needs now and then: `adapter migrate`, `adapter check`, `adapter keys …`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from adapter.cli.console import AsJson, examples, in_house, note, settings, show_json
from adapter.errors import AdapterError, ConfigError, DeclarationError

if TYPE_CHECKING:
    from adapter.accounts.rotation import KeyRotation
    from adapter.app import House
    from adapter.config import Settings
    from adapter.mapping.model import Model

keys = typer.Typer(no_args_is_help=True, help="The secret keys under which credentials are sealed.")


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("adapter migrate"))(migrate)
    app.command(epilog=examples("adapter check", "adapter check my-mappings"))(check)
    app.add_typer(keys, name="keys")


def migrate(as_json: AsJson = False) -> None:
    """Bring the database's tables to this version; what is up to date stays as it is. DATABASE_URL says which."""
    before, after = asyncio.run(_migrated(settings()))
    if as_json:
        show_json({"from": before, "to": after})
    elif before == after:
        typer.echo(f"The database is at version {after} already.")
    else:
        typer.echo(f"The database went from {f'version {before}' if before else 'empty'} to version {after}.")


async def _migrated(chosen: "Settings") -> tuple[str | None, str | None]:
    from adapter.storage.database import Database

    async with Database(chosen.database_url) as database:
        before = await database.schema_version()
        await database.migrate()
        return before, await database.schema_version()


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One file of cases, run."""

    file: str
    resource: str
    cases: int
    faults: list[str]


def check(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Overrides to check; MAPPINGS_DIR's unless named.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the mapping files, yours over the shipped ones, and run the cases beside them. Faults: exit code 1."""
    if directory is not None and not directory.is_dir():
        raise ConfigError(f"{directory} is no directory.")
    results, faults = _checked(settings(mappings_dir=str(directory) if directory else None))
    if as_json:
        show_json({"files": results, "faults": faults})
    else:
        _tell(results, faults)
    if faults:
        raise typer.Exit(1)


def _checked(chosen: "Settings") -> tuple[list[Checked], list[str]]:
    """What each file of cases gave, and all faults: of the declarations alone where these can't be used."""
    from adapter.app import PROVIDER, declarations, mapping_dirs
    from adapter.mapping.cases import case_files, write_case_files
    from adapter.web.connect_words import load_words

    try:
        _, model = declarations(chosen)
        load_words(mapping_dirs(chosen), PROVIDER)
    except DeclarationError as error:
        return [], [error.message]
    directories = [directory / PROVIDER for directory in mapping_dirs(chosen)]
    results = [_run(model, resource, path) for resource, path in case_files(directories)]
    results += [_run_writes(model, path) for path in write_case_files(directories)]
    return results, [fault for result in results for fault in result.faults]


def _run(model: "Model", resource: str, path: Path) -> Checked:
    from adapter.mapping.cases import load_cases, run_case

    try:
        cases = load_cases(path)
        faults = [
            f"{path}: {case.name}: {line}" for case in cases for line in run_case(model, resource, case, str(path))
        ]
    except DeclarationError as error:
        return Checked(file=str(path), resource=resource, cases=0, faults=[error.message])
    return Checked(file=str(path), resource=resource, cases=len(cases), faults=faults)


def _run_writes(model: "Model", path: Path) -> Checked:
    from adapter.directory.writing.cases import load_write_cases, run_write_case

    try:
        cases = load_write_cases(path)
        faults = [f"{path}: {case.name}: {line}" for case in cases for line in run_write_case(model, case)]
    except AdapterError as error:
        return Checked(file=str(path), resource="writes", cases=0, faults=[error.message])
    return Checked(file=str(path), resource="writes", cases=len(cases), faults=faults)


def _tell(results: list[Checked], faults: list[str]) -> None:
    from adapter.cli.output import table

    rows = [
        {"resource": result.resource, "cases": result.cases, "faults": len(result.faults), "file": result.file}
        for result in results
    ]
    if rows:
        table({"RESOURCE": "resource", "CASES": "cases", "FAULTS": "faults", "FILE": "file"}, rows)
    for fault in faults:
        note(f"error: {fault}")
    if not faults:
        typer.echo(f"{sum(result.cases for result in results)} cases hold.")


@keys.command(epilog=examples("ADAPTER_SECRET_KEYS=$NEW,$OLD adapter keys rotate"))
def rotate(as_json: AsJson = False) -> None:
    """Seal every credential with the first of ADAPTER_SECRET_KEYS; after that, the others can be taken out.

    The adapter goes on serving. What serves must know both keys before ($OLD,$NEW), and may forget $OLD after.
    Exit code 1: no key opens some credential. Put its key back, or connect that account anew.
    """

    async def rotated(house: "House") -> "KeyRotation":
        await house.connecting.rotate_keys()
        return await house.accounts.rotate_keys()

    rotation = in_house(rotated)
    if as_json:
        show_json(rotation)
    else:
        typer.echo(f"{rotation.resealed} credentials sealed anew; {rotation.current} were under the first key already.")
        for account_id in rotation.lost:
            note(f"error: no key opens the credential of account {account_id}.")
    if rotation.lost:
        raise typer.Exit(1)


@keys.command("check", epilog=examples("adapter keys check"))
def check_keys(as_json: AsJson = False) -> None:
    """Say whether ADAPTER_SECRET_KEYS opens every credential. Exit code 1 names the accounts that it doesn't."""
    lost = in_house(lambda house: house.accounts.lost_keys())
    if as_json:
        show_json({"lost": lost})
    elif not lost:
        typer.echo("Every credential can be opened.")
    else:
        for account_id in lost:
            note(f"error: no key opens the credential of account {account_id}.")
    if lost:
        raise typer.Exit(1)
