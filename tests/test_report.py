from __future__ import annotations

import io

import pytest

from graph.report import LiveReporter, PlainReporter, make_reporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_for_what_runs_and_a_summary() -> None:
    stream = io.StringIO()
    reporter = make_reporter(stream)
    assert type(reporter) is PlainReporter
    reporter.begin(3)
    reporter.cached("fetch:a")
    reporter.started("make:b")
    reporter.finished("make:b", 1.25)
    assert stream.getvalue() == "run  make:b\ndone make:b in 1.2 s (1 left)\n"
    reporter.end(1)
    assert stream.getvalue().splitlines()[-1].startswith("1 failed, 1 nodes run, 1 from the store, ")


def test_bytes_that_move_are_told_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.moved(received=1_500_000)
    assert stream.getvalue() == ""
    monkeypatch.setattr("graph.report.MOVED_EVERY", 0.0)
    reporter.moved(sent=200_000)
    assert stream.getvalue() == "remote: 1.5 MB received, 0.2 MB sent\n"
    reporter.made_again("make:b")
    reporter.end(0)
    assert stream.getvalue().splitlines()[1:3] == [
        "lost make:b: its bytes are gone, it is made again here",
        "remote: 1.5 MB received, 0.2 MB sent",
    ]


def test_a_terminal_gets_a_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    stream = Terminal()
    monkeypatch.setattr("rich.live.get_console", lambda: Console(file=stream, force_terminal=True, width=100))
    reporter = make_reporter(stream)
    assert isinstance(reporter, LiveReporter)
    reporter.begin(2)
    reporter.line("before")
    reporter.started("fetch:zig")
    reporter.progress("fetch:zig", 50_000_000, 100_000_000)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(reporter._render())
    shown = console.export_text()
    assert "fetch:zig" in shown
    assert "[##########..........] 50/100 MB" in shown
    assert "0 run, 0 from the store, 2 left" in shown
    reporter.finished("fetch:zig", 2.0)
    reporter.started("make:b")
    reporter.end(0)
    assert "1 nodes run" in stream.getvalue()
    assert "before" in stream.getvalue()


def test_progress_without_a_known_size_shows_no_bar() -> None:
    reporter = LiveReporter(Terminal())
    reporter.progress("fetch:a", 5, 0)
    reporter.tally.running["fetch:a"] = 0.0
    from rich.console import Console

    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(reporter._render())
    assert "#" not in console.export_text()
