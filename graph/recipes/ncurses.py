"""ncurses: one shared library with curses, panel and terminfo, for _curses, _curses_panel and readline, which share its state.

Where terminals are looked for, and what is shipped: docs/terminfo.md.
"""

from __future__ import annotations

from graph.node import Input, Node, Run, Step
from graph.recipes.common import Context, configure_triples, fetch_node, source_node
from graph.recipes.library import answers, configure_node, for_static, licence, link_name, make_node, shared_file
from graph.recipes.names import run_tools

# where Linux systems and users keep terminfo; searched after TERMINFO and ~/.terminfo
TERMINFO_DIRS = "/etc/terminfo:/lib/terminfo:/usr/lib/terminfo:/usr/share/terminfo:/usr/share/misc/terminfo:/usr/local/share/terminfo"
FALLBACKS = (
    *("ansi", "dumb", "linux", "vt100", "vt220", "xterm", "xterm-256color"),
    *("screen", "screen-256color", "tmux", "tmux-256color"),
)
"""Compiled into the library: for a copy of it that has lost the distribution's share/terminfo."""
CONSOLES = (
    *("ansi", "cons25", "cons25-debian", "cygwin", "dumb", "hurd", "linux", "linux-16color", "mach", "mach-bold", "mach-color", "mach-gnu"),
    *("mach-gnu-color", "minix", "pccon", "pcansi", "scoansi", "sun", "sun-color", "vt52", "vt100", "vt102", "vt220", "vt320"),
    *("vt340", "vt420", "vt520", "vt525", "wsvt25", "wsvt25m", "wyse60"),
)
XTERMS = (
    *("xterm", "xterm-16color", "xterm-256color", "xterm-88color", "xterm-color", "xterm-direct", "xterm-direct16", "xterm-direct256"),
    *("xterm-basic", "xterm-mono", "xterm-new", "xterm-old", "xterm-r5", "xterm-r6", "xterm-utf8", "xterm-vt220", "xterm-xfree86"),
)
EMULATORS = (
    *("alacritty", "alacritty-direct", "contour", "contour-direct", "domterm", "dtterm", "eterm", "eterm-color", "fbterm", "foot"),
    *("foot-direct", "ghostty", "gnome", "gnome-256color", "hterm", "hterm-256color", "iterm2", "iterm2-direct", "jfbterm", "kitty"),
    *("kitty-direct", "konsole", "konsole-16color", "konsole-256color", "konsole-direct", "mintty", "mintty-direct", "mlterm"),
    *("mlterm-256color", "mlterm-direct", "mrxvt", "mrxvt-256color", "ms-terminal", "ms-terminal-direct", "nsterm", "nsterm-16color"),
    *("nsterm-direct", "putty", "putty-256color", "rio", "rio-direct", "rxvt", "rxvt-16color", "rxvt-256color", "rxvt-88color"),
    *("rxvt-basic", "st", "st-16color", "st-256color", "st-direct", "terminator", "terminology", "teraterm", "teraterm-256color"),
    *("vscode", "vscode-direct", "vte", "vte-256color", "vte-direct", "wezterm", "xfce", "xterm-ghostty", "xterm-kitty"),
)
MULTIPLEXERS = (
    *("dvtm", "dvtm-256color", "screen", "screen-16color", "screen-16color-bce", "screen-256color", "screen-256color-bce", "screen-bce"),
    *("screen-s", "screen-w", "screen.gnome", "screen.konsole", "screen.konsole-256color", "screen.linux", "screen.mlterm-256color"),
    *("screen.putty", "screen.putty-256color", "screen.rxvt", "screen.vte", "screen.vte-256color", "screen.xterm-256color"),
    *("screen.xterm-new", "tmux", "tmux-256color", "tmux-direct"),
)
TERMINALS = tuple(sorted({*FALLBACKS, *CONSOLES, *XTERMS, *EMULATORS, *MULTIPLEXERS}))
"""Files of share/terminfo."""
DATABASE = "terminfo:ncurses"
HEX_DATABASE = "terminfo:ncurses-hex"
COMMANDS = "commands"
"""Where steps find tic and infocmp, made for the build host."""
OFF = ("ada", "cxx", "cxx-binding", "debug", "manpages", "progs", "tack", "tests", "gpm", "dlsym", "shared")
LIBRARY = "libncursesw-fs.so.6"
LINK_NAMES = ("ncursesw", "panelw", "tinfow", "ncurses", "panel", "tinfo")
# no -fvisibility=hidden: the version script decides what this shared library exports
CFLAGS = "-O2 -fPIC -D_FORTIFY_SOURCE=2"


