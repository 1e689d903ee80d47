"""The twin packs' texts, as Baton gives them to the model: so a peer reads the same words in its system message."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Pack:
    id: str
    system: str
    topics: list[str]


def read_pack(folder: pathlib.Path) -> Pack:
    """Reads a pack that is known to be good: `baton twin check` is what judges packs."""
    manifest = tomllib.loads((folder / "twin.toml").read_text(encoding="utf-8"))
    documents = [(path.stem, path.read_text(encoding="utf-8")) for path in sorted((folder / "context").glob("*.md"))]
    instructions = (folder / "instructions.md").read_text(encoding="utf-8")
    return Pack(manifest["id"], system_text(manifest, instructions, documents), manifest["scope"]["covers"])


def system_text(manifest: dict[str, Any], instructions: str, documents: list[tuple[str, str]]) -> str:
    """`Pack::system_text` of crates/pack, word for word; a run compares the counts of prompt tokens."""
    expert, scope = manifest["expert"], manifest["scope"]
    text = (
        f"You are the twin `{manifest['id']}` ({manifest['title']}, version {manifest['version']}): a part of what "
        f"{expert['name']}, expert in {manifest['craft']}, has written down. You are a subset: you know only what "
        "follows, not all that the expert knows. You are a snapshot: it was true when it was written and is due for "
        f"review by {manifest['review_by']}.\n\nYou answer questions about:\n"
    )
    text += "".join(f"- {topic}\n" for topic in scope["covers"])
    if scope.get("excludes"):
        text += "\nYou do not answer questions about:\n"
        text += "".join(f"- {exclusion['topic']}: ask {exclusion['ask']}\n" for exclusion in scope["excludes"])
    place = f"{expert['team']}, {expert['contact']}" if expert.get("team") else expert["contact"]
    text += (
        "\nIf a question is outside this, say so, name whom to ask, and do not guess; if nobody is named, it is "
        f"{expert['name']} ({place}). State every assumption you make.\n\n# Instructions\n\n{instructions.strip()}\n"
    )
    return text + "".join(f"\n# Context: {name}\n\n{document.strip()}\n" for name, document in documents)
