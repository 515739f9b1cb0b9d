# SPDX-License-Identifier: Apache-2.0
"""Progress without a terminal: a line now and then, and one at the end."""

import io

from rich.console import Console

from dit_policy_ros.training.progress import LINE_PERIOD, progress_bar


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end() -> None:
    out, now = io.StringIO(), [0.0]
    with progress_bar(Console(file=out), lambda: now[0]) as bar:
        line = bar.add_task("episodes", total=100, note="")
        hidden = bar.add_task("encoding", total=None, note="", visible=False)
        for count in range(100):
            now[0] += LINE_PERIOD / 20
            bar.update(line, advance=1, note=f"{count} [/] succeeded")
            bar.update(hidden, completed=count)
    lines = out.getvalue().splitlines()
    assert len(lines) == 5 and lines[-1].startswith("episodes 100/100")
    assert all(each.startswith("episodes ") for each in lines)
    assert lines[-1].endswith("99 [/] succeeded"), "brackets are not markup"


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    with progress_bar(Console(file=out, force_terminal=True, width=80)) as bar:
        line = bar.add_task("episodes", total=2, note="")
        bar.update(line, advance=2)
    assert "\x1b[" in out.getvalue() and "2/2" in out.getvalue()
