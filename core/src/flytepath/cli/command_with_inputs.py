"""Commands whose arguments are followed by the inputs of what is run, known only when that has been looked up."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


class CommandWithInputs(click.Command):
    """Takes its own options up to its argument; what follows belongs to what is run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ensure_object(dict)
        takes_value = self.own_options(ctx)
        index, found = 0, False
        while index < len(args) and not found:
            found = not args[index].startswith("-")
            index += 1 + (takes_value.get(args[index], False) and index + 1 < len(args))
        ctx.obj["head"], ctx.obj["tail"] = args[:index], args[index:]
        return super().parse_args(ctx, args[:index])

    def own_options(self, ctx: click.Context) -> dict[str, bool]:
        """The command's options, and whether each takes a value."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        return {name: not option.is_flag for option in options for name in option.opts}


class CommandOfEntity(click.Command):
    """Takes its own options up to NAME; what follows belongs to what is run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ensure_object(dict)
        takes_value = self.own_options(ctx)
        positional, index = 0, 0
        while index < len(args) and positional < 2:
            word = args[index]
            if word.startswith("-") and word != "-":
                index += 1 + (takes_value.get(word, False) and index + 1 < len(args))
            else:
                positional += 1
                index += 1
        head, tail = args[:index], args[index:]
        ctx.obj["head"], ctx.obj["tail"] = list(head), tail
        return super().parse_args(ctx, head)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """After NAME its inputs, and then the command's own options."""
        from flytepath.cli.completion import complete_inputs

        own = super().shell_complete(ctx, incomplete)
        if not ctx.params.get("name") or (incomplete and not incomplete.startswith("-")):
            return own
        return complete_inputs(str(ctx.params["source"]), str(ctx.params["name"]), incomplete) + own

    def own_options(self, ctx: click.Context) -> dict[str, bool]:
        """The command's options, and whether each takes a value."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        return {name: not option.is_flag for option in options for name in option.opts if name not in ("-h", "--help")}


def completed(kind: str) -> Any:
    """Completes a source, or the name of something in it."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from flytepath.cli.completion import complete_names, complete_sources

        if kind == "source":
            return complete_sources(incomplete)
        return complete_names(str(ctx.params.get("source")), incomplete)

    return complete
