"""Incidents as the ledger tells them: the newest state of each, with when it was opened."""

from __future__ import annotations

from assay.app.reader import Reader
from assay.app.sound import SoundLedger
from assay.app.workspace import Workspace
from assay.core.canonical import Json
from assay.evidence.predicates import Predicate


def newest_incidents(workspace: Workspace) -> list[Json]:
    """One object an incident: id, state, severity, asset, opened_at, events, summary; the most recent first."""
    sound = SoundLedger.of(workspace)
    reader = Reader(sound, sound.chain)
    found: dict[str, dict[str, Json]] = {}
    for leaf in sound.mentioning(Predicate.INCIDENT):
        for item in reader.about(leaf.subjects[0]):
            if item.index != leaf.index or "incident" not in item.roles:
                continue
            said = item.predicate
            names = reader.names(leaf.subjects[0])
            opened = found.get(said["id"], {}).get("opened_at", item.logged_at)
            found.pop(said["id"], None)
            found[said["id"]] = {
                "id": said["id"], "state": said["state"], "severity": said["severity"], "owner": said["owner"],
                "asset": f"{names[0][0]}@{names[0][1]}" if names else leaf.subjects[0], "opened_at": opened,
                "events": said["events"], "actions": said["actions"], "summary": said["summary"],
            }  # fmt: skip
    return list(reversed(found.values()))
