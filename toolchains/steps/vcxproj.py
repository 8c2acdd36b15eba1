"""List what a Windows build of CPython compiles and links, from its own projects: vcxproj.py SOURCE OUT NAME=VALUE... -- PROJECT...

SOURCE is CPython's tree, PROJECT the name of one of its PCbuild/*.vcxproj, NAME=VALUE one of MSBuild's global properties
(Configuration=Release, Platform=x64, zlibDir=/deps/zlib/, ...): it stands against what files assign. Folders are absolute and end
in a slash. OUT/PROJECT.mk is a fragment for GNU make, to be included after the first goal:

    PROJECT.TYPE        DynamicLibrary, StaticLibrary or Application
    PROJECT.TARGET      file name of what is linked
    PROJECT.OBJECTS     obj/PROJECT/..., with a rule for each, of $(SRC), $(CC) $(CFLAGS) or $(CXX) $(CXXFLAGS), and $(PROJECT.FLAGS)
    PROJECT.LIBS        -lNAME of every library, in lower case and without its own "lib" (libcrypto.lib is -lcrypto); one that is
                        named by its path stays a file, unless it is in $(OutDir): that is made by another project
    PROJECT.LIBDIRS     -L of the folders for libraries, without $(OutDir)
    PROJECT.RESOURCES   scripts of resources, below $(SRC); PROJECT.RCFLAGS: -D and -I for them, as words of sh
    PROJECT.EXPORTS     names that options of the linker export
    PROJECT.SUBSYSTEM, .STACK (bytes), .DELAYLOAD (names of libraries), .NOENTRY (true or nothing)

A file for another tool (MASM, MIDL, commands) or a module definition file is an error, unless LEFT_OUT has it. Of options of the
compiler, definitions, standards and instruction sets are translated, the others left out. What $(VCTargetsPath) has is not here; of it,
the definitions of CharacterSet and _WINDLL are made, and $(CoreLibraryDependencies) is empty unless given. Targets are not evaluated:
what they do (pyconfig.h, frozen modules, GITVERSION) is the caller's to do. The order of evaluation:
https://learn.microsoft.com/visualstudio/msbuild/build-process-overview#evaluation-phase
"""

import posixpath
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from msbuild import Item, Scope, Unsupported, Values, expand, holds, known


@dataclass(frozen=True)
class Source:
    """A file to compile. Paths are relative to CPython's tree, or absolute."""

    path: str
    object: str
    definitions: tuple[str, ...]
    include: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """What a project makes, of what. Paths as in Source; `libraries` are words for the linker."""

    name: str
    type: str
    target: str
    sources: tuple[Source, ...]
    libraries: tuple[str, ...]
    library_folders: tuple[str, ...]
    resources: tuple[str, ...]
    resource_definitions: tuple[str, ...]
    resource_include: tuple[str, ...]
    others: tuple[str, ...]
    definition_file: str
    exports: tuple[str, ...]
    subsystem: str
    stack: str
    delay_load: tuple[str, ...]
    no_entry: bool


# Evaluation: properties, then definitions of items, then items, each pass over all files

Part = tuple[Path, Element]
"""A group of items, and the file that has it."""

KINDS = {"clcompile", "resourcecompile", "custombuild", "masm", "midl", "link"}
"""The kinds of items that are listed, and Link, which has definitions only. Others are not evaluated."""

EXTENSIONS = {"DynamicLibrary": ".dll", "StaticLibrary": ".lib", "Application": ".exe"}

CHARACTER_SETS = {"unicode": "_UNICODE;UNICODE", "multibyte": "_MBCS"}
"""Microsoft.Cpp.unicodesupport.props and Microsoft.Cpp.mbcssupport.props."""

INSTRUCTION_SETS = {
    "advancedvectorextensions": "-mavx",
    "advancedvectorextensions2": "-mavx2",
    "/arch:avx": "-mavx",
    "/arch:avx2": "-mavx2",
}


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _import(element: Element, file: Path, values: dict[str, str | Unsupported], fixed: set[str], seen: set[Path]) -> Iterator[Part]:
    project = element.get("Project", "")
    scope = Scope(file, values)
    if project == r"$(VCTargetsPath)\Microsoft.Cpp.props":
        # all that later files ask of it: they cut the name at its last dot
        values["targetext"] = scope.get("TargetExt") or EXTENSIONS.get(scope.get("ConfigurationType"), "")
    if project.startswith(("$(VCTargetsPath", "$(UserRootDir)")) or not holds(element, scope):
        return
    path = Path(posixpath.normpath(file.parent / expand(project, scope).replace("\\", "/")))
    if not path.is_file():
        raise Unsupported(f"{file.name}: {project}: there is no {path}")
    yield from read(path, values, fixed, seen)


