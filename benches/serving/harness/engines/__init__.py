"""The engines that are compared, by the names that `--engines` takes."""

from __future__ import annotations

from .base import Bench, Broken, Engine, Unavailable
from .baton import Baton
from .llama import LlamaServer
from .mistral import MistralRs
from .openvino import OpenVino
from .vllm import Vllm

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Baton("baton", "Baton", as_twins=False),
        Baton("baton-twins", "Baton, cued as twins", as_twins=True),
        LlamaServer("llama-q4_1", "llama.cpp Q4_1", "Q4_1"),
        LlamaServer("llama-q4_0", "llama.cpp Q4_0", "Q4_0"),
        LlamaServer("llama-bf16", "llama.cpp BF16", "BF16"),
        OpenVino("openvino", "OpenVINO GenAI"),
        Vllm("vllm", "vLLM CPU"),
        MistralRs("mistralrs", "mistral.rs"),
    )
}

__all__ = ["ENGINES", "Bench", "Broken", "Engine", "Unavailable"]