ENV = {"CFLAGS": CFLAGS}
HOST_CC = ("BUILD_CC=build-cc", "BUILD_CCFLAGS=-O1", "BUILD_LDFLAGS=", "BUILD_LIBS=")
"""For make: its configure believes --with-build-cc only where it thinks that it cross-compiles."""
_ARCHIVES = ("lib/libncursesw.a", "lib/libpanelw.a")
_LINK = {
    "linux": (
        *("cc", "-shared", f"-Wl,-s,-soname,{LIBRARY},--version-script=/build/libncursesw.map"),
        *("-Wl,--whole-archive", *_ARCHIVES, "-Wl,--no-whole-archive", "-ldl"),
    ),
    "macos": (
        *("cc", "-dynamiclib", "-Wl,-S,-x", "-install_name", "@rpath/libncursesw-fs.6.dylib", "-current_version", "6"),
        *("-compatibility_version", "6", "-Wl,-unexported_symbol,__nc_*", *(f"-Wl,-force_load,{archive}" for archive in _ARCHIVES)),
    ),
}


def nodes(ctx: Context) -> tuple[Node, ...]:
    library = (fetch_node(ctx, "ncurses"), source_node(ctx, "ncurses"), _configure(ctx), _make(ctx))
    shared = (*_commands(ctx), _database(ctx), _hex_database(ctx)) if ctx.triple == ctx.host.triple else ()
    return (*library, *shared)


def _configure(ctx: Context) -> Node:
    more = (
        *_without(OFF),
        "--enable-overwrite",
        "--disable-setuid-environ",
        f"--with-terminfo-dirs={TERMINFO_DIRS}",
        "--with-default-terminfo-dir=/usr/share/terminfo",
        f"--with-fallbacks={','.join(FALLBACKS)}",
        *(f"--with-{name}-path=/build/{COMMANDS}/bin/{name}" for name in ("tic", "infocmp")),
    )
    files, env = answers(ctx)
    return configure_node(ctx, "ncurses", _configure_argv(ctx, more), files=files, env={**ENV, **env}, build_cc=True)


def _without(features: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"--without-{feature}" for feature in features)


def _configure_argv(ctx: Context, more: tuple[str, ...]) -> tuple[str, ...]:
    same = ("--prefix=/usr", "--with-normal", "--enable-widec", "--disable-stripping", "--disable-db-install", "--with-build-cc=build-cc")
    return ("/build/src/configure", *configure_triples(ctx), *same, *more)


def _make(ctx: Context) -> Node:
    library = shared_file(ctx, LIBRARY)
    steps = (
        *(Step(("make", "-C", part, *HOST_CC)) for part in ("include", "ncurses", "panel")),
        Step(("make", "-C", "include", "DESTDIR=/build/stage", "install")),
        Step(("make", "-C", "panel", "DESTDIR=/build/stage", "install.includes")),
        Step(("mkdir", "-p", "/build/out/lib")),
        Step((*_LINK[ctx.cell.target.os], "-o", f"/build/out/lib/{library}")),
        *(Step(("ln", "-s", library, f"/build/out/lib/{link_name(ctx, name)}")) for name in LINK_NAMES),
        *for_static(ctx, Step(("ar", "qcsDL", "/build/out/lib/libncursesw.a", "lib/libncursesw.a", "lib/libpanelw.a"))),
        Step(("cp", "-R", "/build/stage/usr/include", "/build/out/include")),
        # a comment names the tables that it was made from, with their folder
        Step(("sed", "-i", "s|/build/src/||g", "/build/out/include/curses.h")),
        licence("ncurses", "/build/src/COPYING"),
    )
    return make_node(
        ctx,
        "ncurses",
        steps,
        inputs=(_commands_input(ctx),),
        files=(ctx.file("toolchains/ncurses/libncursesw.map", "libncursesw.map"),),
        env=ENV,
        build_cc=True,
    )


