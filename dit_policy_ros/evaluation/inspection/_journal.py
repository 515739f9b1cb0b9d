# SPDX-License-Identifier: Apache-2.0
"""What lies in a dataset's journal, and how to go on with it."""

from pathlib import Path

from dit_policy_ros.data.recording import is_saved, pending_episodes, quarantined_episodes


def journal_lines(root: Path) -> list[str]:
    """Lines about the episodes that are not in the dataset; empty if there are none. Changes nothing."""
    lines = []
    pending = pending_episodes(root)
    saved = sum(map(is_saved, pending))
    if saved:
        lines.append(
            f"{saved} saved episodes wait to be added: a recorder is adding them, or it ended before that. "
            f"They are added when it starts, or by: dit_policy inspect {root} --recover keep"
        )
    if saved < len(pending):
        lines.append(
            f"{len(pending) - saved} episodes were interrupted, or are being recorded. If no recorder runs: "
            f"dit_policy inspect {root} --recover keep (or discard)"
        )
    quarantined = quarantined_episodes(root)
    if quarantined:
        lines.append(f"{len(quarantined)} episodes could not be added and are in quarantine, not lost:")
        lines += [f"  {episode}" for episode in quarantined]
        lines.append(
            f"  Try again after an update or a repair: dit_policy inspect {root} --quarantine retry. Delete "
            "them: --quarantine delete. Their images are in NAME.mkv, which any video player shows"
        )
    return lines
