"""The sources of a plugin that keeps every rule; ``{package}`` stands for its name."""

from __future__ import annotations

README = "A plugin for tests of the kit. It gives one task type and one transformer, and says so at some length.\n"
MANIFEST = """
    from flytepath.plugin import TaskTypeDeclaration, TransformerDeclaration, hookimpl

    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(
            name="{package}", task_type="{package}.task:SampleType", config="{package}.task:Config")]

    @hookimpl
    def flytepath_transformers():
        return [TransformerDeclaration(
            python_types=("{package}.types.Thing",), transformer="{package}.types:ThingTransformer", format="thing")]
"""
TASK = """
    from dataclasses import dataclass
    from flytepath.plugin import TaskType

    @dataclass(frozen=True)
    class Config:
        size: int = 1

    class SampleType(TaskType):
        def compile(self, declaration):
            return {"size": declaration.config.size}
"""
TYPES = """
    from dataclasses import dataclass
    from flytepath.plugin import Literal, LiteralType, TypeTransformer, TypeTransformerFailedError

    class Thing:
        def __init__(self, name):
            self.name = name
        def __eq__(self, other):
            return type(other) is Thing and other.name == self.name
        __hash__ = None

    class ThingTransformer(TypeTransformer):
        format = "thing"
        def literal_type(self, t):
            return LiteralType("opaque", name="Thing", format="thing")
        def encode(self, value, t, sink):
            if type(value) is not Thing:
                raise TypeTransformerFailedError("not a thing", expected="Thing", actual=type(value).__name__)
            return Literal.make(self.literal_type(t), {"name": value.name}, format=self.format)
        def decode(self, literal, t, source):
            return Thing(literal.data["name"])
"""
