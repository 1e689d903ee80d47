"""Other grammar engines over the same cases, for what they take and tell apart: no speed is measured here."""
import importlib.machinery
import json
import re
import sys
import types
import warnings

# Of the patterns that one engine makes of schemas, those that would take Python's `re` very long.
PATTERN_CHARS = 60_000


class Stand(types.ModuleType):
    """Takes the place of a module whose names are only mentioned while another is imported."""

    def __init__(self, name):
        super().__init__(name)
        self.__path__ = []
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class Xgrammar:
    """XGrammar on a vocabulary of single bytes. It imports PyTorch, of which matching text needs nothing."""

    name = "XGrammar 0.2.8"

    def __init__(self):
        import tvm_ffi  # before the stand-ins, because it looks at the real PyTorch if there is one
        assert tvm_ffi
        for module in ("torch", "transformers", "triton"):
            sys.modules.setdefault(module, Stand(module))
        import xgrammar
        self.module = xgrammar
        tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
        self.end = len(tokens) - 1
        vocabulary = xgrammar.TokenizerInfo(tokens, stop_token_ids=[self.end])
        self.compiler = xgrammar.GrammarCompiler(vocabulary, cache_enabled=False)

    def compile(self, schema):
        """What tells whether a text meets the schema; raises if the schema is refused."""
        grammar = self.compiler.compile_json_schema(json.dumps(schema), strict_mode=False)

        def meets(text):
            matcher = self.module.GrammarMatcher(grammar)
            return matcher.accept_string(text) and matcher.accept_token(self.end)

        return meets


class Outlines:
    """Outlines, which makes one regular expression of a schema."""

    name = "outlines-core 0.2.14"

    def __init__(self):
        from outlines_core import json_schema
        self.build = json_schema.build_regex_from_schema

    def compile(self, schema):
        """What tells whether a text meets the schema; raises if the schema is refused."""
        pattern = self.build(json.dumps(schema))
        if len(pattern) > PATTERN_CHARS:
            raise ValueError("its pattern has %d characters" % len(pattern))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern)
        return lambda text: compiled.fullmatch(text) is not None


def judge(peer, cases):
    """What a peer makes of each case: None if it refuses the schema, else for each answer whether a spelling is taken."""
    judged = []
    for case in cases:
        try:
            meets = peer.compile(case["schema"])
            judged.append([any(meets(text) for text in texts) for texts in case["spellings"]])
        except (Exception, RecursionError):  # each engine has errors of its own kind
            judged.append(None)
    return judged