def read(file: Path, values: dict[str, str | Unsupported], fixed: set[str], seen: set[Path]) -> Iterator[Part]:
    """Assign properties (but the `fixed` ones) to `values`, those of imported files, too, and yield the groups of items in their order.

    A file that was `seen` is not read again. Raises Unsupported, OSError and ParseError.
    """
    if file in seen:
        return
    seen.add(file)
    root = ElementTree.parse(file).getroot()
    fixed -= {name.strip().lower() for name in root.get("TreatAsLocalProperty", "").split(";")}
    for element in root:
        tag, scope = _tag(element), Scope(file, values)
        if tag == "Import":
            yield from _import(element, file, values, fixed, seen)
        elif tag == "ImportGroup" and holds(element, scope):
            for child in element:
                yield from _import(child, file, values, fixed, seen)
        elif tag == "PropertyGroup" and holds(element, scope):
            for child in element:
                _assign(child, scope, values, fixed)
        elif tag in ("ItemGroup", "ItemDefinitionGroup"):
            yield file, element
        elif tag == "Choose":
            raise Unsupported(f"{file.name}: <Choose>: not understood")


def _assign(element: Element, scope: Scope, values: dict[str, str | Unsupported], fixed: Iterable[str] = ()) -> None:
    """One property or metadata. What is not understood becomes the value, which is an error once it is asked for."""
    name = _tag(element).lower()
    if name in fixed:
        return
    try:
        if holds(element, scope):
            values[name] = expand(element.text or "", scope)
    except Unsupported as error:
        values[name] = error


def definitions(parts: Iterable[Part], properties: Values) -> dict[str, dict[str, str | Unsupported]]:
    """Kind of item -> metadata of all of that kind. Raises Unsupported."""
    found: dict[str, dict[str, str | Unsupported]] = {kind: {} for kind in KINDS}
    general = Scope(Path("(general)"), properties)
    macros = [
        CHARACTER_SETS.get(general.get("CharacterSet").lower(), ""),
        "_WINDLL" * (general.get("ConfigurationType") == "DynamicLibrary"),
    ]
    found["clcompile"]["preprocessordefinitions"] = ";".join(macros)
    found["link"]["additionaldependencies"] = general.get("CoreLibraryDependencies")
    for file, group in parts:
        if _tag(group) != "ItemDefinitionGroup" or not holds(group, Scope(file, properties)):
            continue
        for element in group:
            kind = _tag(element).lower()
            if kind in KINDS and holds(element, Scope(file, properties, found[kind])):
                for child in element:
                    _assign(child, Scope(file, properties, found[kind]), found[kind])
    return found


def items(parts: Iterable[Part], properties: Values, defaults: Mapping[str, Values]) -> dict[str, list[Item]]:
    """Kind of item -> its files in order. Raises Unsupported."""
    found: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for file, group in parts:
        if _tag(group) != "ItemGroup" or not holds(group, Scope(file, properties)):
            continue
        for element in group:
            kind = _tag(element).lower()
            scope = Scope(file, properties, {}, found)
            if kind not in KINDS or not holds(element, scope):
                continue
            removed = {_plain(include) for name in ("Remove", "Exclude") for include in _list(expand(element.get(name, ""), scope))}
            if element.get("Remove"):
                found[kind] = [item for item in found[kind] if _plain(item.include) not in removed]
            for include in _list(expand(element.get("Include", ""), scope)):
                if element.get("Update") or set(include) & {"*", "?"}:
                    raise Unsupported(f"{file.name}: {include}: updates and patterns are not understood")
                if _plain(include) not in removed:
                    found[kind].append(_item(element, include, Scope(file, properties, defaults[kind], found)))
    return found


def _plain(include: str) -> str:
    return posixpath.normpath(include.replace("\\", "/")).lower()


def _item(element: Element, include: str, scope: Scope) -> Item:
    path = PurePosixPath(include.replace("\\", "/"))
    values = {**(scope.metadata or {}), "identity": include, "filename": path.stem, "extension": path.suffix}
    for child in element:
        _assign(child, Scope(scope.file, scope.properties, values, scope.items), values)
    return Item(include, values)


def _list(text: str) -> list[str]:
    """The parts of a list, each once, without MSBuild's %XX."""
    parts = (part.strip() for part in text.split(";"))
    return list(dict.fromkeys(re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), part) for part in parts if part))


# Projects


