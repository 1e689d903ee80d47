"""What the client makes of the bytes that it noted."""

import asyncio
import json
import unittest

from harness.client import Endpoint, perform, read_answer
from harness.load import Ask, Load

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(**content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def text(content: str) -> bytes:
    return event(choices=[{"delta": {"content": content}}])


USAGE = event(choices=[], usage={"completion_tokens": 2, "prompt_tokens": 7})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Reading(unittest.TestCase):
    def test_the_stamp_is_of_the_byte_that_made_the_event_whole(self) -> None:
        stream = HEAD + chunk(text("a")) + chunk(text("b")) + chunk(USAGE + b"data: [DONE]\n\n") + chunk(b"")
        # However the bytes are cut, the same is read; every byte has its own time here.
        whole = read_answer(0, 1, [(place, bytes([byte])) for place, byte in enumerate(stream)], None)
        for size in (2, 3, 5, 7, 64, len(stream)):
            cut = [(place + size - 1, stream[place : place + size]) for place in range(0, len(stream), size)]
            found = read_answer(0, 1, cut, None)
            with self.subTest(size=size):
                self.assertIsNone(found.error)
                self.assertEqual((found.tokens, found.prompt_tokens, len(found.stamps)), (2, 7, 2))
                for stamp, exact in zip(found.stamps, whole.stamps, strict=True):
                    self.assertTrue(exact <= stamp < exact + size)

    def test_a_body_that_is_not_chunked(self) -> None:
        found = read_answer(0, 1, [(0.5, b"HTTP/1.1 200 OK\r\n\r\n" + text("a") + USAGE)], None)
        self.assertEqual((found.tokens, found.stamps), (2, [0.5]))

    def test_events_without_text_have_no_stamp(self) -> None:
        role = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
        end = event(choices=[{"delta": {}, "finish_reason": "length"}])
        found = read_answer(0, 1, [(0.5, HEAD + chunk(role + b": a comment\n\n" + end))], None)
        self.assertEqual((found.stamps, found.error), ([], None))

    def test_errors_are_told(self) -> None:
        refused = [(0.5, b"HTTP/1.1 429 Too Many\r\ncontent-length: 4\r\n\r\nfull")]
        self.assertEqual(read_answer(0, 1, refused, None).error, "status 429: full")
        broken = read_answer(0, 1, [(0.5, HEAD + chunk(text("a") + event(error="out of blocks")))], None)
        self.assertEqual(broken.error, '"out of blocks"')
        self.assertEqual(read_answer(0, 1, [(0.5, b"HTTP/1.1 2")], None).error, "status 0: HTTP/1.1 2")
        self.assertEqual(read_answer(0, 1, [], "gone").error, "gone")


class Asking(unittest.TestCase):
    """Against a server that tells how many it answers at once."""

    def test_conductors_wait_for_their_answers(self) -> None:
        self.open = self.most = 0
        self.asked: list[dict[str, object]] = []

        async def scene() -> list[object]:
            server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
            async with server:
                endpoint = Endpoint(server.sockets[0].getsockname()[1], "base", "secret", {"ignore_eos": True})
                asks = [Ask([{"role": "user", "content": str(n)}], 2, "ux" if n == 3 else None) for n in range(7)]
                return await perform(endpoint, Load(asks, 3))

        answers = asyncio.run(scene())
        self.assertEqual([(one.error, one.tokens, len(one.stamps)) for one in answers], [(None, 2, 1)] * 7)
        self.assertEqual(self.most, 3)
        self.assertEqual([ask["model"] for ask in self.asked].count("ux"), 1)
        self.assertEqual({ask["ignore_eos"] for ask in self.asked}, {True})

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.assertIn("Authorization: Bearer secret\r\n", head)
        length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        self.open += 1
        self.most = max(self.most, self.open)
        # Enough turns of the event loop for all conductors to have asked.
        for _ in range(50):
            await asyncio.sleep(0)
        writer.write(HEAD + chunk(text("a") + USAGE) + chunk(b""))
        self.open -= 1
        writer.close()

    def test_nobody_there_is_an_answer_too(self) -> None:
        async def scene() -> list[object]:
            server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            return await perform(Endpoint(port, "base"), Load([Ask([], 1)], 1))

        self.assertIn("ConnectionRefusedError", asyncio.run(scene())[0].error)
