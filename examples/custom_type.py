"""A type of your own: how its values are kept between tasks, said once, beside the class.

    flytepath run examples/custom_type.py play

What it shows:

- a ``TypeTransformer`` that turns a board of Conway's Game of Life into text in a blob, and back;
- ``TypeEngine.register``: from then on the type works in tasks, alone and inside of lists and data classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from flytepath import Literal, LiteralType, TypeEngine, TypeTransformer, task, workflow


class Board:
    """The living cells of a board without an edge."""

    def __init__(self, cells: Iterable[tuple[int, int]]) -> None:
        self.cells = frozenset(cells)

    def next(self) -> Board:
        """The next generation: a cell lives with three neighbours, and goes on living with two."""
        neighbours = Counter(
            (x + dx, y + dy) for x, y in self.cells for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy
        )
        return Board(cell for cell, count in neighbours.items() if count == 3 or (count == 2 and cell in self.cells))


class BoardTransformer(TypeTransformer[Board]):
    """Keeps a board as text: a line for each living cell."""

    format = "life"

    def literal_type(self, t: Any) -> LiteralType:
        """What a board is called where types are compared."""
        return LiteralType("opaque", name="life.Board", format=self.format)

    def encode(self, value: Board, t: Any, sink: Any) -> Literal:
        """Sorted, so that equal boards are equal content."""
        blob = sink.put("\n".join(f"{x} {y}" for x, y in sorted(value.cells)).encode())
        return Literal.make(self.literal_type(t), None, format=self.format, ref=blob)

    def decode(self, literal: Literal, t: Any, source: Any) -> Board:
        """The board that was kept."""
        lines = source.get(literal.ref).decode().splitlines()
        return Board((int(x), int(y)) for x, y in map(str.split, lines))


TypeEngine.register(BoardTransformer())


@task
def step(board: Board) -> Board:
    """The next generation."""
    return board.next()


@task
def glider() -> Board:
    """Five cells that fly."""
    return Board([(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)])


@task
def position(boards: list[Board]) -> list[int]:
    """How far the leftmost cell has come, generation by generation."""
    return [min(x for x, _ in board.cells) for board in boards]


@workflow
def play() -> list[int]:
    """Four generations move a glider by one."""
    boards = [glider()]
    for _ in range(4):
        boards.append(step(board=boards[-1]))
    return position(boards=boards)
