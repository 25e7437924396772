"""``flytepath render``: what a workflow or task would submit to its backends, without running or asking anybody."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from flytepath import config
from flytepath.cli.command_with_inputs import CommandOfEntity, completed
from flytepath.cli.constants import ConstantBlobs
from flytepath.errors import LiteralError
from flytepath.model.literal import BlobRef

if TYPE_CHECKING:
    from flytepath.client.rendering import RenderedJob, Rendering


@click.command(cls=CommandOfEntity)
@click.argument("source", metavar="FILE|MODULE", shell_complete=completed("source"))
@click.argument("name", shell_complete=completed("name"))
@click.option("-p", "--project", default=None, help="By the settings and policies of this project.")
@click.option("-d", "--domain", default=None, help="By those of this domain.")
@click.option("--backend", default="", help="Where tasks with a body go that name no backend.")
@click.option("--inputs-file", type=click.Path(path_type=Path), help="A JSON or YAML file with inputs by name.")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", help="By default YAML.")
@click.pass_context
def render(ctx: click.Context, /, source: str, name: str, **own: Any) -> None:
    """Print what workflow, task or launch plan NAME of a Python file or module would submit to its backends.

    On a backend that creates Kubernetes objects, these are the manifests. Nothing is run, no service is asked, and no
    credentials are needed. Inputs may follow as --INPUT VALUE; what is not given, and what only a run knows, is stood
    in for by a value of its type.
    """
    from flytepath.cli.descriptions import show_help
    from flytepath.cli.inputs import read_given, split_arguments
    from flytepath.cli.loading import load
    from flytepath.client.rendering import render_jobs
    from flytepath.compiler import compile_entity
    from flytepath.compiler.literals import encode
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant
    from flytepath.plugin.manager import current

    entity = load(source).find(name)
    command: CommandOfEntity = ctx.command  # type: ignore[assignment]
    given = split_arguments(ctx.obj["tail"], entity, command.own_options(ctx))
    if given.wants_help:
        show_help(source, name, entity, "render")
        return
    if given.own:
        own = command.make_context(ctx.info_name, [*given.own, *ctx.obj["head"]], parent=ctx.parent).params
    tenant = Tenant(own["project"] or DEFAULT_PROJECT, own["domain"] or DEFAULT_DOMAIN)
    if own["backend"] not in ("", "local"):
        current().backend(own["backend"])  # a name that is mistyped would only be overlooked
    blobs = _DigestedBlobs()
    spec = compile_entity(entity, tenant, blobs, _referred, own["backend"])
    values = read_given(entity, given.texts, own["inputs_file"])
    inputs = {
        key: encode(entity.input_codecs[key], value, blobs, f"{entity.name}({key})") for key, value in values.items()
    }
    found = render_jobs(spec, tenant, inputs, blobs)
    if own["form"] == "json":
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False))
    else:
        click.echo("\n".join(_documents(found)))


class _DigestedBlobs(ConstantBlobs):
    """Constants are kept, as a graph may look into them; of files only the digest is, however large they are."""

    def put_file(self, path: Path) -> BlobRef:
        """Name the file at ``path`` by its content."""
        with path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        return BlobRef(f"constant:{digest}", digest, path.stat().st_size)

    def get(self, ref: BlobRef) -> bytes:
        """What was kept."""
        return self.contents[ref.digest]

    def open(self, ref: BlobRef) -> BinaryIO:
        """What was kept, as a stream."""
        import io

        return io.BytesIO(self.get(ref))

    def local_path(self, ref: BlobRef) -> Path:
        """There is none: nothing is written to disk."""
        raise LiteralError("what is only rendered lies in no file", place=ref.uri)


def _referred(kind: str, identity: Any) -> Any:
    """Something registered; the store is opened only where something is referred to."""
    from flytepath.client import LocalClient

    with LocalClient(config.home()) as client:
        return client.referred(kind, identity)


def _documents(found: Rendering) -> Iterator[str]:
    yaml: Any = importlib.import_module("yaml")  # by name: it has no types of its own

    class Readable(yaml.SafeDumper):  # type: ignore[misc]  # its base is not known
        """Text of several lines, a query or a script, as it was written."""

    Readable.add_representer(
        str, lambda it, text: it.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
    )
    for number, job in enumerate(found.jobs):
        if number:
            yield "---"
        yield f"# {_title(job)}"
        # By way of JSON, which is what is submitted: YAML would write tuples and enums as Python has them.
        plain = json.loads(json.dumps(job.spec))
        yield yaml.dump(plain, None, Readable, sort_keys=True, width=120, allow_unicode=True).rstrip()
    for each in (*found.later, *found.here):
        yield f"# {each.node} {each.task}: {each.why}"
    if not found.jobs:
        yield "# no job would be submitted"


def _title(job: RenderedJob) -> str:
    words = [f"{job.node} {job.task} on {job.backend}"]
    if job.items:
        words.append(f"{job.items} item{'s' if job.items > 1 else ''} in one job")
    if job.jobs > 1:
        words.append(f"the first of {job.jobs} jobs")
    if job.unknown:
        words.append(f"known when it runs: {', '.join(job.unknown)}")
    if job.policies:
        words.append(f"changed by {', '.join(job.policies)}")
    return "; ".join(words)
