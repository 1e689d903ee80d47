"""Writes a GGUF file's weights as safetensors with its tokenizer: widen.py MODEL FOLDER DTYPE"""

import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

model, folder, dtype = sys.argv[1:]
path = pathlib.Path(model)
AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name).save_pretrained(folder)
widened = AutoModelForCausalLM.from_pretrained(
    str(path.parent),
    gguf_file=path.name,
    dtype=getattr(torch, dtype),
    quantization_config=GgufConfig(dequantize=True),
)
# What it was quantized as is of no more interest, and would be refused.
widened.config.quantization_config = None
widened.hf_quantizer = None
widened.save_pretrained(folder)
