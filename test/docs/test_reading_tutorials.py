# SPDX-License-Identifier: Apache-2.0
"""How a tutorial's page is read."""

import pytest
from tutorials import Block, read_tutorial

PAGE = """\
# Title

<!-- terminal: sim
     until: the robot is up -->
```bash
run a robot
```

Text.

<!-- file: a.py -->
```python
print(1)
```

<!-- ends: sim
     prints: 2 of 2 | done
     writes: out/a out/b
     exit: 0 1
     with: -n 50 -> -n 2 -->
```bash
count -n 50
```

*Not run by the test: it needs a login.*

```bash
push
```

```bash
plain
```
"""


@pytest.fixture
def page(tmp_path):
    return tmp_path / "page.md"


def test_blocks_come_in_order_with_what_is_said_of_them(page):
    page.write_text(PAGE)
    assert read_tutorial(page) == [
        Block(6, "run a robot\n", terminal="sim", until="the robot is up"),
        Block(13, "print(1)\n", file="a.py"),
        Block(
            22, "count -n 2\n", ends=("sim",), prints=("2 of 2", "done"), writes=("out/a", "out/b"),
            exit_codes=(0, 1),
        ),
        Block(28, "push\n", not_run="it needs a login."),
        Block(32, "plain\n"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- print: a -->\n```bash\na\n```\n", "unknown in the comment: print"),
        ("```python\na\n```\n", "expected bash"),
        ("<!-- with: b -> c -->\n```bash\na\n```\n", "expected 'b' once"),
    ],
)
def test_what_nobody_understands_is_an_error(page, text, words):
    page.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_tutorial(page)
