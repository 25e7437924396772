"""``ImageSpec``: the environment a task needs, declared once.

On the local backend it becomes a virtual environment, elsewhere an image; both are known by :attr:`ImageSpec.tag`,
which is made of what they contain.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from flytepath.errors import DefinitionError
from flytepath.model.declared import (
    Declared,
    need_flag,
    need_optional_text,
    need_text,
    need_text_map,
    need_texts,
    plain,
    set_field,
)

_NAME = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*", re.ASCII)
_PYTHON = re.compile(r"3\.\d+(\.\d+)?", re.ASCII)
_LISTS = (
    *("packages", "conda_packages", "conda_channels", "apt_packages", "pip_extra_index_url"),
    *("entrypoint", "commands", "copy", "runtime_packages"),
)
_TEXTS = (
    *("builder", "source_root", "registry", "requirements", "cuda", "cudnn", "platform", "pip_index"),
    *("pip_extra_args", "registry_config", "tag_format", "python_exec"),
)
# They say how an image is made and where it is pushed, not what is in it.
_NOT_CONTENT = frozenset({"name", "registry", "registry_config", "builder", "tag_format", "push"})


class CopyFileDetection(enum.Enum):
    """Which of the author's files an image takes along."""

    LOADED_MODULES = "loaded_modules"
    ALL = "all"
    NO_COPY = "no_copy"


