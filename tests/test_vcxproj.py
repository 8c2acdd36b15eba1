"""vcxproj.py and its msbuild.py: projects as CPython has them are evaluated as by MSBuild; make and sh get every definition whole."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_steps import load, tree

vcxproj = load("vcxproj")

XMLNS = 'xmlns="http://schemas.microsoft.com/developer/msbuild/2003"'

PROPS = r"""
<PropertyGroup>
  <PropsImported>true</PropsImported>
  <PySourcePath>$([System.IO.Path]::GetFullPath($(MSBuildThisFileDirectory)\..\))</PySourcePath>
  <PySourcePath Condition="!HasTrailingSlash($(PySourcePath))">$(PySourcePath)\</PySourcePath>
  <_Level>$([System.IO.File]::ReadAllText(`$(PySourcePath)Include\patchlevel.h`))</_Level>
  <Minor>$([System.Text.RegularExpressions.Regex]::Match($(_Level), `define\s+PY_MINOR_VERSION\s+(\d+)`).Groups[1].Value)</Minor>
  <OutDir>$(PySourcePath)PCbuild\amd64\</OutDir>
</PropertyGroup>
<ItemDefinitionGroup>
  <ClCompile>
    <AdditionalIncludeDirectories>$(PySourcePath)Include;%(AdditionalIncludeDirectories)</AdditionalIncludeDirectories>
    <PreprocessorDefinitions>WIN32;NAME="$(TargetName)$(TargetExt)";%(PreprocessorDefinitions)</PreprocessorDefinitions>
  </ClCompile>
  <Link>
    <SubSystem>Windows</SubSystem>
    <AdditionalLibraryDirectories>$(OutDir);%(AdditionalLibraryDirectories)</AdditionalLibraryDirectories>
    <AdditionalDependencies>advapi32.lib;%(AdditionalDependencies)</AdditionalDependencies>
  </Link>
</ItemDefinitionGroup>
"""

CORE = r"""
<ItemGroup><ProjectConfiguration Include="Debug|ARM"><Platform>ARM</Platform></ProjectConfiguration></ItemGroup>
<Import Project="python.props" />
<Import Project="$(VCTargetsPath)\Microsoft.Cpp.Default.props" />
<PropertyGroup Label="Configuration"><ConfigurationType>DynamicLibrary</ConfigurationType></PropertyGroup>
<Import Project="$(VCTargetsPath)\Microsoft.Cpp.props" />
<PropertyGroup><WithZlib Condition="$(WithZlib) == ''">false</WithZlib></PropertyGroup>
<ImportGroup Label="PropertySheets">
  <Import Project="$(UserRootDir)\x.user.props" Condition="exists('$(UserRootDir)\x.user.props')" />
  <Import Project="python.props" Condition="$(PropsImported) != 'true'" />
  <Import Project="python.props" />
</ImportGroup>
<PropertyGroup><TargetName>python3$(Minor)</TargetName></PropertyGroup>
<ItemDefinitionGroup>
  <ClCompile>
    <AdditionalOptions>/Zm200  %(AdditionalOptions)</AdditionalOptions>
    <AdditionalIncludeDirectories Condition="$(WithZlib)">$(zlibDir);%(AdditionalIncludeDirectories)</AdditionalIncludeDirectories>
    <PreprocessorDefinitions>CORE;ID="3.$(Minor)";%(PreprocessorDefinitions)</PreprocessorDefinitions>
  </ClCompile>
  <ClCompile Condition="$(Configuration) == 'Debug'"><PreprocessorDefinitions>DEBUG</PreprocessorDefinitions></ClCompile>
  <Link><AdditionalDependencies>version.lib;Ws2_32.lib;$(OutDir)own.lib;libcrypto.lib;%(AdditionalDependencies)</AdditionalDependencies></Link>