@dataclass(frozen=True)
class Folders:
    """Where paths lie: `source` and `project` are absolute; `named` are the absolute folders that global properties give."""

    source: str
    project: str
    named: Mapping[str, str]

    def path(self, text: str) -> str:
        """The normal form of a path, relative to the source where it is in there, else absolute."""
        whole = "/" + posixpath.normpath(posixpath.join(self.project, text.replace("\\", "/"))).lstrip("/")
        return posixpath.relpath(whole, self.source) if f"{whole}/".startswith(f"{self.source}/") else whole

    def object(self, project: str, path: str) -> str:
        """The object file of a source: below the name of the property whose folder has it, if it is not in the tree."""
        holders = [name for name, folder in self.named.items() if path.startswith(f"{folder}/")]
        if path.startswith("/") and holders:
            name = max(holders, key=lambda name: len(self.named[name]))
            path = name + path.removeprefix(self.named[name])
        return f"obj/{project}/{PurePosixPath(path.lstrip('/')).with_suffix('.o')}"


def _metadata(values: Values, name: str) -> str:
    return known(values.get(name.lower(), ""))


def _paths(values: Values, name: str, folders: Folders) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(folders.path, _list(_metadata(values, name)))))


def _options(values: Values, cxx: bool) -> Iterator[str]:
    words = (_metadata(values, name) for name in ("LanguageStandard", "LanguageStandard_C", "EnableEnhancedInstructionSet"))
    for word in (*words, *_metadata(values, "AdditionalOptions").split()):
        standard = re.fullmatch(r"(?:/std:|std)c(pp|\+\+)?(\d+)", word)
        if standard and bool(standard[1]) == cxx:
            # gnu: mingw-w64 hides what is not of the standard from the strict ones
            yield f"-std=gnu{'++' * cxx}{standard[2]}"
        elif word.lower() in INSTRUCTION_SETS:
            yield INSTRUCTION_SETS[word.lower()]


def _is_cxx(path: str) -> bool:
    return PurePosixPath(path).suffix in (".cpp", ".cxx", ".cc")


def _source(item: Item, project: str, folders: Folders) -> Source:
    path, values = folders.path(item.include), item.metadata
    more = re.findall(r"(?:^|\s)[/-]D\s*(\S+)", _metadata(values, "AdditionalOptions"))
    return Source(
        path=path,
        object=folders.object(project, path),
        definitions=(*_list(_metadata(values, "PreprocessorDefinitions")), *more),
        include=_paths(values, "AdditionalIncludeDirectories", folders),
        options=tuple(dict.fromkeys(_options(values, _is_cxx(path)))),
    )


def _libraries(link: Values, folders: Folders, out: str) -> Iterator[str]:
    for library in _list(_metadata(link, "AdditionalDependencies")):
        path = library.replace("\\", "/")
        if "/" not in path:
            yield f"-l{path.lower().removesuffix('.lib').removeprefix('lib')}"
        elif not out or posixpath.dirname(folders.path(path)) != folders.path(out):
            yield folders.path(path)


def _project(name: str, scope: Scope, link: Values, found: Mapping[str, list[Item]], folders: Folders) -> Project:
    built = {kind: [item for item in found[kind] if _metadata(item.metadata, "ExcludedFromBuild").lower() != "true"] for kind in found}
    kind, out = scope.get("ConfigurationType") or "Application", scope.get("OutDir")
    scripts = built["resourcecompile"]
    resources = scripts[0].metadata if scripts else {}
    own = {folders.path(out)} if out else set()
    return Project(
        name=name,
        type=kind,
        target=scope.get("TargetName") + scope.get("TargetExt"),
        sources=tuple(_source(item, name, folders) for item in built["clcompile"]),
        libraries=tuple(dict.fromkeys(_libraries(link, folders, out))),
        library_folders=tuple(path for path in _paths(link, "AdditionalLibraryDirectories", folders) if path not in own),
        resources=tuple(folders.path(item.include) for item in scripts),
        # the resource compiler's quotes are escaped for a command line, the compiler's are not
        resource_definitions=tuple(text.replace('\\"', '"') for text in _list(_metadata(resources, "PreprocessorDefinitions"))),
        resource_include=_paths(resources, "AdditionalIncludeDirectories", folders),
        others=tuple(folders.path(item.include) for kind in ("custombuild", "masm", "midl") for item in built[kind]),
        definition_file="".join(_paths(link, "ModuleDefinitionFile", folders)),
        exports=tuple(re.findall(r"(?i)/export:(\w+)", _metadata(link, "AdditionalOptions"))),
        subsystem=_metadata(link, "SubSystem").lower(),
        stack=_metadata(link, "StackReserveSize"),
        delay_load=tuple(_list(_metadata(link, "DelayLoadDLLs"))),
        no_entry=_metadata(link, "NoEntryPoint").lower() == "true",
    )


