"""A command whose one argument is followed by the inputs of what it runs, known only when that has been looked up."""

from __future__ import annotations

import click


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