</ItemDefinitionGroup>
<ItemGroup>
  <ClInclude Include="..\Include\Python.h" />
  <ClCompile Include="..\Modules\getpath.c">
    <AdditionalIncludeDirectories>$(Generated);%(AdditionalIncludeDirectories)</AdditionalIncludeDirectories>
    <PreprocessorDefinitions>
      PREFIX=NULL;
      VPATH="..\\..";
      %(ClCompile.PreprocessorDefinitions)
    </PreprocessorDefinitions>
  </ClCompile>
  <ClCompile Include="..\PC\a.cpp;..\PC\b.c" />
  <ClCompile Include="..\PC\debug.c"><ExcludedFromBuild Condition="'$(Configuration)' != 'Debug'">true</ExcludedFromBuild></ClCompile>
</ItemGroup>
<ItemGroup Condition="$(WithZlib)"><ClCompile Include="$(zlibDir)\adler32.c" /></ItemGroup>
<ItemGroup>
  <ResourceCompile Include="..\PC\python_nt.rc">
    <PreprocessorDefinitions>ORIGINAL=\"$(TargetName)$(TargetExt)\"</PreprocessorDefinitions>
  </ResourceCompile>
  <ProjectReference Include="other.vcxproj"><Project>{cf7ac3d1}</Project></ProjectReference>