def evaluate(source: Path, project: str, properties: Mapping[str, str]) -> Project:
    """What PCbuild/<project>.vcxproj of a tree says. Raises ValueError (Unsupported names file and expression), OSError and ParseError."""
    tree = posixpath.normpath(source.absolute())
    file = Path(tree, "PCbuild", f"{project}.vcxproj")
    # patterns in projects (sqlite3's) ask for the backslashes of Windows
    given = {name.lower(): value.replace("/", "\\") if value.startswith("/") else value for name, value in properties.items()}
    reserved = {"MSBuildProjectName": project, "ProjectName": project, "MSBuildProjectDirectory": str(file.parent)}
    values: dict[str, str | Unsupported] = {**{name.lower(): value for name, value in reserved.items()}, **given}
    parts = list(read(file, values, set(given), set()))
    scope = Scope(file, values)
    if scope.get("ConfigurationType") in ("Makefile", "Utility"):
        raise ValueError(f"{file.name}: ConfigurationType is {scope.get('ConfigurationType')}: it runs commands and lists no sources")
    defaults = definitions(parts, values)
    named = {name: posixpath.normpath(value.replace("\\", "/")) for name, value in properties.items() if value.startswith("/")}
    folders = Folders(tree, str(file.parent), named)
    found = _project(project, scope, defaults["link"], items(parts, values, defaults), folders)
    objects = [item.object for item in found.sources]
    if twice := sorted({name for name in objects if objects.count(name) > 1}):
        raise ValueError(f"{file.name}: two sources make {', '.join(twice)}")
    return found


# make

LEFT_OUT = {("_decimal", "vcdiv64.asm"): "MASM: compilers other than MSVC have integers of 128 bits, which libmpdec divides by"}
"""Project and file -> why it is not needed, of files that no rule is made for."""


def _check(project: Project) -> None:
    """Raises ValueError at a file that nothing would be made of."""
    for path in (*project.others, *filter(None, [project.definition_file])):
        if (project.name, PurePosixPath(path).name) not in LEFT_OUT:
            raise ValueError(f"{project.name}.vcxproj: {path}: nothing here translates such a file, and LEFT_OUT does not have it")


def _name(path: str) -> str:
    """A path as make takes it, below $(SRC) when it is relative. Raises ValueError when make cannot take it."""
    if not re.fullmatch(r"[\w./+@,~-]+", path, re.ASCII):
        raise ValueError(f"make cannot name {path!r}")
    return path if path.startswith("/") else posixpath.normpath(f"$(SRC)/{path}")


def _quote(text: str) -> str:
    """One word of sh, in a recipe. Raises ValueError for more than one line."""
    if len(text.splitlines()) > 1:
        raise ValueError(f"more than one line: {text!r}")
    return shlex.quote(text).replace("$", "$$")


def _flags(macros: Iterable[str], include: Iterable[str]) -> list[str]:
    return [*(_quote(f"-D{macro}") for macro in macros), *(f"-I{_name(path)}" for path in include)]


def _rule(project: str, source: Source) -> str:
    compiler = "$(CXX) -c $(CXXFLAGS)" if _is_cxx(source.path) else "$(CC) -c $(CFLAGS)"
    words = [compiler, f"$({project}.FLAGS)", *source.options, *_flags(source.definitions, source.include), "-o $@ $<"]
    return f"{source.object}: {_name(source.path)}\n\t@mkdir -p $(@D)\n\t{' '.join(words)}\n"


def render(project: Project) -> str:
    """The fragment for make. Raises ValueError for what cannot be in one, and what would be left out of it."""
    _check(project)
    flags = " ".join(_flags(project.resource_definitions, project.resource_include))
    variables = {
        "TYPE": [project.type],
        "TARGET": [project.target],
        "OBJECTS": [source.object for source in project.sources],
        "LIBS": [word if word.startswith("-l") else _name(word) for word in project.libraries],
        "LIBDIRS": [f"-L{_name(path)}" for path in project.library_folders],
        "RESOURCES": project.resources,
        # (in a variable, # would begin a comment; backslashes before it count)
        "RCFLAGS": [re.sub(r"(\\*)#", r"\1\1\\#", flags)],
        "EXPORTS": project.exports,
        "SUBSYSTEM": [project.subsystem],
        "STACK": [project.stack],
        "DELAYLOAD": project.delay_load,
        "NOENTRY": ["true"] if project.no_entry else [],
    }
    lines = "".join(f"{project.name}.{name} := {' '.join(words)}".rstrip() + "\n" for name, words in variables.items())
    return lines + "".join(_rule(project.name, source) for source in project.sources)


def main(argv: list[str]) -> None:
    """Write the fragments."""
    settings, projects = argv[2 : argv.index("--")], argv[argv.index("--") + 1 :]
    properties = {name: value for name, _, value in (setting.partition("=") for setting in settings)}
    for name in projects:
        try:
            text = render(evaluate(Path(argv[0]), name, properties))
        except ValueError as error:
            raise SystemExit(f"vcxproj.py: {error}") from error
        Path(argv[1], f"{name}.mk").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
