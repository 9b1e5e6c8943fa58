"""The command line.

Owns: commands, their options, exit codes. Does not own: what they do (`serving`, `main`, use cases).

Exit codes: 0 done, 1 it did not work, 2 wrong usage, 78 not set up in a way the service can run (EX_CONFIG). After a second
signal: 75 all answers are on the spill shelf (EX_TEMPFAIL), 74 one is not (EX_IOERR).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import click

from tokenkeep import __version__
from tokenkeep.core.errors import Misconfigured, TokenkeepError
from tokenkeep.settings import Settings, from_environment

T = TypeVar("T")
CONFIG_EXIT = 78


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tokenkeep")
def cli() -> None:
    """Tokenkeep keeps credentials for workflow nodes. Settings are environment variables: docs/reference/settings.md."""


@cli.command()
def serve() -> None:
    """Run the service: pages, API and refresher."""
    from tokenkeep.serving import serve as run

    _run(run)


@cli.command()
@click.option("--loop", is_flag=True, help="Keep refreshing until stopped.")
def refresh(*, loop: bool) -> None:
    """Refresh what is due, once or for ever, without serving anything."""
    from tokenkeep.commands import refresh_once
    from tokenkeep.serving import refresh_loop

    if loop:
        _run(refresh_loop)
    else:
        click.echo(_run(refresh_once))


@cli.command()
def migrate() -> None:
    """Bring the database into today's shape."""
    from tokenkeep.commands import migrate_database

    click.echo(_run(migrate_database))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt(*, yes: bool) -> None:
    """Take over a database that was restored from a backup or copied; until then nothing of it is refreshed."""
    from tokenkeep.commands import adopt as take_over

    def agreed(meaning: str) -> None:
        click.echo(meaning, err=True)
        if not yes:
            click.confirm("Adopt it?", abort=True, err=True)

    click.echo(_run(lambda settings: take_over(settings, agreed)))


@cli.command("sign-in-link")
def sign_in_link() -> None:
    """Print a fresh one-time sign-in link."""
    from tokenkeep.commands import sign_in_link as mint

    click.echo(_run(mint))


@cli.command()
@click.argument("credential_id")
@click.option("--workspace", default="", help="Name or id; the oldest one if left out.")
def token(credential_id: str, workspace: str) -> None:
    """Print a live access token of CREDENTIAL_ID."""
    from tokenkeep.commands import live_token

    click.echo(_run(lambda settings: live_token(settings, credential_id, workspace=workspace)))


@cli.command()
def doctor() -> None:
    """Check settings, key, database and provider files, and say what is wrong."""
    from tokenkeep.commands import diagnose

    findings = _run(diagnose)
    for part, finding in findings.items():
        click.echo(f"{part:<12} {finding}")
    sys.exit(0 if all(finding.startswith("ok") for finding in findings.values()) else 1)


@cli.group()
def keys() -> None:
    """Service keys, for programs."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scopes", required=True, help="Comma-separated: tokens:read, credentials:read, credentials:write, connect, admin."
)
@click.option("--workspace", default="", help="Name or id; the oldest one if left out.")
@click.option("--credential", "credentials", multiple=True, help="Limit the key to this credential; may be repeated.")
@click.option("--days", type=click.IntRange(min=1), default=None, help="Let the key expire.")
def keys_create(name: str, scopes: str, workspace: str, credentials: tuple[str, ...], days: int | None) -> None:
    """Print a new service key. It is shown only now."""
    from tokenkeep.commands import create_key

    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    life = timedelta(days=days) if days else None
    click.echo(
        _run(
            lambda settings: create_key(
                settings, workspace, name=name, scopes=wanted, credentials=credentials, life=life
            )
        )
    )


@keys.command("list")
@click.option("--workspace", default="", help="Name or id; the oldest one if left out.")
def keys_list(workspace: str) -> None:
    """List service keys."""
    from tokenkeep.commands import list_keys

    for line in _run(lambda settings: list_keys(settings, workspace)):
        click.echo(line)


@keys.command("revoke")
@click.argument("key_id")
@click.option("--workspace", default="", help="Name or id; the oldest one if left out.")
def keys_revoke(key_id: str, workspace: str) -> None:
    """End the service key KEY_ID at once."""
    from tokenkeep.commands import revoke_key

    _run(lambda settings: revoke_key(settings, workspace, key_id))


@cli.group()
def providers() -> None:
    """Provider files."""


@providers.command("check")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
def providers_check(directory: Path | None) -> None:
    """Check the provider files of DIRECTORY; without it, the shipped ones and those of TOKENKEEP_PROVIDERS_DIR."""
    from tokenkeep.commands import provider_problems

    found, checked = provider_problems(directory, from_environment)
    for problem in found:
        click.echo(problem, err=True)
    if found:
        sys.exit(1)
    click.echo(f"{checked} provider files are in order.")


@providers.command("discover")
@click.argument("issuer")
@click.option("--name", default="", help="What people call it; the host if left out.")
@click.option("--id", "provider_id", default="", help="The provider's id; made from the address if left out.")
def providers_discover(issuer: str, name: str, provider_id: str) -> None:
    """Print a provider file, drafted from what the authorization server at ISSUER (https://…) says of itself."""
    from tokenkeep.commands import discover_provider

    click.echo(_run(lambda settings: discover_provider(settings, issuer, provider_id=provider_id, name=name)), nl=False)


@providers.command("docs")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def providers_docs(directory: Path) -> None:
    """Write a page of documentation for each shipped service into DIRECTORY."""
    from tokenkeep.commands import write_provider_pages

    click.echo(f"{write_provider_pages(directory)} pages are written.")


def _run(work: Callable[[Settings], Awaitable[T]]) -> T:
    """Read the settings, do the work, and turn failures into words and exit codes."""
    import uvloop

    from tokenkeep.adapters.logs import configure_logging

    try:
        settings = from_environment()
        configure_logging(settings.log_format, settings.log_level.upper())
        # uvicorn makes a loop only when it is the one that starts it, so the fast one is chosen here.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_awaited(work, settings))
    except TokenkeepError as fault:
        _complain(fault)
        sys.exit(CONFIG_EXIT if isinstance(fault, Misconfigured) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _awaited(work: Callable[[Settings], Awaitable[T]], settings: Settings) -> T:
    return await work(settings)


def _complain(fault: TokenkeepError) -> None:
    click.echo(f"tokenkeep: {fault.message}", err=True)
    for field, problem in getattr(fault, "fields", {}).items():
        click.echo(f"  {field}: {problem}", err=True)
    if fault.fix:
        click.echo(f"  {fault.fix}", err=True)


def main() -> None:
    """Entry point."""
    cli()


if __name__ == "__main__":
    main()
