"""Build settings of the place where this Python lies: read by _sysconfigdata, and by sysconfig when an installer has rewritten that.

Part of the distribution, in lib/pythonX.Y. A setting that names the prefix holds {prefix} instead; here it gets the real one. And where
the toolchain add-on is unpacked into the prefix and the machine has no compiler of its own, the settings name the add-on's.
"""

import os

PLACEHOLDER = "{prefix}"
UNQUOTED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%_-+=:,./")
"""Characters that mean nothing to a shell (those of shlex.quote)."""
TOOLS = {"cc": "CC", "c++": "CXX", "ar": "AR"}
"""Programs of the add-on's toolchain/bin, and the variable by which tools that do not ask sysconfig are told."""
SWITCH = "FREESTANDING_TOOLCHAIN"
"""Environment variable: `always` takes the add-on's compiler, `never` the machine's, else the machine's if there is one."""


def expanded(values: dict[str, object], file: str) -> dict[str, object]:
    """build_time_vars with the prefix of `file`, the _sysconfigdata module (lib/pythonX.Y below the prefix), in it."""
    prefix = _prefix_of(file)
    found = {name: _placed(value, prefix) if isinstance(value, str) and PLACEHOLDER in value else value for name, value in values.items()}
    if not UNQUOTED.issuperset(prefix):
        # Meson cannot read what pkg-config writes of such places; without LIBPC it takes the paths of sysconfig
        found.pop("LIBPC", None)
    # settings of another Python, for which somebody cross-compiles, are not for compilers of this one
    if prefix == _prefix_of(__file__) and _takes_bundled_tools(prefix):
        _take_bundled_tools(found, prefix)
    return found


def _prefix_of(file: str) -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(file))))


def _placed(value: str, prefix: str) -> str:
    """A path as it is; in a list of words, each for a shell."""
    words = value.split()
    if len(words) == 1 and value.startswith(PLACEHOLDER):
        return value.replace(PLACEHOLDER, prefix)
    return " ".join(_placed_word(word, prefix) if PLACEHOLDER in word else word for word in words)


def _placed_word(word: str, prefix: str) -> str:
    quoted = word[0] == "'"
    plain = (word[1:-1] if quoted else word).replace(PLACEHOLDER, prefix)
    return _in_quotes(plain) if quoted else quote(plain)


def quote(word: str) -> str:
    """A word for a shell, as shlex.quote gives it; importing shlex would take longer than all the rest."""
    return word if UNQUOTED.issuperset(word) else _in_quotes(word)


def _in_quotes(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _takes_bundled_tools(prefix: str) -> bool:
    choice = os.environ.get(SWITCH, "")
    if choice == "never" or not os.path.exists(_tool(prefix, "cc")):
        return False
    return choice == "always" or not _machine_has("cc")


def _tool(prefix: str, name: str) -> str:
    return os.path.join(prefix, "toolchain", "bin", name)


def _machine_has(program: str) -> bool:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in folders)


def _take_bundled_tools(values: dict[str, object], prefix: str) -> None:
    """In every setting whose first word is a tool; and, as Meson and CMake do not ask sysconfig, in this process's environment."""
    for name, value in values.items():
        tool, space, rest = value.partition(" ") if isinstance(value, str) else ("", "", "")
        if tool in TOOLS:
            values[name] = quote(_tool(prefix, tool)) + space + rest
    for tool, variable in TOOLS.items():
        os.environ.setdefault(variable, quote(_tool(prefix, tool)))
