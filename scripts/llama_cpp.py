"""Compares what llama.cpp says of tiny GGUF files with golden logits; called by scripts/test-llama-cpp."""

import json
import math
import pathlib
import sys
import urllib.request

import xllamacpp

# llama.cpp keeps keys and values in 16 bits.
TOLERANCE = 0.05
# It attends to everything where the first three see a window, makes the weights of all experts add up to one, and takes the scale
# and the pattern of windows of published models for granted.
OTHERWISE = {"mistral-window", "qwen2-window", "phi3-window", "qwen3-moe-raw", "gemma2", "gemma3"}


def say(base, tokens):
    body = {"prompt": tokens, "n_predict": 1, "temperature": 0, "n_probs": 64, "cache_prompt": False, "repeat_penalty": 1.0}
    request = urllib.request.Request(base + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        step = json.load(reply)["completion_probabilities"][0]
    return {top["id"]: top["logprob"] for top in step["top_logprobs"]}


def main():
    folder, golden = map(pathlib.Path, sys.argv[1:])
    wrong = 0
    for path in sorted(folder.glob("*.gguf")):
        expected = json.loads((golden / f"{path.stem}.json").read_text())
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup = 256, 1, 0, False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.hostnames, params.port = ["127.0.0.1"], 18433
        server = xllamacpp.Server(params)
        worst = 0.0
        for after, logits in zip(expected["after"], expected["logits"]):
            top = max(logits)
            total = top + math.log(sum(math.exp(logit - top) for logit in logits))
            found = say(server.listening_address, expected["tokens"][: after + 1])
            worst = max([worst] + [abs(found[token] - (logits[token] - total)) for token in found])
        del server
        known = path.stem in OTHERWISE
        wrong += worst > TOLERANCE and not known
        print(f"{path.stem}: off by {worst:.4f}{' (llama.cpp computes it otherwise)' if known else ''}", flush=True)
    sys.exit(wrong)


main()
