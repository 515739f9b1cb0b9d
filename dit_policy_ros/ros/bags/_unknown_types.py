# SPDX-License-Identifier: Apache-2.0
"""Lets rosbags open bags that describe a message type in a way that it does not know.

A recorder that does not find a type's definition writes the encoding "unknown", and rosbags then refuses the
whole bag. The definitions are not needed: messages are read with the types that are installed here.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

_KNOWN = "('ros2msg', 'ros2idl')"


@contextlib.contextmanager
def unknown_types_are_read_over() -> Iterator[None]:
    """Inside, rosbags' readers open such bags; its topics have no definition then."""
    import apsw
    from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
    from rosbags.rosbag2 import storage_mcap

    original: Any = getattr(storage_mcap, "get_msgdef", None)  # private: without it such a bag is refused

    def get_msgdef(schema: Any) -> Any:
        try:
            return original(schema)
        except KeyError:
            return MessageDefinition(MessageDefinitionFormat.NONE, "")

    patched = (
        contextlib.nullcontext()
        if original is None
        else mock.patch.object(storage_mcap, "get_msgdef", get_msgdef)
    )
    apsw.connection_hooks.append(_hide_unknown)
    try:
        with patched:
            yield
    finally:
        apsw.connection_hooks.remove(_hide_unknown)


def _hide_unknown(connection: Any) -> None:
    """Shows a database's known definitions only. It is read-only, and a temporary view changes nothing."""
    tables = "SELECT count(*) FROM main.sqlite_master WHERE name = 'message_definitions'"
    if next(connection.execute(tables))[0]:
        connection.execute(
            "CREATE TEMP VIEW message_definitions AS "
            f"SELECT * FROM main.message_definitions WHERE encoding IN {_KNOWN}"
        )
