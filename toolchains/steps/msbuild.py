"""MSBuild's expressions and conditions, as far as CPython's PCbuild has them; a module of vcxproj.py's.

https://learn.microsoft.com/visualstudio/msbuild/property-functions and /msbuild-conditions. There is no registry: its values are empty.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element


class Unsupported(ValueError):
    """An expression that is not understood; the message names its file."""


Values = Mapping[str, str | Unsupported]
"""Lower-case name of a property or of metadata -> value, or why there is none, which is raised where the value is asked for."""


@dataclass(frozen=True)
class Item:
    """One file of an ItemGroup: `include` as written, and metadata."""

    include: str
    metadata: Values


@dataclass(frozen=True)
class Scope:
    """What an expression in `file` sees. `metadata` is None where %(Name) means nothing."""

    file: Path
    properties: Values
    metadata: Values | None = None
    items: Mapping[str, list[Item]] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """The value of a property, "" if there is none. Raises Unsupported."""
        return known(_of_file(self.file).get(name.lower()) or self.properties.get(name.lower(), ""))


def known(value: str | Unsupported) -> str:
    """The value. Raises Unsupported, if that is what stands for it."""
    if isinstance(value, Unsupported):
        raise value
    return value


def _of_file(file: Path) -> dict[str, str]:
    return {"msbuildthisfile": file.name, "msbuildthisfilename": file.stem, "msbuildthisfiledirectory": f"{file.parent}/"}


# Expressions


class Groups(tuple[str, ...]):
    """The groups of a match; beyond the last one there are empty ones, as in .NET."""


class Version(tuple[int, ...]):
    """System.Version; a part that is not there is -1."""


VERSION = ("major", "minor", "build", "revision")


def _match(text: str, pattern: str) -> Groups:
    found = re.search(pattern, text)
    return Groups(group or "" for group in (found[0], *found.groups())) if found else Groups(("",))


def _full_path(path: str) -> str:
    plain = path.replace("\\", "/")
    if not plain.startswith("/"):
        raise ValueError("a relative path")
    return posixpath.normpath(plain).rstrip("/") + ("/" if plain.endswith("/") else "")


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if not 0 <= start <= end <= len(text):
        raise ValueError("outside of the text")
    return text[start:end]


STATIC: Mapping[str, Callable[..., object]] = {
    "system.io.path::getfullpath": _full_path,
    "system.io.file::readalltext": lambda path: Path(path.replace("\\", "/")).read_text(encoding="utf-8"),
    "system.text.regularexpressions.regex::match": _match,
    "system.version::parse": lambda text: Version(map(int, text.split("."))),
    "msbuild::add": lambda one, other: int(one) + int(other),
    "msbuild::subtract": lambda one, other: int(one) - int(other),
    "msbuild::multiply": lambda one, other: int(one) * int(other),
    "msbuild::bitwiseor": lambda one, other: int(one) | int(other),
    "msbuild::bitwiseand": lambda one, other: int(one) & int(other),
}

METHODS: Mapping[str, Callable[..., object]] = {
    "contains": lambda text, part: part in text,
    "endswith": str.endswith,
    "indexof": str.find,
    "lastindexof": str.rfind,
    "length": len,
    "replace": str.replace,
    "split": str.split,
    "startswith": str.startswith,
    "substring": lambda text, start, *length: _substring(text, int(start), *map(int, length)),
    "tolower": str.lower,
    "toupper": str.upper,
    "trim": str.strip,
    "trimend": str.rstrip,
    "trimstart": str.lstrip,
    "value": str,
}


def _text(value: object) -> str:
    if isinstance(value, Version):
        return ".".join(map(str, value))
    return ";".join(value) if isinstance(value, list | Groups) else str(value)


def closing(text: str, start: int) -> int:
    """Place of the parenthesis that ends what begins at `start`; those in quotes do not count. Raises ValueError when there is none."""
    at, depth = start, 1
    while at < len(text):
        if text[at] in "'\"`":
            at = text.index(text[at], at + 1)
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
        at += 1
    raise ValueError("a parenthesis is not closed")


def _arguments(text: str) -> list[str]:
    """Parts between commas that are in no quotes or parentheses; quotes around a whole part are taken off."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] in "'\"`":
            at = text.index(text[at], at + 1)
        elif text[at] == "(":
            at = closing(text, at + 1)
        elif text[at] == ",":
            parts.append(text[start:at])
            start = at + 1
        at += 1
    stripped = [part.strip() for part in (*parts, text[start:])]
    return (
        [part[1:-1] if len(part) > 1 and part[0] in "'\"`" and part[0] == part[-1] else part for part in stripped] if text.strip() else []
    )


