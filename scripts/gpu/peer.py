#!/usr/bin/env python3
"""Measures transformers on the GPU, on random bf16 weights of real shapes: a peer for `baton probe`.

usage: peer.py [--out FILE] [--seconds N] [--models NAME,...] [--sequences N,...] [--device DEVICE]

Needs PyTorch and transformers; reaches for no network. Three ways to run the same weights are measured, each where it works:

continuous  transformers' continuous batching (paged attention)
generate    `generate` on one static batch
compiled    `generate` with a static cache, its step compiled into one CUDA graph

Decoding is counted in tokens/s over all sequences, from the moment when every sequence has its first token; a prompt in
tokens/s until all have it. FILE is written after every figure, so that what was measured stays if time runs out.
"""

import argparse
import importlib.metadata
import json
import math
import os
import statistics
import sys
import time
from functools import partial

# Tokens that every sequence has behind it when it decodes, and that it then gets: as `baton probe` has them.
PROMPT = 1024
NEW = 32
# Prompts that are computed together for their speed.
PROMPTS = 8
# Tokens of one block of transformers' cache, and the most that one of its steps computes: its own defaults.
BLOCK, STEP = 256, 8192
# What a warm-up takes: it is to load kernels, and nothing is measured.
WARM = (64, 4)

SHAPES = {
    "llama-3-8b": ("llama", {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    }),
    "qwen3-0.6b": ("qwen3", {
        "vocab_size": 151936, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    }),
    # Says nothing about any GPU: it lets this file be tried on a CPU.
    "tiny": ("llama", {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }),
}


