"""``flytepath package``: code and compiled specs in one archive, to be registered on another machine."""

from __future__ import annotations

from pathlib import Path

import click

from flytepath.errors import UsageError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="OUT.tgz")
@click.option("--version", default=None, help="The version; by default a digest of all code and specs.")
@click.option("-p", "--project", default=None, help="The project whose plugin policy is checked.")
@click.option("-d", "--domain", default=None, help="The domain whose plugin policy is checked.")
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT.tgz.")
def package(
    paths: tuple[str, ...], output: Path, version: str | None, project: str | None, domain: str | None, force: bool
) -> None:
    """Write everything that files, folders, packages or modules define into an archive.

    `flytepath register OUT.tgz` takes it on a machine that has neither the code nor its libraries. The same code gives
    the same bytes.
    """
    from flytepath.cli.archive import write_archive
    from flytepath.cli.constants import ConstantBlobs
    from flytepath.cli.gathering import gather, version_of
    from flytepath.cli.register import checked_version
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    if not output.name.endswith((".tgz", ".tar.gz")):
        raise UsageError("an archive's name ends in .tgz or .tar.gz", place=str(output))
    if output.exists() and not force:
        raise UsageError("this file exists", place=str(output), hint="give another name, or -f to overwrite it")
    given = checked_version(version)
    constants = ConstantBlobs()
    compiled = gather(paths, Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN), constants)
    version = given or version_of(compiled)
    content = write_archive(compiled, constants.contents, version)
    scratch = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.replace(output)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise UsageError("the archive cannot be written", place=str(output), actual=str(error)) from error
    click.echo(f"{output}: {len(compiled)} entities, {len(content)} bytes, version {version}")
