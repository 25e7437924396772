"""Compiled workflows as pictures and text: a layered SVG drawn without any other program, Mermaid, DOT, and a tree.

Everything here is a pure function of a ``WorkflowSpec``: the same spec gives the same bytes.
"""

from __future__ import annotations

from flytepath.drawing.dot import draw_dot
from flytepath.drawing.mermaid import draw_mermaid
from flytepath.drawing.picture import Picture, Shape, picture_of
from flytepath.drawing.svg import draw_svg
from flytepath.drawing.tree import Item, draw_tree, tree_of

__all__ = ["Item", "Picture", "Shape", "draw_dot", "draw_mermaid", "draw_svg", "draw_tree", "picture_of", "tree_of"]
