"""Questions and texts that are new each time and the same for every engine: all derive from a salt."""

from __future__ import annotations

import random

from .load import Ask, Load, Message
from .packs import Pack

OUTPUT_TOKENS = 64
WARM_TOKENS = 8
COLD_WORDS = 395
"""Makes a prompt of about 512 tokens with the default model's tokenizer, template included."""

NOUNS = (
    "table column report form button ledger token invoice queue review checkout session dialog release vendor audit "
    "contract account refund screen password export backup event team deadline metric incident customer field"
).split()
VERBS = "rename merge split delay remove publish encrypt archive measure replace share automate test approve".split()
WHENS = (
    "before the release",
    "during the audit",
    "while others still use it",
    "for one customer only",
    "by next week",
    "without telling anyone",
    "after the incident",
    "in every region at once",
)
REASONS = (
    "because a mistake is costly", "so that nothing is lost", "since the old way was wrong",
    "to keep the answer short", "because two teams disagree", "so that we learn something",
)  # fmt: skip


def source(*salt: object) -> random.Random:
    """Random choices that depend on the salt alone, on every machine."""
    return random.Random("/".join(map(str, salt)))


def question(pack: Pack, *salt: object) -> str:
    """About 40 tokens on one of the pack's topics; no two salts give the same one."""
    choose = source("question", pack.id, *salt)
    number = choose.randrange(10**6)
    return (
        f"Case {number}: on {choose.choice(pack.topics)}, may we {choose.choice(VERBS)} the {choose.choice(NOUNS)} and "
        f"the {choose.choice(NOUNS)} {choose.choice(WHENS)}? What would you do, and why?"
    )


def filler(words: int, *salt: object) -> str:
    """Plain sentences of about `words` words, different from the first word on."""
    choose = source("filler", *salt)
    text = [f"Note {choose.randrange(10**6)}."]
    while sum(len(sentence.split()) for sentence in text) < words:
        text.append(
            f"{choose.choice(VERBS).capitalize()} the {choose.choice(NOUNS)} of the {choose.choice(NOUNS)} "
            f"{choose.choice(WHENS)}, {choose.choice(REASONS)}."
        )
    return " ".join(text)


def cue(pack: Pack, *, as_twin: bool, tokens: int, salt: tuple[object, ...]) -> Ask:
    """One question to a pack, either as a cue to the twin or with the pack's text as the system message."""
    asked: Message = {"role": "user", "content": question(pack, *salt)}
    if as_twin:
        return Ask([asked], tokens, pack.id)
    return Ask([{"role": "system", "content": pack.system}, asked], tokens)


def twin_load(packs: list[Pack], conductors: int, asks: int, *, as_twin: bool, salt: tuple[object, ...]) -> Load:
    """The twin workload: `asks` questions, to one pack after the other."""
    salted = [(packs[n % len(packs)], (*salt, conductors, n)) for n in range(asks)]
    return Load([cue(pack, as_twin=as_twin, tokens=OUTPUT_TOKENS, salt=one) for pack, one in salted], conductors)


def warm_load(packs: list[Pack], *, as_twin: bool, salt: tuple[object, ...]) -> Load:
    """One question a pack with a short answer, after which the pack is computed."""
    return Load([cue(pack, as_twin=as_twin, tokens=WARM_TOKENS, salt=(*salt, pack.id)) for pack in packs], 1)


def decode_load(sequences: int, tokens: int, *salt: object) -> Load:
    """Short questions with answers of `tokens` tokens, all at once."""
    asks = [
        Ask([{"role": "user", "content": filler(16, "decode", sequences, n, *salt)}], tokens) for n in range(sequences)
    ]
    return Load(asks, sequences)


def cold_load(prompts: int, *salt: object) -> Load:
    """Long prompts that share nothing but the template's first words, one after the other, for one token each."""
    asks = [Ask([{"role": "user", "content": filler(COLD_WORDS, "cold", n, *salt)}], 1) for n in range(prompts)]
    return Load(asks, 1)
