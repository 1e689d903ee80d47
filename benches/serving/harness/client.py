"""A client for OpenAI's streamed chat completions that takes next to no time from the engine beside it.

While a load runs, it only notes when which bytes arrived; they are read as HTTP and JSON afterwards. Every ask has a
connection of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from .load import Answer, Ask, Load

ASK_SECONDS = 300
Pieces = list[tuple[float, bytes]]


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where an engine listens on this machine, and how it wants to be asked."""

    port: int
    model: str
    key: str | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields that this engine takes beside OpenAI's own."""

    def request(self, ask: Ask) -> bytes:
        body = {
            "model": ask.twin or self.model,
            "messages": ask.messages,
            "max_tokens": ask.max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.extra,
        }
        content = json.dumps(body).encode()
        head = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            "Connection: close",
        ]
        if self.key:
            head.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join([*head, "", ""]).encode() + content


async def perform(endpoint: Endpoint, load: Load) -> list[Answer]:
    """Has the load's conductors ask everything. A failed ask is an answer with an error."""
    requests = [endpoint.request(ask) for ask in load.asks]
    raw: list[tuple[float, float, Pieces, str | None]] = [(0, 0, [], "never asked")] * len(requests)
    numbers = iter(range(len(requests)))
    start = time.perf_counter()

    def clock() -> float:
        return time.perf_counter() - start

    async def conductor() -> None:
        for number in numbers:
            began = clock()
            pieces: Pieces = []
            error = None
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await exchange(endpoint.port, requests[number], pieces, clock)
            except TimeoutError:
                error = f"no end after {ASK_SECONDS} s"
            except OSError as cause:
                error = f"{type(cause).__name__}: {cause}"
            raw[number] = (began, clock(), pieces, error)

    await asyncio.gather(*(conductor() for _ in range(load.conductors)))
    return [read_answer(*one) for one in raw]


async def exchange(port: int, request: bytes, pieces: Pieces, clock: Callable[[], float]) -> None:
    """Sends the request and notes all that comes back, until the engine closes or ends the chunked body."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    class Noting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            pieces.append((clock(), data))
            if data.endswith(b"0\r\n\r\n") and not ended.done():
                ended.set_result(None)

        def connection_lost(self, exc: Exception | None) -> None:
            if not ended.done():
                ended.set_exception(exc) if exc else ended.set_result(None)

    transport, _ = await loop.create_connection(Noting, "127.0.0.1", port)
    try:
        transport.write(request)
        await ended
    finally:
        transport.abort()


def read_answer(began: float, ended: float, pieces: Pieces, error: str | None) -> Answer:
    """Reads what was noted. The stamp of a text is when the last byte of its event arrived."""
    answer = Answer(began, ended, [], 0, 0, error)
    if error:
        return answer
    status, body = split_head(pieces)
    if status != 200:
        text = b"".join(data for _, data in body)[:300].decode("utf-8", "replace")
        answer.error = f"status {status}: {text}"
        return answer
    for stamp, event in events(body):
        if event.get("error"):
            answer.error = json.dumps(event["error"])[:300]
        if usage := event.get("usage"):
            answer.tokens = usage["completion_tokens"]
            answer.prompt_tokens = usage["prompt_tokens"]
        if any((choice.get("delta") or {}).get("content") for choice in event.get("choices") or []):
            answer.stamps.append(stamp)
    return answer


def split_head(pieces: Pieces) -> tuple[int, Pieces]:
    """The status, and the body's bytes without chunk sizes where it is chunked. Status 0: no whole head came."""
    head = b""
    for place, (stamp, data) in enumerate(pieces):
        head += data
        end = head.find(b"\r\n\r\n")
        if end >= 0:
            rest: Pieces = [(stamp, head[end + 4 :]), *pieces[place + 1 :]]
            chunked = b"transfer-encoding: chunked" in head[:end].lower()
            return int(head.split(b" ", 2)[1]), unchunked(rest) if chunked else rest
    return 0, pieces


def unchunked(pieces: Pieces) -> Pieces:
    """Takes the framing of HTTP's chunked transfer out."""
    found: Pieces = []
    buffer, left = b"", 0
    for stamp, data in pieces:
        buffer += data
        while buffer:
            if left > 2:
                part = buffer[: left - 2]
                found.append((stamp, part))
                buffer, left = buffer[len(part) :], left - len(part)
            elif left:  # the line end after a chunk
                skipped = min(left, len(buffer))
                buffer, left = buffer[skipped:], left - skipped
            else:
                line, end, rest = buffer.partition(b"\r\n")
                if not end:
                    break
                buffer, left = rest, int(line.split(b";")[0], 16) + 2
    return found


def events(pieces: Pieces) -> Iterable[tuple[float, dict[str, Any]]]:
    """The JSON of every server-sent event, with the time at which its line was whole."""
    buffer = b""
    for stamp, data in pieces:
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            content = line.removeprefix(b"data:").strip()
            if content != line.strip() and content != b"[DONE]":
                yield stamp, json.loads(content)