class Report:
    """What was measured so far, kept in a file."""

    def __init__(self, path, head, deadline):
        self.path, self.deadline = path, deadline
        self.content = {**head, "models": {}, "left_out": []}

    def measure(self, model, way, figure, run):
        """Runs `run` for a figure and keeps what it gives; what fails is said, and the rest goes on."""
        name = f"{model} {way} {figure}"
        if time.monotonic() > self.deadline:
            self.content["left_out"].append(f"{name}: no time was left")
            return
        try:
            value = run()
        except Exception as error:  # Whatever a peer does not do is no reason to measure nothing else of it.
            self.content["left_out"].append(f"{name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        else:
            self.content["models"].setdefault(model, {}).setdefault(way, {})[figure] = round(value, 1)
            print(f"{name}: {value:,.1f} tokens/s", file=sys.stderr, flush=True)
        self.write()

    def write(self):
        if self.path is None:
            return
        unfinished = f"{self.path}.unfinished"
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(self.content, file, indent=1)
        os.replace(unfinished, self.path)


class Model:
    """Random weights of one shape, and the ways to run them."""

    def __init__(self, torch, shape, device):
        from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

        self.torch, self.device = torch, device
        kind, values = SHAPES[shape]
        config = AutoConfig.for_model(kind, **values, bos_token_id=None, eos_token_id=None, pad_token_id=0)
        torch.manual_seed(0)
        with torch.device(device):
            self.model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa").eval()
        self.model.generation_config = GenerationConfig(do_sample=False, eos_token_id=None, pad_token_id=0)
        self.vocabulary = values["vocab_size"]

    def prompts(self, count, length):
        """[count, length] token ids, new ones at every call: nothing can be reused."""
        return self.torch.randint(0, self.vocabulary, (count, length), device=self.device)

    def continuous(self, sequences, length, new):
        """When all were submitted, and when each had each of its tokens."""
        from transformers import ContinuousBatchingConfig, GenerationConfig
        from transformers.generation.continuous_batching.utils import WorkloadHints

        # Room for what comes and no more: by default it takes all memory there is, and computes over what is empty.
        room = ContinuousBatchingConfig(
            block_size=BLOCK, num_blocks=(sequences + 1) * (math.ceil((length + new) / BLOCK) + 1), max_batch_tokens=STEP)
        config = GenerationConfig(max_new_tokens=new, do_sample=False, eos_token_id=-1, pad_token_id=0)
        hints = WorkloadHints(max_prompt_length=length, max_generated_length=new, num_requests=sequences)
        implementation = self.model.config._attn_implementation
        try:
            with self.model.continuous_batching_context_manager(
                config, timeout=5, continuous_batching_config=room, workload_hints=hints
            ) as manager:
                self._round(manager, sequences, *WARM)
                return self._round(manager, sequences, length, new)
        finally:
            self.model.set_attn_implementation(implementation)

    def _round(self, manager, sequences, length, new):
        inputs = self.prompts(sequences, length).tolist()
        started = time.perf_counter()
        manager.add_requests(inputs, max_new_tokens=new, record_timestamps=True)
        times = []
        while len(times) < sequences:
            result = manager.get_result(timeout=1)
            if result is None and not manager.is_running():
                raise RuntimeError("the generation thread ended")
            if result is not None and result.is_finished():
                if result.error is not None:
                    raise RuntimeError(result.error)
                times.append(result.timestamps)
        return started, times

    def generate(self, sequences, length, new, **more):
        """When a static batch began, and when it had each of its tokens."""
        from transformers import StoppingCriteria, StoppingCriteriaList

        torch, times = self.torch, []

        class Clock(StoppingCriteria):
            # Asked after every token; whether it was the last is read by the host, so the device is done with the one before.
            def __call__(self, input_ids, scores, **_):
                times.append(time.perf_counter())
                return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

        inputs = self.prompts(sequences, length)
        mask = torch.ones_like(inputs)
        self.wait()
        started = time.perf_counter()
        clock = StoppingCriteriaList([Clock()])
        self.model.generate(inputs, attention_mask=mask, max_new_tokens=new, stopping_criteria=clock, **more)
        self.wait()
        times[-1] = time.perf_counter()
        return started, times

    def wait(self):
        if self.device != "cpu":
            self.torch.cuda.synchronize()


def continuous_decode(model, sequences):
    _, times = model.continuous(sequences, PROMPT, NEW)
    first, last = max(times_of[0] for times_of in times), max(times_of[-1] for times_of in times)
    return sum(moment > first for times_of in times for moment in times_of) / (last - first)


def continuous_prompt(model):
    started, times = model.continuous(PROMPTS, PROMPT, 2)
    return PROMPTS * PROMPT / (max(times_of[0] for times_of in times) - started)


def static_decode(model, sequences, warm=WARM, **more):
    model.generate(sequences, *warm, **more)
    _, times = model.generate(sequences, PROMPT, NEW, **more)
    return sequences * (len(times) - 1) / (times[-1] - times[0])


def static_prompt(model):
    def rate():
        started, times = model.generate(PROMPTS, PROMPT, 1)
        return PROMPTS * PROMPT / (times[-1] - started)

    rate()
    return statistics.median(rate() for _ in range(3))


def measure(report, torch, name, sequences, device):
    model = Model(torch, name, device)
    with torch.no_grad():
        for count in sequences:
            report.measure(name, "continuous", str(count), partial(continuous_decode, model, count))
            report.measure(name, "generate", str(count), partial(static_decode, model, count))
        report.measure(name, "continuous", "prompt", partial(continuous_prompt, model))
        report.measure(name, "generate", "prompt", partial(static_prompt, model))
        for count in sequences if device != "cpu" else []:
            # A static cache has the size of the whole answer, and with another size all is compiled again.
            run = partial(static_decode, model, count, warm=(PROMPT, NEW), cache_implementation="static")
            report.measure(name, "compiled", str(count), run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE")
    parser.add_argument("--seconds", type=float, default=160, help="no figure is begun after this [default: 160]")
    parser.add_argument("--models", default="llama-3-8b,qwen3-0.6b")
    parser.add_argument("--sequences", default="1,8,32,128")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: PyTorch sees no GPU")
    head = {
        "peer": f"transformers {importlib.metadata.version('transformers')}",
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "prompt_tokens": PROMPT, "new_tokens": NEW, "prompts": PROMPTS,
    }
    report = Report(arguments.out, head, deadline)
    sequences = [int(count) for count in arguments.sequences.split(",")]
    for name in arguments.models.split(","):
        measure(report, torch, name, sequences, arguments.device)
        if arguments.device == "cuda":
            torch.cuda.empty_cache()
    report.write()
    if arguments.out is None:
        print(json.dumps(report.content, indent=1))


if __name__ == "__main__":
    main()
