"""Drives OpenVINO GenAI: drivers.openvino MODEL THREADS

One thread adds requests and steps the pipeline, as a server's engine loop would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import openvino_genai

from harness.load import Answer, Ask, Load

from .protocol import answer_loads

CACHE_GIB = 1
STEP_TOKENS = 2048


def start() -> Callable[[Load], list[Answer]]:
    model, threads = sys.argv[1:]
    config = openvino_genai.SchedulerConfig()
    config.cache_size = CACHE_GIB
    config.enable_prefix_caching = True
    config.max_num_batched_tokens = STEP_TOKENS
    config.max_num_seqs = 16
    pipeline = openvino_genai.ContinuousBatchingPipeline(model, config, "CPU", {"INFERENCE_NUM_THREADS": int(threads)})
    driver = Driver(pipeline)
    return driver.perform


class Driver:
    def __init__(self, pipeline: openvino_genai.ContinuousBatchingPipeline) -> None:
        self.pipeline = pipeline
        self.tokenizer = pipeline.get_tokenizer()
        self.requests = 0

    def add(self, ask: Ask) -> tuple[openvino_genai.GenerationHandle, int]:
        """The request's handle and its prompt's tokens."""
        text = self.tokenizer.apply_chat_template(ask.messages, add_generation_prompt=True)
        tokens = self.tokenizer.encode(text, add_special_tokens=False).input_ids
        generation = openvino_genai.GenerationConfig()
        generation.max_new_tokens = ask.max_tokens
        generation.ignore_eos = True
        generation.do_sample = False
        self.requests += 1
        return self.pipeline.add_request(self.requests, tokens, generation), tokens.shape[1]

    def perform(self, load: Load) -> list[Answer]:
        answers = [Answer(0, 0, [], 0, 0, "never asked") for _ in load.asks]
        running: dict[int, openvino_genai.GenerationHandle] = {}
        begin, asked = time.perf_counter(), 0
        while asked < len(load.asks) or running:
            while asked < len(load.asks) and len(running) < load.conductors:
                answer = answers[asked]
                answer.began, answer.error = time.perf_counter() - begin, None
                running[asked], answer.prompt_tokens = self.add(load.asks[asked])
                asked += 1
            self.pipeline.step()
            now = time.perf_counter() - begin
            for number, handle in list(running.items()):
                answer = answers[number]
                came = drained(handle)
                if came:
                    answer.tokens += came
                    answer.stamps.append(now)
                if handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
                    answer.ended = now
                    if handle.get_status() != openvino_genai.GenerationStatus.FINISHED:
                        answer.error = str(handle.get_status())
                    del running[number]
        return answers


def drained(handle: openvino_genai.GenerationHandle) -> int:
    """How many tokens came since the last call."""
    came = 0
    while handle.can_read():
        came += sum(len(output.generated_ids) for output in handle.read().values())
    return came


if __name__ == "__main__":
    answer_loads(start)
