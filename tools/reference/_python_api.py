# SPDX-License-Identifier: Apache-2.0
"""The Python API that is meant to be used, from the docstrings. The sources are read, not imported."""

from collections.abc import Iterator
from pathlib import Path

import griffe

from tools.reference._markdown import block, escape, prose, table

# What they export is the API; of LAYERS, every package in them.
POLICY = ("policy",)
LAYERS = ("data", "evaluation")


def api_packages(root: Path) -> list[str]:
    """Dotted names below dit_policy_ros of the packages that export something for users."""
    package = root / "dit_policy_ros"
    found = [
        str(path.parent.relative_to(package)).replace("/", ".")
        for layer in LAYERS
        for path in sorted((package / layer).rglob("__init__.py"))
    ]
    return [name for name in (*POLICY, *found) if exported_names(root, name)]


def exported_names(root: Path, package: str) -> list[str]:
    """`__all__` of a package, if it has one."""
    module = _load(root)[package]
    return [str(name) for name in module.exports or ()]


def python_api_page(root: Path) -> str:
    names = api_packages(root)
    parts = [
        "# Python API\n",
        "What these packages export is meant to be used from other programs. A module whose name begins "
        "with `_` is private. `from dit_policy_ros.policy import load_policy` loads a checkpoint.\n",
        table(
            ("package", "what it is"), ((f"[{n}](#api-{_slug(n)})", _summary(_load(root)[n])) for n in names)
        ),
    ]
    for name in names:
        module = _load(root)[name]
        parts += [f"(api-{_slug(name)})=", f"## dit_policy_ros.{name}\n", prose(_doc(module)) + "\n"]
        for exported in exported_names(root, name):
            parts.append("\n".join(_entry(exported, module[exported])))
    return "\n".join(parts)


_loaded: dict[Path, griffe.Module] = {}


def _load(root: Path) -> griffe.Module:
    if root not in _loaded:
        loader = griffe.GriffeLoader(search_paths=[root], allow_inspection=False)
        module = loader.load("dit_policy_ros", try_relative_path=False)
        loader.resolve_aliases(implicit=True, external=False)
        assert isinstance(module, griffe.Module)
        _loaded[root] = module
    return _loaded[root]


def _slug(name: str) -> str:
    return name.replace(".", "-").replace("_", "-")


def _doc(thing: griffe.Object | griffe.Alias) -> str:
    return thing.docstring.value if thing.docstring else ""


def _summary(thing: griffe.Object | griffe.Alias) -> str:
    return prose(_doc(thing).split("\n\n")[0])


def _entry(name: str, thing: griffe.Object | griffe.Alias) -> Iterator[str]:
    yield f"### {escape(name)}\n"
    if thing.is_function:
        yield block(_signature(name, thing), "python")
    elif thing.is_class:
        parameters = thing.parameters if "__init__" in thing.members or thing.labels else None
        yield block(f"class {name}" + (_parameters(parameters) if parameters else ""), "python")
    elif thing.is_attribute:
        value = f" = {thing.value}" if thing.value is not None and len(str(thing.value)) < 80 else ""
        yield block(f"{name}{value}", "python")
    yield from _text(thing)
    if thing.is_class:
        for member_name, member in thing.members.items():
            is_public = not member_name.startswith("_") and not member.is_alias
            if is_public and member.is_function and member.docstring:
                yield block(_signature(member_name, member), "python")
                yield from _text(member)


def _signature(name: str, function: griffe.Object | griffe.Alias) -> str:
    returns = f" -> {function.returns}" if function.returns is not None else ""
    return f"{name}{_parameters(function.parameters)}{returns}"


def _parameters(parameters: griffe.Parameters) -> str:
    shown: list[str] = []
    marked = False
    for each in parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and not marked:
            shown.append("*")
            marked = True
        marked = marked or each.kind is griffe.ParameterKind.var_positional
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
            each.kind, ""
        )
        annotation = f": {each.annotation}" if each.annotation is not None else ""
        default = f" = {each.default}" if each.default is not None and not star else ""
        shown.append(f"{star}{each.name}{annotation}{default}")
    one_line = f"({', '.join(shown)})"
    return one_line if len(one_line) < 90 else "(\n    " + ",\n    ".join(shown) + ",\n)"


def _text(thing: griffe.Object | griffe.Alias) -> Iterator[str]:
    if thing.docstring is None:
        return
    for section in thing.docstring.parse("google", warnings=False):
        match section.kind:
            case griffe.DocstringSectionKind.text:
                yield prose(section.value) + "\n"
            case griffe.DocstringSectionKind.parameters | griffe.DocstringSectionKind.attributes:
                yield from (f"- `{each.name}`: {_line(each.description)}" for each in section.value)
                yield ""
            case griffe.DocstringSectionKind.returns | griffe.DocstringSectionKind.yields:
                yield from (
                    f"Returns: {_line(f'{each.name}: ' * bool(each.name) + each.description)}\n"
                    for each in section.value
                )
            case griffe.DocstringSectionKind.raises:
                yield "Raises:\n"
                yield from (f"- `{each.annotation}`: {_line(each.description)}" for each in section.value)
                yield ""
            case _:
                yield prose(thing.docstring.value) + "\n"


def _line(text: str) -> str:
    return prose(" ".join(text.split()))