</ItemGroup>
<Import Project="$(VCTargetsPath)\Microsoft.Cpp.targets" />
<Target Name="_Later"><PropertyGroup><X>@(Y->'%(Z)', ';') $([Odd]::Function())</X></PropertyGroup></Target>
"""


def cpython(root: Path, projects: Mapping[str, str]) -> Path:
    """A tree with PCbuild/<name> for each of `projects`, inner XML."""
    files = {f"PCbuild/{name}": f"\ufeff<?xml version='1.0'?>\n<Project {XMLNS}>{text}</Project>" for name, text in projects.items()}
    return tree(root, {**files, "Include/patchlevel.h": "#define PY_MAJOR_VERSION 3\n#define PY_MINOR_VERSION 13\n"})


def one(root: Path, text: str, **properties: str) -> vcxproj.Project:  # type: ignore[name-defined]
    """The project with this inner XML and nothing else."""
    return vcxproj.evaluate(cpython(root, {"one.vcxproj": text}), "one", properties)


def value(root: Path, expression: str, **properties: str) -> str:
    """What a property is that is assigned the expression."""
    name: str = one(root, f"<PropertyGroup><TargetName>{expression}</TargetName></PropertyGroup>", **properties).target
    return name


@pytest.fixture
def core(tmp_path: Path) -> Path:
    return cpython(tmp_path, {"core.vcxproj": CORE, "python.props": PROPS})


RELEASE = {"Configuration": "Release", "Platform": "x64"}


def test_a_project_as_cpython_writes_them(core: Path) -> None:
    project = vcxproj.evaluate(core, "core", RELEASE | {"WithZlib": "true", "zlibDir": "/deps/zlib/", "Generated": "/made"})
    assert (project.type, project.target, project.subsystem) == ("DynamicLibrary", "python313.dll", "windows")
    assert [source.path for source in project.sources] == ["Modules/getpath.c", "PC/a.cpp", "PC/b.c", "/deps/zlib/adler32.c"]
    getpath, _, _, adler = project.sources
    # item definitions see the properties' last values, wherever these are assigned
    general = ("CORE", 'ID="3.13"', "WIN32", 'NAME="python313.dll"', "_WINDLL")
    assert getpath.definitions == ("PREFIX=NULL", r'VPATH="..\\.."', *general)
    assert getpath.include == ("/made", "/deps/zlib", "Include")
    assert (adler.definitions, adler.include, adler.options) == (general, ("/deps/zlib", "Include"), ())
    assert adler.object == "obj/core/zlibDir/adler32.o"
    assert project.libraries == ("-lversion", "-lws2_32", "-lcrypto", "-ladvapi32")
    assert project.library_folders == ()
    assert (project.resources, project.resource_definitions) == (("PC/python_nt.rc",), ('ORIGINAL="python313.dll"',))


def test_the_configuration_decides(core: Path) -> None:
    debug = vcxproj.evaluate(core, "core", {"Configuration": "Debug"})
    assert [source.path for source in debug.sources] == ["Modules/getpath.c", "PC/a.cpp", "PC/b.c", "PC/debug.c"]
    assert debug.sources[1].definitions == ("DEBUG",)


def test_global_properties_stand_against_assignments(core: Path) -> None:
    project = vcxproj.evaluate(core, "core", RELEASE | {"targetname": "mine", "Minor": "9"})
    assert project.target == "mine.dll"
    assert 'ID="3.9"' in project.sources[0].definitions


def test_a_global_property_that_a_file_calls_local_is_assigned(tmp_path: Path) -> None:
    text = "<PropertyGroup><TargetName>theirs</TargetName></PropertyGroup>"
    root = cpython(tmp_path, {"one.vcxproj": '<Import Project="two.props"/>' + text, "two.props": ""})
    path = root / "PCbuild/two.props"
    path.write_text(path.read_text().replace("<Project", '<Project TreatAsLocalProperty="Other; TargetName"', 1))
    assert vcxproj.evaluate(root, "one", {"TargetName": "ours"}).target == "theirs"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("$(None)$(plain)", "text"),
        ("$(PLAIN)-$(Plain.Length)", "text-4"),
        (r"$(Folder.TrimEnd('\').Replace('\', '\\'))", r"a\\b"),
        ("$(Folder.Trim(`a`))", "\\b\\"),
        ("$(Name.Substring(0, $(Name.LastIndexOf(`.`))))", "_ssl.cp313t"),
        ("$(Name.Substring($(Name.LastIndexOf(`.`))))", ".pyd"),
        ("$(Name.Contains(`cp`))$(Name.EndsWith('x'))", "TrueFalse"),
        ("$(List.Split(`;`)[1])", "b"),
        ("$([System.Version]::Parse($(Version)).Build).$([System.Version]::Parse(`1.2`).Revision)", "15.-1"),
        ("$([System.Text.RegularExpressions.Regex]::Match(`x12`, `(\\d)(\\d)`).Groups)", "12;1;2"),
        ("$([System.Text.RegularExpressions.Regex]::Match(`x`, `(\\d)`).Groups[1].Value)-", "-"),
        ("$([msbuild]::Add(\n 1, $([MSBuild]::Multiply($(Four), 10)) ))", "41"),
        ("$([msbuild]::BitwiseOr(5, $([msbuild]::BitwiseAnd(6, $([msbuild]::Subtract(3, 1))))))", "7"),
        (r"$(Registry:HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft SDKs\v10.0@ProductVersion)-", "-"),
        ("$([System.IO.Path]::GetFullPath(`/a/../b/`))$(MSBuildThisFileName)", "/b/one"),
        ("a$b)%(c)", "a$b)%(c)"),
    ],
)
def test_expressions(tmp_path: Path, expression: str, found: str) -> None:
    given = {"Plain": "text", "Folder": "a\\b\\", "Name": "_ssl.cp313t.pyd", "List": "a;b", "Version": "8.6.15.0", "Four": "4"}
    assert value(tmp_path, expression, **given) == found


@pytest.mark.parametrize(
    ("condition", "true"),
    [
        ("", True),
        ("$(Yes)", True),
        ("!$(Yes)", False),
        ("!('$(Yes)' == 'false')", True),
        ("$(No) or $(YES)", True),
        ("'$(Text)'=='WORD' and $(Text)!=other", True),
        ("$(None) == ''", True),
        ("'a' == 'b' or 'a' == 'a' and 'b' == 'c'", False),
        ("('a' == 'b' or 'a' == 'a') and !(true == off)", True),
        ("'15.0' == '15' and 0x10 == 16 and on == 'true'", True),
        ("$([System.Version]::Parse('10.0.2')) > $([System.Version]::Parse('10.0.1.9'))", True),
        ("10 >= 9 and 9 <= 9 and !(10 < 9)", True),
        # the right side would be no version
        ("$(None) != '' and $([System.Version]::Parse($(None))) > 1", False),
        ("$(Text.StartsWith(`wo)`)) or $(Text.StartsWith('wo'))", True),
        ("'$(Text.Replace('w', 'W'))x' == 'Wordx'", True),
        (r"Exists('$(MSBuildThisFileDirectory)..\Include\patchlevel.h')", True),
        (r"exists('..\Include\patchlevel.h')", True),
        ("Exists($(None)) or Exists('nothing')", False),
        (r"HasTrailingSlash('a\') and HasTrailingSlash(a/) and !HasTrailingSlash($(Text))", True),
    ],
)
def test_conditions(tmp_path: Path, condition: str, true: bool) -> None:
    text = f'<PropertyGroup><TargetName Condition="{condition.replace("<", "&lt;")}">yes</TargetName></PropertyGroup>'
    found = one(tmp_path, text, Yes="true", No="false", Text="word").target
    assert found == ("yes" if true else "")


Case = tuple[str, bool, int]
"""A condition, what it comes to, and how tight it binds: 0 or, 1 and, 2 a comparison, 3 the rest."""

LEAVES = st.sampled_from(
    [("true", True, 3), ("'false'", False, 3), ("$(Yes)", True, 3), ("Exists('nowhere')", False, 3), ("1 < 2", True, 2)]
)


def inner(part: Case, least: int) -> str:
    return part[0] if part[2] >= least else f"({part[0]})"


def joined(left: Case, operator: str, right: Case) -> Case:
    found = {"or": left[1] or right[1], "and": left[1] and right[1], "==": left[1] == right[1], "!=": left[1] != right[1]}
    level = {"or": 0, "and": 1}.get(operator, 2)
    # sides of a comparison are no comparisons; the others associate to the left
    return f"{inner(left, 3 if level == 2 else level)} {operator} {inner(right, level + 1)}", found[operator], level


def cases(part: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    negated = part.map(lambda one: (f"!{inner(one, 3)}", not one[1], 3))
    enclosed = part.map(lambda one: (f"( {one[0]} )", one[1], 3))
    return st.one_of(st.builds(joined, part, st.sampled_from(["or", "and", "==", "!="]), part), negated, enclosed)


@given(st.recursive(LEAVES, cases, max_leaves=12))
@settings(max_examples=150, deadline=None)
def test_conditions_of_any_shape(case: Case) -> None:
    scope = vcxproj.Scope(Path("x.props"), {"yes": "true", "msbuildprojectdirectory": "/nowhere"})
    element = vcxproj.Element("X", {"Condition": case[0]})
    assert vcxproj.holds(element, scope) == case[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<PropertyGroup Condition="$(X.Odd(1))"/>', r"one.vcxproj: \$\(X.Odd\(1\)\): odd is not understood"),
        ("<PropertyGroup><TargetName>$([A.B]::C(`x`))</TargetName></PropertyGroup>", r"one.vcxproj: \$\(\[A.B\]::C.*: a.b::c is not"),
        ("<PropertyGroup><A>$(X</A><TargetName>$(A)</TargetName></PropertyGroup>", r"one.vcxproj: \$\(X: a parenthesis is not closed"),
        ("<PropertyGroup><TargetName>$(X.Split(`;`)[1])</TargetName></PropertyGroup>", "list index out of range"),
        ("<PropertyGroup><TargetName>$(X.Length[1])</TargetName></PropertyGroup>", "an index of what is no list"),
        ("<PropertyGroup><TargetName>$(X.Substring(0, -1))</TargetName></PropertyGroup>", "outside of the text"),
        ("<PropertyGroup><TargetName>$(X Y)</TargetName></PropertyGroup>", "Y is not understood"),
        ("<PropertyGroup><TargetName>$(?)</TargetName></PropertyGroup>", "not understood"),
        ("<PropertyGroup><TargetName>$([System.IO.Path]::GetFullPath(a))</TargetName></PropertyGroup>", "a relative path"),
        ('<PropertyGroup Condition="$(X)"/>', r"one.vcxproj: \$\(X\): \$\(X\) is '', neither true nor false"),
        ('<PropertyGroup Condition="\'a"/>', "a quote is not closed"),
        ('<PropertyGroup Condition="(true"/>', "a parenthesis is not closed"),
        ('<PropertyGroup Condition="true true"/>', "is too much"),
        ('<PropertyGroup Condition="true and"/>', "an operand is missing"),
        ('<PropertyGroup Condition="== true"/>', "== stands where an operand should"),
        ('<PropertyGroup Condition="true ~ true"/>', "~ true is not understood"),
        ("<PropertyGroup Condition=\"'a' > 'b'\"/>", "'a' > 'b': invalid literal"),
        ("<Choose/>", "<Choose>: not understood"),
        ('<Import Project="none.props"/>', "one.vcxproj: none.props: there is no /"),
        ('<ItemGroup><ClCompile Include="a*.c"/></ItemGroup>', r"one.vcxproj: a\*.c: updates and patterns are not"),
        ("<ItemGroup><ClCompile Include=\"@(X->'%(Y)')\"/></ItemGroup>", "one.vcxproj: @.*not understood"),
        ("<PropertyGroup><ConfigurationType>Makefile</ConfigurationType></PropertyGroup>", "one.vcxproj: ConfigurationType is Makefile"),
        ('<ItemGroup><ClCompile Include="a.c;a.cpp"/></ItemGroup>', "two sources make obj/one/PCbuild/a.o"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one(tmp_path, text)


def test_what_is_not_understood_is_no_error_until_it_is_asked_for(tmp_path: Path) -> None:
    text = r"""<PropertyGroup><Odd>$([A]::B())</Odd><Odd Condition="$(X.Odd())">x</Odd><More>$(Odd)</More></PropertyGroup>
    <ItemDefinitionGroup><ClCompile><Optimization>$(More)</Optimization><PreprocessorDefinitions Condition="false">$(Odd)
    </PreprocessorDefinitions></ClCompile></ItemDefinitionGroup>
    <ItemGroup><None Include="$(Odd)" /><ClCompile Include="a.c" /></ItemGroup>"""
    assert [source.path for source in one(tmp_path, text).sources] == ["PCbuild/a.c"]
    asked = text.replace("false", "true")
    with pytest.raises(vcxproj.Unsupported, match=r"one.vcxproj: \$\(X.Odd\(\)\): odd is not understood"):
        one(tmp_path, asked)
    assert one(tmp_path, asked, Odd="known").sources[0].definitions == ("known",)


def test_items_are_removed_excluded_and_referred_to(tmp_path: Path) -> None:
    text = r"""<ItemGroup><ClCompile Include="a.c;b.c ; c%3bd.c;" Exclude="B.c" /><ClCompile Remove=".\A.c" />
    <Masm Include="x.asm" /><Midl Include="x.idl" Condition="false" /><CustomBuild Include="@(Masm);%(Filename)y.asm" />
    <ClCompile Include="e.c"><PreprocessorDefinitions Condition="'%(Filename)%(Extension)' == 'e.c'">E</PreprocessorDefinitions>
    </ClCompile></ItemGroup><ItemGroup Condition="false"><ClCompile Include="f.c" /></ItemGroup>"""
    project = one(tmp_path, text)
    assert [(source.path, source.definitions) for source in project.sources] == [("PCbuild/c;d.c", ()), ("PCbuild/e.c", ("E",))]
    assert project.others == ("PCbuild/x.asm", "PCbuild/y.asm", "PCbuild/x.asm")


def test_options_and_settings_of_the_linker(tmp_path: Path) -> None:
    text = r"""<PropertyGroup><CharacterSet>Unicode</CharacterSet></PropertyGroup><ItemDefinitionGroup><ClCompile>
    <AdditionalOptions>/utf-8 /std:c++20 /DONE /D TWO=2 -flto /EHsc /arch:AVX2</AdditionalOptions>
    <LanguageStandard_C>stdc11</LanguageStandard_C>
    <EnableEnhancedInstructionSet>AdvancedVectorExtensions</EnableEnhancedInstructionSet></ClCompile>
    <Link><AdditionalOptions>/EXPORT:DllOne,PRIVATE /export:DllTwo /OPT:REF</AdditionalOptions><SubSystem>Console</SubSystem>
    <StackReserveSize>2000000</StackReserveSize><DelayLoadDLLs>ole32.dll</DelayLoadDLLs><NoEntryPoint>true</NoEntryPoint>
    <AdditionalDependencies>x.lib;/lib\y.lib;%(AdditionalDependencies)
    </AdditionalDependencies><AdditionalLibraryDirectories>/lib/</AdditionalLibraryDirectories></Link></ItemDefinitionGroup>
    <ItemGroup><ClCompile Include="a.c;b.cpp" /></ItemGroup>"""
    project = one(tmp_path, text, CoreLibraryDependencies="user32.lib;x.lib")
    c, cxx = project.sources
    assert c.definitions == cxx.definitions == ("_UNICODE", "UNICODE", "ONE", "TWO=2")
    assert (c.options, cxx.options) == (("-std=gnu11", "-mavx", "-mavx2"), ("-mavx", "-std=gnu++20", "-mavx2"))
    assert project.libraries == ("-lx", "/lib/y.lib", "-luser32")
    assert (project.library_folders, project.exports) == (("/lib",), ("DllOne", "DllTwo"))
    made = vcxproj.render(project)
    for line in ("STACK := 2000000", "SUBSYSTEM := console", "DELAYLOAD := ole32.dll", "NOENTRY := true"):
        assert f"one.{line}\n" in made


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (r'<ItemGroup><Masm Include="..\Modules\fast.asm"/></ItemGroup>', "Modules/fast.asm"),
        (r'<ItemGroup><CustomBuild Include="made.txt"/></ItemGroup>', "PCbuild/made.txt"),
        ("<ItemDefinitionGroup><Link><ModuleDefinitionFile>x.def</ModuleDefinitionFile></Link></ItemDefinitionGroup>", "PCbuild/x.def"),
    ],
)
def test_a_file_that_no_rule_is_made_for_is_named(tmp_path: Path, text: str, file: str) -> None:
    """One that upstream adds would be missing in what is linked, without a word."""
    with pytest.raises(ValueError, match=f"^one.vcxproj: {file}: nothing here translates such a file"):
        vcxproj.render(one(tmp_path, text))


def test_a_file_that_is_not_needed_is_left_out(tmp_path: Path) -> None:
    for project, file in vcxproj.LEFT_OUT:
        text = f'<ItemGroup><Masm Include="..\\Modules\\{file}"/><ClCompile Include="a.c"/></ItemGroup>'
        found = vcxproj.evaluate(cpython(tmp_path, {f"{project}.vcxproj": text}), project, {})
        assert found.others == (f"Modules/{file}",)
        made = vcxproj.render(found)
        assert file not in made and "PCbuild/a.c" in made


def run_make(root: Path, fragment: str, **variables: str) -> str:
    (root / "Makefile").write_text(f"all:\n{fragment}all: $(core.OBJECTS)\n\t@printf '%s\\n' $(core.RCFLAGS)\n")
    settings = [f"{name}={text}" for name, text in variables.items()]
    return subprocess.run(["make", "-s", "-C", str(root), *settings], capture_output=True, text=True, check=True).stdout


def test_rules_that_make_runs(core: Path) -> None:
    """The compiler is a script that writes its words, one a line, into the object."""
    for name in ("Modules/getpath.c", "PC/a.cpp", "PC/b.c"):
        (core / name).parent.mkdir(exist_ok=True)
        (core / name).touch()
    compiler = core / "cc.sh"
    compiler.write_text('#!/bin/sh\nfor word; do [ "$last" = -o ] && out=$word; last=$word; done\nprintf "%s\\n" "$0" "$@" > "$out"\n')
    out = core / "out"
    out.mkdir()
    vcxproj.main([str(core), str(out), "Configuration=Release", "Platform=x64", "Generated=/made", "--", "core"])
    command = f"sh {compiler}"
    told = run_make(
        out, "include core.mk\n", SRC=str(core), CC=command, CXX=f"{command} c++", CFLAGS="-O2", CXXFLAGS="-O1", **{"core.FLAGS": "-x"}
    )
    words = (out / "obj/core/Modules/getpath.o").read_text().splitlines()[1:]
    macros = ["-DPREFIX=NULL", r'-DVPATH="..\\.."', "-DCORE", '-DID="3.13"', "-DWIN32", '-DNAME="python313.dll"', "-D_WINDLL"]
    include = ["-I/made", f"-I{core}/Include"]
    ends = ["-o", "obj/core/Modules/getpath.o", f"{core}/Modules/getpath.c"]
    assert words == ["-c", "-O2", "-x", *macros, *include, *ends]
    assert (out / "obj/core/PC/a.o").read_text().splitlines()[1:4] == ["c++", "-c", "-O1"]
    assert told.splitlines() == ['-DORIGINAL="python313.dll"']


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"])), min_size=1, max_size=20))
@settings(max_examples=15, deadline=None)
def test_definitions_pass_make_and_sh_whole(tmp_path_factory: pytest.TempPathFactory, macros: list[str]) -> None:
    macros += ['A="b c"', "$(CC) $$ ${X}", "'#' \\#\\\\# #", "a\\", "`id`;&|*?~!%"]
    root = tmp_path_factory.mktemp("make")
    (root / "a.c").touch()
    blank: dict[str, object] = dict.fromkeys(vcxproj.Project.__dataclass_fields__, "")
    source = vcxproj.Source("a.c", "obj/core/a.o", tuple(macros), (), ())
    project = vcxproj.Project(**blank | {"name": "core", "sources": (source,), "resource_definitions": tuple(macros)})
    out = run_make(root, vcxproj.render(project), SRC=str(root), CC="@printf '%s\\n'")
    words = [f"-D{macro}" for macro in macros]
    assert out.split("\n") == ["-c", *words, "-o", "obj/core/a.o", f"{root}/a.c", *words, ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<ItemGroup><ClCompile Include="a b.c"/></ItemGroup>', "make cannot name 'PCbuild/a b.c'"),
        (
            "<ItemDefinitionGroup><Link><AdditionalLibraryDirectories>/$x</AdditionalLibraryDirectories></Link></ItemDefinitionGroup>",
            "name '/.x'",
        ),
        (
            "<ItemGroup><ClCompile Include='a.c'><PreprocessorDefinitions>a\nb</PreprocessorDefinitions></ClCompile></ItemGroup>",
            r"more than one line: '-Da\\nb'",
        ),
    ],
)
def test_what_make_cannot_have(tmp_path: Path, text: str, message: str) -> None:
    root = cpython(tmp_path, {"one.vcxproj": text})
    with pytest.raises(SystemExit, match=f"^vcxproj.py: .*{message}"):
        vcxproj.main([str(root), str(root), "--", "one"])
    assert not (root / "one.mk").exists()


def test_objects_of_sources_outside_the_tree_are_apart(tmp_path: Path) -> None:
    text = r"""<ItemGroup><ClCompile Include="$(aDir)x.c;$(aDir)\in\x.c;$(bDir)\x.c;/else/x.c;..\..\up.c;..\x.c;x.c" /></ItemGroup>"""
    project = one(tmp_path / "src", text, aDir="/a/", bDir="/a/in/b")
    objects = [source.object for source in project.sources]
    up = f"obj/one{tmp_path}/up.o"
    assert objects == [
        "obj/one/aDir/x.o",
        "obj/one/aDir/in/x.o",
        "obj/one/bDir/x.o",
        "obj/one/else/x.o",
        up,
        "obj/one/x.o",
        "obj/one/PCbuild/x.o",
    ]