@dataclass(frozen=True, slots=True)
class ImageSpec(Declared):
    """What a task's environment contains. Every ``with_...`` returns a copy that has more.

    Args:
        name: the image's name.
        python_version: ``"3.12"``; the version of the process that declares it by default.
        builder: which builder makes the image.
        source_root: the folder of the author's code.
        env: environment variables of the image.
        registry: where the image is pushed.
        packages: requirements for pip.
        conda_packages, conda_channels: requirements for conda, and where from.
        requirements: a file of requirements for pip; its content counts, not its name.
        apt_packages: packages of the system.
        cuda, cudnn: their versions.
        base_image: an image to build upon, or the spec of one.
        platform: for example ``linux/arm64``.
        pip_index, pip_extra_index_url: where pip looks.
        pip_secret_mounts: pairs of a secret's file and where it is mounted while pip runs.
        pip_extra_args: more for pip's command line.
        registry_config: a file with the registry's credentials.
        entrypoint: what the image starts; empty for nothing.
        commands: run while the image is built.
        tag_format: how the tag is written, around ``{spec_hash}``.
        source_copy_mode: which of the author's files are taken along.
        copy: files and folders that are taken along; their content counts.
        python_exec: an interpreter that the base image has.
        runtime_packages: requirements that are installed when the task starts.
        builder_options, builder_config: for the builder.
        push: push the image although the registry has one of this tag; set by :meth:`force_push`.

    Raises:
        DefinitionError: an argument of the wrong kind, or a name that no registry takes.

    Example:
        >>> image = ImageSpec(name="train", packages=["scikit-learn==1.5"], python_version="3.12")
        >>> image == ImageSpec(name="train", packages=["scikit-learn==1.5"], python_version="3.12")
        True
        >>> more = image.with_packages("pandas").with_apt_packages(["git"])
        >>> more.packages, image.packages
        (('scikit-learn==1.5', 'pandas'), ('scikit-learn==1.5',))
        >>> more.tag == image.tag
        False
    """

    CopyFileDetection: ClassVar[type[CopyFileDetection]] = CopyFileDetection

    name: str = "flytepath"
    python_version: str | None = None
    builder: str | None = None
    source_root: str | None = None
    env: Mapping[str, str] | None = None
    registry: str | None = None
    packages: Sequence[str] | None = None
    conda_packages: Sequence[str] | None = None
    conda_channels: Sequence[str] | None = None
    requirements: str | None = None
    apt_packages: Sequence[str] | None = None
    cuda: str | None = None
    cudnn: str | None = None
    base_image: str | ImageSpec | None = None
    platform: str | None = None
    pip_index: str | None = None
    pip_extra_index_url: Sequence[str] | None = None
    pip_secret_mounts: Sequence[tuple[str, str]] | None = None
    pip_extra_args: str | None = None
    registry_config: str | None = None
    entrypoint: Sequence[str] | None = None
    commands: Sequence[str] | None = None
    tag_format: str | None = None
    source_copy_mode: Any = None
    copy: Sequence[str] | None = None
    python_exec: str | None = None
    runtime_packages: Sequence[str] | None = None
    builder_options: Mapping[str, Any] | None = None
    builder_config: Mapping[str, Any] | None = None
    push: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(need_text(self.name, "ImageSpec(name)").lower()):
            raise DefinitionError(
                "this cannot name an image",
                place="ImageSpec(name)",
                expected="letters, digits, '.', '_', '-' and '/'",
                actual=repr(self.name),
            )
        self._check_python()
        for name in _LISTS:
            if getattr(self, name) is not None:
                set_field(self, name, need_texts(getattr(self, name), f"ImageSpec({name})"))
        for name in _TEXTS:
            value = getattr(self, name)
            set_field(
                self, name, need_optional_text(str(value) if isinstance(value, Path) else value, f"ImageSpec({name})")
            )
        if self.env is not None:
            set_field(self, "env", need_text_map(self.env, "ImageSpec(env)"))
        if self.base_image is not None and not isinstance(self.base_image, ImageSpec):
            need_text(self.base_image, "ImageSpec(base_image)")
        if self.registry is not None and "://" in self.registry:
            raise DefinitionError(
                "a registry has no scheme",
                place="ImageSpec(registry)",
                expected=self.registry.partition("://")[2],
                actual=self.registry,
            )
        if self.tag_format is not None and "{spec_hash}" not in self.tag_format:
            raise DefinitionError(
                "a tag format holds the digest",
                place="ImageSpec(tag_format)",
                expected="for example '{spec_hash}-dev'",
                actual=self.tag_format,
            )
        self._check_rest()

    def _check_python(self) -> None:
        version: Any = self.python_version
        if version is None or (isinstance(version, str) and _PYTHON.fullmatch(version)):
            return
        raise DefinitionError(
            "this is not a version of Python",
            place="ImageSpec(python_version)",
            expected="for example '3.12'",
            actual=repr(version),
            hint="write it in quotes: the number 3.10 is 3.1" if isinstance(version, float) else None,
        )

    def _check_rest(self) -> None:
        if self.source_copy_mode is not None:
            try:
                set_field(self, "source_copy_mode", type(self).CopyFileDetection(self.source_copy_mode))
            except ValueError as error:
                raise DefinitionError(
                    "source_copy_mode is one of ImageSpec.CopyFileDetection",
                    place="ImageSpec(source_copy_mode)",
                    expected="loaded_modules, all or no_copy",
                    actual=repr(self.source_copy_mode),
                ) from error
        if self.pip_secret_mounts is not None:
            mounts = self.pip_secret_mounts
            if not isinstance(mounts, list | tuple) or not all(
                isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair)
                for pair in mounts
            ):
                raise DefinitionError(
                    "pip_secret_mounts takes pairs of a secret's file and its place",
                    place="ImageSpec(pip_secret_mounts)",
                    expected="list[tuple[str, str]]",
                    actual=repr(mounts),
                )
            set_field(self, "pip_secret_mounts", tuple((source, place) for source, place in mounts))
        for name in ("builder_options", "builder_config"):
            value = getattr(self, name)
            if value is None:
                continue
            try:
                set_field(self, name, json.loads(json.dumps(dict(value))))
            except (TypeError, ValueError) as error:
                raise DefinitionError(
                    f"{name} takes a dict that JSON can hold", place=f"ImageSpec({name})", actual=repr(value)
                ) from error
        need_flag(self.push, "ImageSpec(push)")

    @property
    def id(self) -> str:
        """A digest of everything that was said, for telling specs apart."""
        return _digest(self._canonical())

    @property
    def tag(self) -> str:
        """The image's tag: a digest of what the image contains, also of the files it takes along.

        Raises:
            DefinitionError: a file that is named cannot be read.
        """
        content = {name: value for name, value in self.to_json().items() if name not in _NOT_CONTENT}
        if isinstance(self.base_image, ImageSpec):
            content["base_image"] = self.base_image.tag
        if self.requirements is not None:
            content["requirements"] = _files_digest(self.requirements, "requirements")
        if self.copy:
            content["copy"] = [[path, _files_digest(path, "copy")] for path in self.copy]
        # The folder's place differs from machine to machine.
        if content.pop("source_root", None) and self.source_copy_mode is CopyFileDetection.ALL:
            content["source"] = _files_digest(str(self.source_root), "source_root")
        digest = _digest(json.dumps(content, sort_keys=True))[:24]
        return self.tag_format.format(spec_hash=digest) if self.tag_format else digest

    def compiled(self) -> dict[str, Any]:
        """What a compiled task keeps: this as JSON, with the content of the files that its requirements come from.

        So a version that was registered has the same environment later, whatever became of the files.

        Raises:
            DefinitionError: a file that is named cannot be read.
        """
        from flytepath.authoring.declared.requirement_files import RequirementFiles

        data, files = self.to_json(), RequirementFiles()
        for name in ("packages", "runtime_packages"):
            if name in data:
                data[name] = [files.package(line) for line in data[name]]
        if self.requirements is not None:
            files.read(Path(self.requirements))
            data["requirements"] = Path(self.requirements).name  # its folder differs from machine to machine
            data["requirements_text"] = "\n".join(files.requirements)
            if files.constraints:
                data["constraints_text"] = "\n".join(files.constraints)
        if files.local:
            data["content_digests"] = [_files_digest(str(path), "packages") for path in files.local]
        if isinstance(self.base_image, ImageSpec):
            data["base_image"] = self.base_image.compiled()
        return data

    def variables(self) -> dict[str, str]:
        """The environment variables of the image, and of the one it builds upon."""
        below = self.base_image.variables() if isinstance(self.base_image, ImageSpec) else {}
        return {**below, **(self.env or {})}

    def image_name(self) -> str:
        """The whole name: registry, name and tag."""
        name = f"{self.name.lower()}:{self.tag}"
        return f"{self.registry.lower().rstrip('/')}/{name}" if self.registry else name

    def is_container(self) -> bool:
        """Whether the running process is in this image.

        Tasks of the local backend run in processes, in the environment that was made of the spec, never in an image:
        there it is false. A container says which image it is with ``FLYTEPATH_IMAGE``.
        """
        import os

        return os.environ.get("FLYTEPATH_IMAGE") == self.image_name()

    def with_packages(self, packages: str | Sequence[str]) -> Self:
        """A copy with more requirements for pip."""
        return self._with("packages", packages)

    def with_apt_packages(self, apt_packages: str | Sequence[str]) -> Self:
        """A copy with more packages of the system."""
        return self._with("apt_packages", apt_packages)

    def with_commands(self, commands: str | Sequence[str]) -> Self:
        """A copy with more commands."""
        return self._with("commands", commands)

    def with_copy(self, src: str | Sequence[str]) -> Self:
        """A copy that takes more files along."""
        return self._with("copy", src)

    def with_runtime_packages(self, runtime_packages: Sequence[str]) -> Self:
        """A copy with more requirements that are installed when the task starts."""
        return self._with("runtime_packages", runtime_packages)

    def with_builder_options(self, builder_options: Mapping[str, Any]) -> Self:
        """A copy with more options for the builder."""
        return replace(self, builder_options={**(self.builder_options or {}), **builder_options})

    def force_push(self) -> Self:
        """A copy that is built and pushed although the registry has it."""
        return replace(self, push=True)

    @classmethod
    def from_env(cls, *, pinned_packages: Sequence[str] | None = None, **kwargs: Any) -> Self:
        """A spec with this process's Python, and with the versions it has of ``pinned_packages``.

        Raises:
            DefinitionError: a package that is not installed here.
        """
        import platform
        from importlib.metadata import PackageNotFoundError, version

        pins = []
        for name in need_texts(pinned_packages, "ImageSpec.from_env(pinned_packages)"):
            try:
                pins.append(f"{name}=={version(name)}")
            except PackageNotFoundError as error:
                raise DefinitionError(
                    f"{name} is not installed here, so its version is unknown",
                    place="ImageSpec.from_env(pinned_packages)",
                    actual=name,
                ) from error
        kwargs.setdefault("python_version", ".".join(platform.python_version_tuple()[:2]))
        packages = (*need_texts(kwargs.pop("packages", None), "ImageSpec.from_env(packages)"), *pins)
        return cls(packages=packages, **kwargs)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``."""
        known = dict(data)
        if isinstance(known.get("base_image"), Mapping):
            known["base_image"] = cls.from_json(known["base_image"])
        return super(ImageSpec, cls).from_json(known)

    def _with(self, name: str, more: str | Sequence[str]) -> Self:
        added = (more,) if isinstance(more, str) else need_texts(more, f"ImageSpec.with_{name}()")
        changes: dict[str, Any] = {name: (*(getattr(self, name) or ()), *added)}
        return replace(self, **changes)

    def _canonical(self) -> str:
        return json.dumps(plain(self.to_json()), sort_keys=True)

    def __hash__(self) -> int:
        return hash(self._canonical())


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _files_digest(path: str, field: str) -> str:
    """A digest of a file, or of a folder's files with their names below it."""
    import hashlib

    root = Path(path)
    digest = hashlib.sha256()
    try:
        if root.is_dir():
            skipped = {"__pycache__", ".git"}
            files = sorted(file for file in root.rglob("*") if file.is_file() and not skipped & set(file.parts))
        else:
            files = [root]
        for file in files:
            name = file.relative_to(root).as_posix()
            content = file.read_bytes()
            digest.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
    except OSError as error:
        raise DefinitionError(
            "an image takes along what cannot be read",
            place=f"ImageSpec({field})",
            expected="a file or folder",
            actual=f"{path}: {error.strerror or error}",
        ) from error
    return digest.hexdigest()