def _commands_input(ctx: Context) -> Input:
    return Input(f"make:{ctx.host.triple}:ncurses-cli", COMMANDS, only=("bin/",))


def _commands(ctx: Context) -> tuple[Node, ...]:
    """configure and make:HOST:ncurses-cli, bin/tic and bin/infocmp: in the plan of the host's own target."""
    env = {**ENV, "LIBS": "-ldl"}
    argv = _configure_argv(ctx, _without(tuple(feature for feature in OFF if feature != "progs")))
    steps = (
        *(Step(("make", "-C", part, *HOST_CC)) for part in ("include", "ncurses")),
        Step(("make", "-C", "progs", "tic", "infocmp")),
        Step(("install", "-D", "-m", "755", "-t", "/build/out/bin", "progs/tic", "progs/infocmp")),
        licence("ncurses", "/build/src/COPYING"),
    )
    return (
        configure_node(ctx, "ncurses-cli", argv, source="ncurses", env=env, build_cc=True),
        make_node(ctx, "ncurses-cli", steps, source="ncurses", env=env, build_cc=True),
    )


def database(ctx: Context) -> str:
    """Name of the node with share/terminfo as the target's systems lay it out."""
    return {"linux": DATABASE, "macos": HEX_DATABASE}[ctx.cell.target.os]


def _hex_database(ctx: Context) -> Node:
    """terminfo:ncurses-hex: the same for file systems that take x and X for one: folders are named by the letter's code, 78 for x."""
    letters = sorted({name[0] for name in TERMINALS})
    folders = {letter: f"/build/out/share/terminfo/{ord(letter):02x}" for letter in letters}
    steps = (
        Step(("mkdir", "-p", *folders.values())),
        *(
            Step(("cp", *(f"/build/letters/share/terminfo/{letter}/{name}" for name in TERMINALS if name[0] == letter), folder))
            for letter, folder in folders.items()
        ),
    )
    env = (("LC_ALL", "C"), ("PATH", "/usr/bin"))
    return Node(HEX_DATABASE, Run(steps, env, tools=("posix",)), inputs=(Input(DATABASE, "letters"),), platform=ctx.host.platform)


def _database(ctx: Context) -> Node:
    """terminfo:ncurses: out/share/terminfo with TERMINALS, each a file of its own. A name without an entry ends the step that copies it."""
    tic = (f"/build/{COMMANDS}/bin/tic", "-x")
    env = (("LC_ALL", "C"), ("PATH", "/usr/bin"), ("TERMINFO", "/build/work"))
    letters = sorted({name[0] for name in TERMINALS})
    place = "/build/out/share/terminfo"
    steps = (
        Step((*tic, "/build/src/misc/terminfo.src")),
        Step((*tic, "/build/more.src")),
        Step(("mkdir", "-p", *(f"{place}/{letter}" for letter in letters))),
        *(Step(("cp", *(f"{letter}/{name}" for name in TERMINALS if name[0] == letter), f"{place}/{letter}")) for letter in letters),
    )
    return Node(
        DATABASE,
        Run(steps, env, tools=("posix", *run_tools(ctx.cell.target))),
        inputs=(_commands_input(ctx), Input("source:ncurses", "src", only=("misc/terminfo.src",))),
        files=(ctx.file("toolchains/ncurses/more.src", "more.src"),),
        platform=ctx.host.platform,
    )
