"""``Checkpoint``: what a task leaves for its own next attempt.

Each save is a folder of its own, written beside the others, made durable, and put in place by one rename; it holds the
digests of everything in it. So an attempt that is killed while it saves leaves the save before it, whole; and what was
damaged later is passed over, with a warning, for the newest one that is as it was written.
"""

from __future__ import annotations

import operator
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar, overload

from flytepath.authoring import preemption
from flytepath.authoring.saves.failures import CheckpointError, CheckpointWarning
from flytepath.authoring.scratch import folder_of_this_process
from flytepath.errors import InputError

if TYPE_CHECKING:
    from flytepath.authoring.saves.places import Place
    from flytepath.authoring.saves.save import Kind, Save

__all__ = ["Checkpoint", "CheckpointError", "CheckpointWarning"]

#: How many saves are kept unless :meth:`Checkpoint.keep` says otherwise.
KEPT: Final = 3
_ONE_FILE: Final = "checkpoint"

HookT = TypeVar("HookT", bound=preemption.Hook)


class Checkpoint:
    """What ``current_context().checkpoint`` gives: the last attempt's state to start from, and a place for this one's.

    ``save(state, step=...)`` and ``load()`` are for states: dicts of numbers, arrays and tensors, dataclasses, bytes,
    a ``Path`` to a file or folder, or anything else that a task could return. ``write``, ``save(path)``, ``read``,
    ``restore`` and ``prev_exists`` are flytekit's: there, reading is about what an *earlier* attempt left.

    The newest save that is whole counts, over all earlier attempts and then those of the execution this one recovers.
    One that is torn or damaged is passed over with a :class:`CheckpointWarning` that names it.

    Args:
        checkpoint_dest: the folder, a path or a URL, that this attempt's saves go to; without one they are forgotten
            with this object.
        checkpoint_src: the folder of an earlier attempt's saves; it may be the same one.
        sources: the folders of all earlier attempts, newest first.
        attempt: the attempt's number.
        scratch: a folder for copies of what is loaded, made when it is needed. It is left to whoever gave it; without
            one, the copies go away with this object.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = Checkpoint(f"{folder}/1")
        ...     print(first.load())
        ...     first.save({"loss": [0.5, 0.25]}, step=1)
        ...     second = Checkpoint(f"{folder}/2", sources=[f"{folder}/1"])
        ...     print(second.load(), second.step)
        None
        {'loss': [0.5, 0.25]} 1
    """

    __slots__ = (
        *("_attempt", "_destination", "_earlier", "_found", "_hooks", "_kept", "_lock", "_looking", "_mine"),
        *("_owns_scratch", "_place", "_scratch", "_sources", "_step", "_swept"),
    )

    def __init__(
        self,
        checkpoint_dest: str | None = None,
        checkpoint_src: str | None = None,
        *,
        sources: Sequence[str] = (),
        attempt: int = 1,
        scratch: Path | None = None,
    ) -> None:
        self._sources = tuple(dict.fromkeys([*([checkpoint_src] if checkpoint_src else []), *sources]))
        self._destination = checkpoint_dest
        self._attempt = attempt
        self._lock = threading.RLock()
        self._kept = KEPT
        self._place: Place | None = None
        self._earlier: list[tuple[Save, Path]] = []  # what was found whole so far, and its data on this machine
        self._looking = self._whole()
        self._mine: set[str] = set()  # names of this attempt's saves
        self._step: int | None = None
        self._found = False
        self._swept = False
        self._scratch = scratch
        self._owns_scratch = scratch is None
        self._hooks: list[preemption.Hook] = []

    # --- states ---

    def load(self) -> Any:
        """The state that was saved last, as it was; ``None`` where nothing was.

        That is what this attempt saved, and before it has saved anything, what the attempts before it left. What
        flytekit's methods left comes back too: bytes, or the ``Path`` of a copy of the file or folder.

        Raises:
            CheckpointError: the state needs a class or a package that is not there.
        """
        from flytepath.authoring.saves.save import Unusable, pass_over

        with self._lock:
            for save, data in self._usable():
                try:
                    state = self._value(save, data)
                except Unusable as error:
                    pass_over(save.where, str(error))
                    continue
                self._step, self._found = save.step, True
                return state
            self._found = True
            return None

    @property
    def step(self) -> int | None:
        """The step of the state that :meth:`load` gave or :meth:`save` kept last; ``None`` where it has none."""
        with self._lock:
            if not self._found:
                newest = next(self._usable(), None)
                self._step, self._found = (None if newest is None else newest[0].step), True
            return self._step

    @overload
    def save(self, cp: Any, *, step: int, keep: int | None = None) -> None: ...
    @overload
    def save(self, cp: Path | str | BinaryIO, *, keep: int | None = None) -> None: ...
    def save(self, cp: Any, *, step: int | None = None, keep: int | None = None) -> None:
        """Save a state for the next attempt; it is on the disk when this returns.

        Args:
            cp: with ``step`` any state, see :class:`Checkpoint`; without, as in flytekit, the path of a file or a
                folder, or an open file.
            step: where the loop stands.
            keep: as :meth:`keep`, from now on.

        Raises:
            CheckpointError: something in it cannot be kept exactly; nothing is saved.
            OSError: it cannot be written; what was saved before still counts.
        """
        if keep is not None:
            self.keep(keep)
        if step is not None:
            from flytepath.authoring.saves.state import write_state

            self._leave("state", _checked_step(step), lambda data: write_state(cp, data))
            return
        if isinstance(cp, str | os.PathLike):
            self._save_path(Path(cp))
            return
        if not callable(getattr(cp, "read", None)):
            raise InputError(
                "without a step, a checkpoint is saved from a path or an open file",
                place="checkpoint.save()",
                expected="path or binary file",
                actual=type(cp).__name__,
                hint="save(state, step=...) takes any state; write() takes bytes",
            )
        name = getattr(cp, "name", None)
        self._leave(
            "file", None, lambda data: _stream(cp, data / (Path(name).name if type(name) is str else _ONE_FILE))
        )

    def keep(self, last: int) -> None:
        """Keep the ``last`` saves, over all attempts of the execution; 3 by default.

        Older ones are removed when a newer one is whole and on the disk, so there is always one that is.

        Raises:
            InputError: it is less than 1.
        """
        if type(last) is not int or last < 1:
            raise InputError(
                "at least one save is kept", place="checkpoint.keep()", expected="int >= 1", actual=repr(last)
            )
        self._kept = last

    # --- preemption ---

    def on_preemption(self, hook: HookT) -> HookT:
        """Call ``hook()`` or ``hook(seconds_left)`` when this attempt's machine is taken away, to save what there is.

        Also a decorator. Hooks run in the main thread, in the order they were given, between two steps of whatever the
        task does; then the attempt is ended. One that raises is reported with the attempt's error. At the deadline,
        ``FLYTEPATH_TERMINATION_SECONDS`` less a margin, the process is gone. In a direct call they are never called.

        Raises:
            InputError: it cannot be called so.
        """
        # A hook that came in the middle of their first import, by the task, would find half of them.
        import flytepath.authoring.saves.state  # and all it needs
        import flytepath.types.engine  # noqa: F401

        preemption.add_hook(hook)
        self._hooks.append(hook)
        return hook

    @property
    def preempted(self) -> bool:
        """Whether this attempt's machine is being taken away: save and return.

        A task that asks is not interrupted, but has until the deadline. What it then returns does not count: the
        attempt ends as preempted, and is tried again.
        """
        return preemption.is_preempted()

    # --- flytekit's: what an earlier attempt left ---

    def prev_exists(self) -> bool:
        """Whether an earlier attempt left a checkpoint that is whole."""
        return self._left() is not None

    def read(self) -> bytes | None:
        """The bytes an earlier attempt left with :meth:`write`, or its one file; ``None`` where it left nothing.

        Raises:
            CheckpointError: it is a folder of several files, or a state that is not bytes.
        """
        found = self._left()
        if found is None:
            return None
        save, data = found
        if save.kind == "state":
            state = self._value(save, data)
            if isinstance(state, Path) and state.is_file():
                return state.read_bytes()
            if not isinstance(state, bytes):
                raise _other_shape(save, f"a state of the type {type(state).__name__}", "bytes", "load()")
            return state
        if len(save.files) != 1:
            raise _other_shape(save, f"a folder with {len(save.files)} files", "bytes, or one file", "restore(folder)")
        return (data / save.files[0][0]).read_bytes()

    def restore(self, path: Path | str | None = None) -> Path | None:
        """Put what an earlier attempt left into a folder: a saved folder's content, or the one file under its name.

        Args:
            path: the folder, made if it is not there; without it, one that goes away with the attempt.

        Returns:
            The folder, or ``None`` where there is nothing to restore.

        Raises:
            CheckpointError: it is a state without files, or ``path`` is not a folder.
        """
        from flytepath.authoring.saves.save import content_of, copy_into

        found = self._left()
        if found is None:
            return None
        save, data = found
        folder = self._new_scratch() if path is None else Path(path)
        if folder.exists() and not folder.is_dir():
            raise CheckpointError("a checkpoint is restored into a folder", place=str(folder), actual="a file")
        files, folders = tuple(name for name, _, _ in save.files), save.folders
        if save.kind == "state":
            state = self._value(save, data)
            if isinstance(state, bytes):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / _ONE_FILE).write_bytes(state)
                return folder
            if not isinstance(state, Path):
                raise _other_shape(save, f"a state of the type {type(state).__name__}", "files", "load()")
            data = state if state.is_dir() else state.parent
            files, folders = content_of(data)
        folder.mkdir(parents=True, exist_ok=True)
        copy_into(data, folder, files, folders)
        return folder

    # --- flytekit's: what this attempt leaves ---

    def write(self, b: bytes | bytearray | memoryview) -> None:
        """Leave ``b`` for the next attempt.

        Raises:
            InputError: it is not bytes.
            OSError: it cannot be written; what was saved before still counts.
        """
        if not isinstance(b, bytes | bytearray | memoryview):
            raise InputError(
                "a checkpoint is written as bytes",
                place="checkpoint.write()",
                expected="bytes",
                actual=type(b).__name__,
                hint="save(state, step=...) takes any state",
            )

        def fill(data: Path) -> tuple[str, ...]:
            (data / _ONE_FILE).write_bytes(b)
            return ()

        self._leave("bytes", None, fill)

    def close(self) -> None:
        """Forget what goes away with the attempt."""
        for hook in self._hooks:
            preemption.remove_hook(hook)
        self._hooks.clear()
        if self._scratch is not None and self._owns_scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch, self._place = None, None

    # --- how ---

    def _save_path(self, path: Path) -> None:
        from flytepath.authoring.saves.save import content_of, copy_into

        if path.is_dir():
            files, folders = content_of(path)
            kind: Kind = "folder"
        elif path.is_file():
            path, files, folders, kind = path.parent, (path.name,), (), "file"
        else:
            raise CheckpointError(
                "there is nothing to save", place=str(path), expected="a file or a folder", actual="nothing there"
            )

        def fill(data: Path) -> tuple[str, ...]:
            copy_into(path, data, files, folders)
            return folders

        self._leave(kind, None, fill)

    def _leave(self, kind: Kind, step: int | None, fill: Callable[[Path], tuple[str, ...]]) -> None:
        from flytepath.authoring.saves.save import write

        with self._lock, preemption.shielded():
            if self._destination in self._sources:
                self._left()  # what was left must be known before more is put beside it
            place = self._own_place()
            save = write(place, self._new_scratch(), kind, step, self._attempt, fill)
            self._mine.add(save.name)
            self._step, self._found = step, True
            if self._destination is not None:
                preemption.note_saved(step)
            self._retain(place)

    def _retain(self, own: Place) -> None:
        """Remove what is not among the last saves; what was saved just now is whole, and stays."""
        from flytepath.authoring.saves.places import STAGED, place_of
        from flytepath.authoring.saves.save import names_in

        kept = self._kept
        in_use = {(save.place.where, save.name) for save, _ in self._earlier}
        places = [own, *(place_of(folder) for folder in self._sources if self._is_before(folder))]
        for place in places:
            names = names_in(place)
            for name in names[max(kept, 0) :]:
                if (place.where, name) not in in_use:
                    place.remove(name)
            kept -= len(names)
            if place is not own and not self._swept:
                for name in place.names():
                    if name.startswith(STAGED):
                        place.remove(name)
        self._swept = True

    def _is_before(self, folder: str) -> bool:
        """Whether a folder is that of an earlier attempt of this very execution, by the engine's way to name them."""
        own, _, mine = (self._destination or "").rpartition("/")
        other, _, number = folder.rpartition("/")
        return own == other and mine == str(self._attempt) and number.isdecimal() and int(number) < self._attempt

    def _left(self) -> tuple[Save, Path] | None:
        """The newest whole save of earlier attempts; what they left stays what it was when it was first looked for."""
        with self._lock:
            return next(self._before(), None)

    def _usable(self) -> Iterator[tuple[Save, Path]]:
        """Every whole save, the newest first: this attempt's, then those before."""
        from flytepath.authoring.saves.save import found_in

        if self._mine:
            own = (save for save in found_in(self._own_place(), is_left=False) if save.name in self._mine)
            yield from self._checked(own)
        yield from self._before()

    def _before(self) -> Iterator[tuple[Save, Path]]:
        index = 0
        while True:
            if index == len(self._earlier):
                found = next(self._looking, None)
                if found is None:
                    return
                self._earlier.append(found)
            yield self._earlier[index]
            index += 1

    def _whole(self) -> Iterator[tuple[Save, Path]]:
        from flytepath.authoring.saves.places import place_of
        from flytepath.authoring.saves.save import found_in

        for folder in self._sources:
            yield from self._checked(found_in(place_of(folder), is_left=folder != self._destination))

    def _checked(self, saves: Iterable[Save]) -> Iterator[tuple[Save, Path]]:
        from flytepath.authoring.saves.save import Unusable, pass_over

        for save in saves:
            try:
                yield save, save.data(self._new_scratch())
            except Unusable as error:
                pass_over(save.where, str(error))

    def _value(self, save: Save, data: Path) -> Any:
        from flytepath.authoring.saves.save import copy_into
        from flytepath.authoring.saves.state import read_state

        if save.kind == "state":
            return read_state(data, self._new_scratch())
        if save.kind == "bytes":
            return (data / save.files[0][0]).read_bytes()
        folder = self._new_scratch()
        folder.mkdir(parents=True)
        copy_into(data, folder, tuple(name for name, _, _ in save.files), save.folders)
        return folder if save.kind == "folder" else folder / save.files[0][0]

    def _own_place(self) -> Place:
        from flytepath.authoring.saves.places import place_of

        if self._place is None:
            self._place = place_of(self._destination or str(self._root_scratch() / "left"))
        return self._place

    def _root_scratch(self) -> Path:
        with self._lock:
            if self._scratch is None:
                self._scratch = folder_of_this_process()
            return self._scratch

    def _new_scratch(self) -> Path:
        import uuid

        return self._root_scratch() / uuid.uuid4().hex


def _checked_step(step: Any) -> int:
    try:
        number = operator.index(step)
    except TypeError:
        number = -1
    if number < 0 or isinstance(step, bool):
        raise InputError(
            "a step is a whole number from 0 on", place="checkpoint.save(step)", expected="int >= 0", actual=repr(step)
        )
    return number


def _stream(source: Any, target: Path) -> tuple[str, ...]:
    with target.open("xb") as file:
        shutil.copyfileobj(source, file)
    return ()


def _other_shape(save: Save, actual: str, expected: str, door: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint is {actual}", place=save.where, expected=expected, actual=actual, hint=f"use {door}"
    )
