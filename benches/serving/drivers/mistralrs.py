"""Drives mistral.rs: drivers.mistralrs MODEL

One thread a conductor: its Python package answers in an iterator that blocks.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import sys
import time
from collections.abc import Callable

from mistralrs import ChatCompletionRequest, Runner, Which

from harness.load import Answer, Ask, Load

from .protocol import answer_loads


def start() -> Callable[[Load], list[Answer]]:
    model = pathlib.Path(sys.argv[1])
    which = Which.GGUF(quantized_model_id=str(model.parent), quantized_filename=model.name)
    # Prompts that come in one batch fail in this version ("input tensor is not contiguous"), so one request at a time.
    runner = Runner(which=which, max_seqs=1, prefix_cache_n=16, token_source="none")
    return lambda load: perform(runner, load)


def perform(runner: Runner, load: Load) -> list[Answer]:
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(load.conductors) as conductors:
        return list(conductors.map(lambda ask: answer(runner, ask, begin), load.asks))


def answer(runner: Runner, ask: Ask, begin: float) -> Answer:
    began = time.perf_counter() - begin
    found = Answer(began, began, [], 0, 0)
    request = ChatCompletionRequest(
        model="default", messages=ask.messages, max_tokens=ask.max_tokens, temperature=0.0, stream=True, ignore_eos=True
    )
    try:
        for chunk in runner.send_chat_completion_request(request):
            if any(choice.delta.content for choice in chunk.choices):
                found.stamps.append(time.perf_counter() - begin)
            if chunk.usage:
                found.tokens = chunk.usage.completion_tokens
                found.prompt_tokens = chunk.usage.prompt_tokens
    except Exception as cause:  # A failed ask is a result, too.
        found.error = f"{type(cause).__name__}: {cause}"
    found.ended = time.perf_counter() - begin
    return found


if __name__ == "__main__":
    answer_loads(start)