def _call(text: str, at: int, scope: Scope) -> tuple[list[str], int]:
    """The arguments, if `text` has parentheses at `at`, and the place after them."""
    if text[at : at + 1] != "(":
        return [], at
    end = closing(text, at + 1)
    return [expand(argument, scope) for argument in _arguments(text[at + 1 : end])], end + 1


def _member(value: object, name: str, arguments: list[str]) -> object:
    if isinstance(value, Version) and name in VERSION:
        return [*value, -1, -1, -1][VERSION.index(name)]
    if isinstance(value, Groups) and name == "groups":
        return value
    if not isinstance(value, str) or name not in METHODS:
        raise ValueError(f"{name} is not understood")
    return METHODS[name](value, *arguments)


def _property(body: str, scope: Scope) -> object:
    """The value of $(body): of a property or function, and of members and indexes of it. Raises ValueError, and what functions raise."""
    body = body.strip()
    if body.lower().startswith("registry:"):
        return ""
    begin = re.match(r"(?:\[([\w.]+)\]::)?(\w+)", body)
    if not begin:
        raise ValueError("not understood")
    at, value = begin.end(), object()
    if begin[1]:
        arguments, at = _call(body, at, scope)
        function = f"{begin[1]}::{begin[2]}".lower()
        if function not in STATIC:
            raise ValueError(f"{function} is not understood")
        value = STATIC[function](*arguments)
    else:
        value = scope.get(begin[2])
    while at < len(body):
        step = re.compile(r"\.(\w+)|\[(\d+)\]").match(body, at)
        if not step:
            raise ValueError(f"{body[at:]} is not understood")
        if step[1]:
            arguments, at = _call(body, step.end(), scope)
            value = _member(value, step[1].lower(), arguments)
        else:
            if not isinstance(value, list | Groups):
                raise ValueError("an index of what is no list")
            at, index = step.end(), int(step[2])
            value = "" if isinstance(value, Groups) and index >= len(value) else value[index]
    return value


def expand(text: str, scope: Scope) -> str:
    """`text` with the values of $(...), then of %(...) and @(...), where there are items. Raises Unsupported."""
    out, at = "", 0
    while (start := text.find("$(", at)) >= 0:
        try:
            end = closing(text, start + 2)
            value = _text(_property(text[start + 2 : end], scope))
        except Unsupported:
            raise
        except (ValueError, TypeError, IndexError, OSError, re.error) as error:
            raise Unsupported(f"{scope.file.name}: {' '.join(text[start:].split())}: {error}") from error
        out, at = out + text[at:start] + value, end + 1
    out += text[at:]
    metadata = scope.metadata
    if metadata is None:
        return out
    if transform := re.search(r"@\((?!\w+\))", out):
        raise Unsupported(f"{scope.file.name}: {out[transform.start() :]}: not understood")
    out = re.sub(r"%\((?:\w+\.)?(\w+)\)", lambda found: known(metadata.get(found[1].lower(), "")), out)
    return re.sub(r"@\((\w+)\)", lambda found: ";".join(item.include for item in scope.items.get(found[1].lower(), [])), out)


# Conditions


@dataclass(frozen=True)
class Operand:
    """Text to expand."""

    text: str


@dataclass(frozen=True)
class Call:
    """Exists or HasTrailingSlash of a text to expand."""

    name: str
    argument: str


@dataclass(frozen=True)
class Not:
    of: "Condition"


@dataclass(frozen=True)
class Binary:
    """`operator` is one of ==, !=, <, >, <=, >=, and, or."""

    operator: str
    left: "Condition"
    right: "Condition"


Condition = Operand | Call | Not | Binary


def _tokens(text: str) -> Iterator[Condition | str]:
    """Operands and calls, and operators and parentheses as they are. Raises ValueError."""
    at = 0
    while at < len(text):
        found = re.compile(r"\s+|==|!=|<=|>=|[<>!()]|'|[$%@]\(|[\w.-]+").match(text, at)
        if not found:
            raise ValueError(f"{text[at:]} is not understood")
        token, at = found[0], found.end()
        if token == "'":
            start = at
            while text[at : at + 1] != "'":
                at = closing(text, at + 2) if text[at : at + 2] == "$(" else at
                at += 1
                if at >= len(text):
                    raise ValueError("a quote is not closed")
            yield Operand(text[start:at])
            at += 1
        elif token[0] in "$%@":
            start, at = found.start(), closing(text, at) + 1
            yield Operand(text[start:at])
        elif token.lower() in ("exists", "hastrailingslash") and text[at : at + 1] == "(":
            start, at = at + 1, closing(text, at + 1) + 1
            yield Call(token.lower(), "".join(_arguments(text[start : at - 1])))
        elif not token.isspace():
            yield Operand(token) if token[0] not in "=!<>()" and token.lower() not in ("and", "or") else token.lower()


def parse(text: str) -> Condition:
    """The tree of a condition: or, and, one comparison, ! and parentheses, from loose to tight. Raises ValueError."""
    tokens = list(_tokens(text))
    condition = _chain(tokens, "or")
    if tokens:
        raise ValueError(f"{tokens[0]} is too much")
    return condition


def _chain(tokens: list[Condition | str], operator: str) -> Condition:
    following: Callable[[], Condition] = (lambda: _chain(tokens, "and")) if operator == "or" else (lambda: _comparison(tokens))
    condition = following()
    while tokens[:1] == [operator]:
        tokens.pop(0)
        condition = Binary(operator, condition, following())
    return condition


def _comparison(tokens: list[Condition | str]) -> Condition:
    left = _factor(tokens)
    if tokens and isinstance(tokens[0], str) and tokens[0][0] in "=!<>" and tokens[0] != "!":
        operator = tokens.pop(0)
        assert isinstance(operator, str)
        return Binary(operator, left, _factor(tokens))
    return left


def _factor(tokens: list[Condition | str]) -> Condition:
    if not tokens:
        raise ValueError("an operand is missing")
    token = tokens.pop(0)
    if token == "!":
        return Not(_factor(tokens))
    if token == "(":
        inner = _chain(tokens, "or")
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("a parenthesis is not closed")
        return inner
    if isinstance(token, str):
        raise ValueError(f"{token} stands where an operand should")
    return token


BOOLEANS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def _number(text: str) -> float | None:
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?|[+-]?\.\d+", text, re.ASCII) else None


def compare(operator: str, left: str, right: str) -> bool:
    """As numbers, truth values or text without regard to case; with < and the like, as numbers or versions. Raises ValueError."""
    one, other = _number(left), _number(right)
    numbers = one is not None and other is not None
    if operator in ("==", "!="):
        truths = left.lower() in BOOLEANS and right.lower() in BOOLEANS
        same = BOOLEANS[left.lower()] == BOOLEANS[right.lower()] if truths else one == other if numbers else left.lower() == right.lower()
        return same == (operator == "==")
    if one is not None and other is not None:
        order = (one > other) - (one < other)
    else:
        first, second = ([int(part) for part in text.split(".")] for text in (left, right))
        order = (first > second) - (first < second)
    return order in {"<": [-1], ">": [1], "<=": [-1, 0], ">=": [0, 1]}[operator]


def _exists(path: str, scope: Scope) -> bool:
    # (Path("") would be the folder itself)
    return bool(path) and (Path(scope.get("MSBuildProjectDirectory")) / path.replace("\\", "/")).exists()


def _truth(condition: Condition, scope: Scope) -> bool:
    """Raises Unsupported, and ValueError when an operand is no truth value."""
    if isinstance(condition, Not):
        return not _truth(condition.of, scope)
    if isinstance(condition, Call):
        argument = expand(condition.argument, scope)
        return _exists(argument, scope) if condition.name == "exists" else argument.endswith(("/", "\\"))
    if isinstance(condition, Operand):
        text = expand(condition.text, scope)
        if text.lower() not in BOOLEANS:
            raise ValueError(f"{condition.text} is '{text}', neither true nor false")
        return BOOLEANS[text.lower()]
    if condition.operator in ("and", "or"):
        left = _truth(condition.left, scope)
        return _truth(condition.right, scope) if left == (condition.operator == "and") else left
    sides = [
        expand(side.text, scope) if isinstance(side, Operand) else str(_truth(side, scope)) for side in (condition.left, condition.right)
    ]
    return compare(condition.operator, *sides)


def holds(element: Element, scope: Scope) -> bool:
    """Whether the element's condition, if it has one, is true. Raises Unsupported."""
    text = element.get("Condition", "").strip()
    try:
        return not text or _truth(parse(text), scope)
    except Unsupported:
        raise
    except ValueError as error:
        raise Unsupported(f"{scope.file.name}: {text}: {error}") from error
