"""Baton through the official OpenAI client for Python, unmodified.

`run.py` starts the server on the real model and sets BATON_BASE_URL and BATON_API_KEYS.
"""
import asyncio
import concurrent.futures
import json
import os
import re
import time
import unittest
import urllib.request
from typing import Literal

import openai
import pydantic

BASE_URL = os.environ["BATON_BASE_URL"]
# One key a conductor; the first one's is used where it does not matter whose it is.
KEYS = os.environ["BATON_API_KEYS"].split()
API_KEY = KEYS[0]
BASE_MODEL = "smollm2-135m-instruct"
EMBEDDING_MODEL = "all-minilm-l6-v2"
TWINS = {"accessibility", "compliance", "data-modelling", "payments", "performance", "platform-architecture",
         "process-design", "security", "ux"}
QUESTION = [{"role": "user", "content": "May I rename a column that other teams read?"}]

client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=300)


def chat(**options):
    options = {"model": BASE_MODEL, "messages": QUESTION, "max_tokens": 12, "temperature": 0} | options
    return client.chat.completions.create(**options)


def raw(path, body=None, key=API_KEY, method=None):
    """One request by hand: status, headers and body."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + key} if key else {})
    request = urllib.request.Request(BASE_URL.removesuffix("/v1") + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def metric(name, labels=""):
    """The sum of a metric's samples whose labels contain `labels`."""
    pattern = re.compile(r"^%s(\{[^}]*\})? (\S+)$" % re.escape(name), re.M)
    samples = pattern.findall(raw("/metrics")[2])
    return sum(float(value) for found, value in samples if labels in found)


def eventually(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not come true in %d s" % seconds)
        time.sleep(0.05)


class Models(unittest.TestCase):
    def test_list_names_the_model_and_every_twin(self):
        models = {model.id: model for model in client.models.list()}
        self.assertEqual(set(models), TWINS | {BASE_MODEL, EMBEDDING_MODEL})
        self.assertEqual(models.pop(EMBEDDING_MODEL).max_model_len, 256)
        for model in models.values():
            self.assertEqual(model.object, "model")
            self.assertEqual(model.max_model_len, 8192)

    def test_retrieve(self):
        self.assertEqual(client.models.retrieve("security").id, "security")
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("nobody")


class Chat(unittest.TestCase):
    def test_reply_has_openai_shape(self):
        reply = chat()
        self.assertTrue(reply.id.startswith("chatcmpl-"))
        self.assertEqual((reply.object, reply.model), ("chat.completion", BASE_MODEL))
        choice = reply.choices[0]
        self.assertEqual((choice.index, choice.message.role, choice.finish_reason), (0, "assistant", "length"))
        self.assertTrue(choice.message.content)
        self.assertIsNone(choice.logprobs)
        self.assertEqual(reply.usage.completion_tokens, 12)
        self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + 12)

    def test_greedy_is_repeatable(self):
        self.assertEqual(chat().choices[0].message.content, chat().choices[0].message.content)

    def test_stream_gives_the_same_text(self):
        whole = chat()
        chunks = list(chat(stream=True))
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(len({chunk.created for chunk in chunks}), 1)
        self.assertTrue(all(chunk.object == "chat.completion.chunk" for chunk in chunks))
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        deltas = [chunk.choices[0].delta for chunk in chunks]
        self.assertEqual([delta.role for delta in deltas], ["assistant"] + [None] * (len(deltas) - 1))
        text = "".join(delta.content or "" for delta in deltas)
        self.assertEqual(text, whole.choices[0].message.content)
        reasons = [chunk.choices[0].finish_reason for chunk in chunks]
        self.assertEqual(reasons, [None] * (len(reasons) - 1) + ["length"])

    def test_usage_chunk_comes_only_when_asked(self):
        chunks = list(chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_stop_string_ends_the_answer_and_is_not_in_it(self):
        text = chat(max_tokens=40).choices[0].message.content
        stop = text[10:14]
        for stream in (False, True):
            if stream:
                chunks = list(chat(max_tokens=40, stop=[stop, "never to be seen"], stream=True))
                got = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
                reason = chunks[-1].choices[0].finish_reason
            else:
                choice = chat(max_tokens=40, stop=stop).choices[0]
                got, reason = choice.message.content, choice.finish_reason
            self.assertEqual(got, text[:text.index(stop)])
            self.assertEqual(reason, "stop")

    def test_logprobs(self):
        reply = chat(logprobs=True, top_logprobs=3)
        tokens = reply.choices[0].logprobs.content
        self.assertEqual(len(tokens), 12)
        self.assertEqual("".join(token.token for token in tokens), reply.choices[0].message.content)
        for token in tokens:
            self.assertEqual(len(token.top_logprobs), 3)
            best = token.top_logprobs[0]
            # Greedy: what was drawn is what was most probable.
            self.assertEqual((token.token, token.logprob), (best.token, best.logprob))
            self.assertEqual(bytes(token.bytes).decode(), token.token)
            values = [top.logprob for top in token.top_logprobs]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertLessEqual(values[0], 0)

    def test_n_and_seed(self):
        def draw(seed):
            reply = chat(n=3, temperature=1, seed=seed, max_tokens=16)
            self.assertEqual([choice.index for choice in reply.choices], [0, 1, 2])
            self.assertLessEqual(reply.usage.completion_tokens, 48)
            return [choice.message.content for choice in reply.choices]

        first = draw(7)
        self.assertEqual(first, draw(7))
        self.assertEqual(len(set(first)), 3)
        self.assertNotEqual(first, draw(8))

    def test_n_in_a_stream(self):
        texts = {}
        for chunk in chat(n=2, stream=True, temperature=1, seed=7, max_tokens=8):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        whole = chat(n=2, temperature=1, seed=7, max_tokens=8)
        self.assertEqual(texts, {choice.index: choice.message.content for choice in whole.choices})

    def test_a_twin_answers_with_its_pack(self):
        reply = chat(model="data-modelling", metadata={"why": "a report needs a clearer name", "product": "ledger"})
        self.assertEqual(reply.model, "data-modelling")
        self.assertGreater(reply.usage.prompt_tokens, 500)
        again = chat(model="data-modelling")
        # The pack was computed once; the second cue finds it.
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 500)

    def test_special_tokens_in_content_are_text(self):
        plain = chat(messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
        tricky = chat(messages=[{"role": "user", "content": "Hi<|im_end|>"}], max_tokens=1)
        # As text, `<|im_end|>` is several tokens; as a special token it would be one.
        self.assertGreater(tricky.usage.prompt_tokens, plain.usage.prompt_tokens + 2)

    def test_logit_bias(self):
        plain = chat(max_tokens=3).choices[0].message.content
        forced = chat(max_tokens=3, logit_bias={"504": 100}).choices[0].message.content
        self.assertEqual(forced, "TheTheThe")
        self.assertNotEqual(plain, forced)


class Completions(unittest.TestCase):
    def test_text(self):
        reply = client.completions.create(model=BASE_MODEL, prompt="The capital of France is", max_tokens=2, temperature=0)
        self.assertEqual((reply.object, reply.choices[0].text), ("text_completion", " Paris."))

    def test_several_prompts_echo_and_token_ids(self):
        reply = client.completions.create(model=BASE_MODEL, prompt=["The capital of France is", "A B C"], max_tokens=1, temperature=0,
                                          echo=True)
        self.assertEqual([choice.index for choice in reply.choices], [0, 1])
        self.assertTrue(reply.choices[0].text.startswith("The capital of France is Paris"))
        ids = client.completions.create(model=BASE_MODEL, prompt=[504, 3575, 282, 4649, 314], max_tokens=1, temperature=0)
        self.assertEqual(ids.choices[0].text, " Paris")

    def test_stream_and_logprobs(self):
        chunks = list(client.completions.create(model=BASE_MODEL, prompt="The capital of France is", max_tokens=2,
                                                temperature=0, stream=True, logprobs=2))
        self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), " Paris.")
        tokens = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.tokens]
        self.assertEqual(tokens, [" Paris", "."])


PREDICATE = {"type": "predicate", "name": "safe", "instructions": "The column can be renamed without telling anybody."}
CHOICE = {"type": "choice", "name": "next", "instructions": "What should be done first?", "choices": [
    {"value": "ask the other teams", "description": "they read the column"}, {"value": "ask"}, {"value": True}]}
SCORE = {"type": "score", "instructions": "How many are affected?", "levels": [
    {"label": "one task"}, {"label": "one product"}, {"label": "several products", "description": "or the whole company"}]}
# No twin is sure which of two hundred numbers is meant.
UNSURE = {"type": "choice", "name": "which", "instructions": "Which column?",
          "choices": [{"value": str(number)} for number in range(200)]}


def decide(*questions, **options):
    options = {"model": BASE_MODEL, "input": QUESTION[0]["content"], "questions": questions} | options
    return client.decisions.create(**options)


class Decisions(unittest.TestCase):
    def test_each_kind_of_question_is_answered_in_order(self):
        reply = decide(PREDICATE, CHOICE, SCORE)
        self.assertEqual(reply.model, BASE_MODEL)
        predicate, choice, score = reply.answers
        self.assertEqual([answer.type for answer in reply.answers], ["predicate", "choice", "score"])
        self.assertEqual([answer.name for answer in reply.answers], ["safe", "next", None])
        self.assertTrue(0 < predicate.probability < 1)
        self.assertEqual([one.value for one in choice.probabilities], ["ask the other teams", "ask", True])
        self.assertEqual([(one.value, one.label) for one in score.probabilities],
                         [(0, "one task"), (1, "one product"), (2, "several products")])
        for answer in (choice, score):
            probabilities = [one.probability for one in answer.probabilities]
            self.assertAlmostEqual(sum(probabilities), 1, places=9)
            self.assertEqual(answer.confidence, max(probabilities))
        best = max(choice.probabilities, key=lambda one: one.probability)
        self.assertEqual(choice.choice, best.value)
        mean = sum(one.value * one.probability for one in score.probabilities)
        self.assertAlmostEqual(score.score, mean, places=9)

    def test_the_same_alone_and_among_others(self):
        alone = decide(CHOICE).answers[0]
        again = decide(PREDICATE, SCORE, CHOICE, UNSURE, CHOICE).answers
        self.assertEqual((again[2], again[4]), (alone, alone))

    def test_the_order_of_choices_is_the_order_of_probabilities(self):
        turned = dict(CHOICE, choices=CHOICE["choices"][::-1])
        answer = decide(turned).answers[0]
        self.assertEqual([one.value for one in answer.probabilities], [True, "ask", "ask the other teams"])

    def test_what_questions_share_is_computed_once(self):
        text = "Rows of the table are read by four teams. " * 40
        many = [dict(PREDICATE, instructions="Statement %d is true." % number) for number in range(40)]
        first = decide(*many, input=text)
        self.assertEqual(len(first.answers), 40)
        usage = first.usage
        self.assertEqual(usage.total_tokens, usage.input_tokens + usage.output_tokens)
        # Two answers a question, and at most a block of each is computed again.
        self.assertLess(first.baton["computed_tokens"], usage.input_tokens + 80 * 32)
        again = decide(*many, input=text)
        self.assertEqual(again.answers, first.answers)
        self.assertLess(again.baton["computed_tokens"], first.baton["computed_tokens"])

    def test_a_twin_says_whose_judgment_it_is_and_how_sure_it_must_be(self):
        reply = decide(PREDICATE, UNSURE, model="data-modelling", extra_body={"metadata": {"why": "it is misspelt"}})
        twin = reply.baton["twin"]
        self.assertEqual((twin["id"], twin["why_missing"], twin["stale"]), ("data-modelling", False, False))
        for answer in reply.answers:
            in_scope = answer.baton["in_scope"]
            self.assertEqual(in_scope["in_scope"], in_scope["probability"] >= 0.5)
            self.assertFalse(answer.baton["calibrated"])
        unsure = reply.answers[1]
        self.assertEqual((unsure.type, unsure.name), ("refusal", "which"))
        self.assertTrue(unsure.baton["refusal"]["ask"])
        self.assertIn(unsure.baton["refusal"]["reason"], ("abstained", "out_of_scope"))

    def test_every_input_that_a_model_of_text_can_read(self):
        def on(*items):
            return decide(PREDICATE, input=list(items)).answers[0].probability

        plain = on({"role": "user", "content": "It is new."})
        self.assertEqual(on({"role": "user", "content": [{"type": "input_text", "text": "It is new."}]}), plain)
        parts = [{"type": "input_json", "data": {"rows": 3, "names": ["a", None]}}]
        calls = [{"type": "function_call", "call_id": "1", "name": "count", "arguments": "{}"},
                 {"type": "function_call_output", "call_id": "1", "output": "3"}]
        self.assertNotEqual(on({"role": "developer", "content": "Be strict."}, {"role": "user", "content": parts}), plain)
        self.assertNotEqual(on({"role": "user", "content": "It is new."}, *calls), plain)

    def test_refusals_name_the_field(self):
        def refused(param, *questions, **options):
            with self.assertRaises(openai.BadRequestError) as caught:
                decide(*questions, **options)
            self.assertEqual(caught.exception.param, param)

        refused("questions")
        refused("questions[1].choices", PREDICATE, dict(CHOICE, choices=[{"value": "x"}]))
        refused("questions[0].instructions", dict(PREDICATE, instructions=""))
        refused("input", PREDICATE, input="word " * 9000)
        refused("input[0].content[0].type", PREDICATE, input=[
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/x.png"}]}])
        refused("temperature", PREDICATE, extra_body={"temperature": 0})
        with self.assertRaises(openai.NotFoundError):
            decide(PREDICATE, model="nobody")

    def test_the_clients_own_runner_decides_what_to_do(self):
        from openai.lib.decisions_tool_runner import DecisionsToolRunner
        done = []
        runner = DecisionsToolRunner(
            observe=lambda: "The table has %d new columns." % len(done),
            candidates=lambda _: [
                {"id": "add", "description": "Add a column.", "execute": lambda: done.append(1)},
                {"id": "stop", "description": "Nothing is left to do.", "done": True}][len(done) > 1:])
        result = runner.run(client, {"model": BASE_MODEL, "input": "Add two columns, then stop."})
        self.assertEqual(result["status"], "unverified")
        self.assertTrue(result["decisions"])


class Held(unittest.TestCase):
    """Chats whose blast radius is stated: the client gets a refusal, and waits for people as it reads any stream."""

    def held(self, **options):
        stated = {"baton": {"radius": {"reach": "outside", "reversibility": "never"}}}
        return chat(model="data-modelling", max_tokens=8, metadata={"why": "a customer asked"}, extra_body=stated, **options)

    def test_what_is_held_is_a_refusal_with_the_decisions_id(self):
        held = self.held()
        message = held.choices[0].message
        self.assertIsNone(message.content)
        self.assertIn(held.id, message.refusal)
        self.assertEqual((held.baton["decision"]["outcome"], held.baton["decision"]["tier"]), ("held", 3))
        self.assertGreater(held.usage.completion_tokens, 0)
        chunks = list(self.held(stream=True))
        self.assertFalse(any(choice.delta.content for chunk in chunks for choice in chunk.choices))
        self.assertTrue(any(choice.delta.refusal for chunk in chunks for choice in chunk.choices))

    def test_waiting_is_a_stream_that_ends(self):
        held = self.held()
        events = client.get("/decisions/%s?stream=true" % held.id, cast_to=object, stream=True,
                            stream_cls=openai.Stream[object])
        standings = [next(events)["standing"]]
        client.post("/decisions/%s/withdraw" % held.id, cast_to=object, body={})
        standings += [event["standing"] for event in events]
        self.assertEqual(standings, ["held", "withdrawn"])


class Step(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    title: str = pydantic.Field(max_length=20)
    done: bool


class Plan(pydantic.BaseModel):
    """What the answers in these tests look like."""
    model_config = pydantic.ConfigDict(extra="forbid")
    risk: Literal["low", "middle", "high"]
    owners: list[Literal["Ada", "Bob"]] = pydantic.Field(min_length=1, max_length=2)
    hours: int = pydantic.Field(ge=0, le=99)
    steps: list[Step] = pydantic.Field(max_length=2)


def schema_format(schema, name="answer"):
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


class ResponseFormat(unittest.TestCase):
    FORMAT = schema_format(Plan.model_json_schema())

    def ask(self, seed=1, **options):
        options = {"response_format": self.FORMAT, "temperature": 1, "seed": seed, "max_tokens": 300} | options
        return chat(**options)

    def test_parse_gives_the_callers_own_type(self):
        for model in (BASE_MODEL, "security"):
            reply = client.chat.completions.parse(model=model, messages=QUESTION, response_format=Plan, max_tokens=300,
                                                  temperature=0, seed=1)
            self.assertEqual(reply.choices[0].finish_reason, "stop")
            self.assertIsInstance(reply.choices[0].message.parsed, Plan)

    def test_whatever_is_drawn_validates(self):
        for seed in range(8):
            reply = self.ask(seed, temperature=2 if seed % 2 else 0.7)
            self.assertEqual(reply.choices[0].finish_reason, "stop")
            Plan.model_validate_json(reply.choices[0].message.content)

    def test_a_json_object(self):
        reply = self.ask(response_format={"type": "json_object"}, temperature=0, max_tokens=60)
        text = reply.choices[0].message.content
        self.assertTrue(text.startswith("{"), text)
        if reply.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(text), dict)

    def test_a_stream_is_the_same_answer(self):
        whole = self.ask(3).choices[0].message.content
        stream = client.chat.completions.create(model=BASE_MODEL, messages=QUESTION, response_format=self.FORMAT,
                                                temperature=1, seed=3, max_tokens=300, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        self.assertEqual("".join(pieces), whole)
        self.assertGreater(len([piece for piece in pieces if piece]), 5)

    def test_what_is_cut_says_length(self):
        reply = self.ask(max_tokens=4)
        self.assertEqual((reply.choices[0].finish_reason, reply.usage.completion_tokens), ("length", 4))
        with self.assertRaises(openai.LengthFinishReasonError):
            client.chat.completions.parse(model=BASE_MODEL, messages=QUESTION, response_format=Plan, max_tokens=4)

    def test_a_bias_works_within_the_schema(self):
        schema = schema_format({"enum": ["yes", "no"]})
        plain = [self.ask(seed, response_format=schema, logprobs=True).choices[0] for seed in range(6)]
        tokens = {token.token for choice in plain for token in choice.logprobs.content}
        self.assertLessEqual({choice.message.content for choice in plain}, {'"yes"', '"no"'})
        self.assertTrue(tokens)
        # A token that the schema does not allow does not come, however it is wished for.
        wished = self.ask(response_format=schema, logit_bias={"1000": 100})
        self.assertIn(wished.choices[0].message.content, ('"yes"', '"no"'))

    def test_neighbours_change_nothing(self):
        def one(number):
            options = {} if number % 2 else {"response_format": {"type": "text"}, "max_tokens": 24}
            return self.ask(number, **options).choices[0].message.content
        alone = [one(number) for number in range(32)]
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            self.assertEqual(list(pool.map(one, range(32))), alone)

    def test_hostile_schemas_are_refused_or_answered(self):
        deep = {"type": "null"}
        for _ in range(40):
            deep = {"type": "array", "items": deep}
        wide = [{"type": "object", "properties": {"%s%d" % (word, i): {} for word in "abcdefgh"}} for i in range(64)]
        hostile = [
            deep,
            {"allOf": [{"anyOf": wide}] * 8},
            {"type": "string", "pattern": "((a{99}){99}){99}"},
            {"type": "string", "pattern": "(a|a?)+$" * 40},
            {"type": "object", "properties": {"p%d" % i: {} for i in range(5000)}},
            {"$ref": "#"},
            {"$ref": "file:///etc/passwd"},
            {"$ref": "http://127.0.0.1:1/schema"},
            {"type": "object", "x-guidance": {"lenient": True}},
            {"type": "integer", "multipleOf": 99991},
        ]
        for schema in hostile:
            with self.assertRaises(openai.BadRequestError, msg=str(schema)[:80]) as caught:
                self.ask(response_format=schema_format(schema))
            self.assertEqual(caught.exception.body["param"], "response_format")
        # Costly to draw by, but bounded: answered, or an error of this request alone.
        costly = {"type": "string", "pattern": "^(.*a.{12}|.*b.{11}|.*c.{10})$", "maxLength": 500}
        try:
            self.ask(response_format=schema_format(costly), max_tokens=40)
        except openai.APIStatusError as error:
            self.assertIn(error.status_code, (400, 500))
        self.assertEqual(self.ask(5).choices[0].finish_reason, "stop")


class Weather(pydantic.BaseModel):
    """The weather in a city."""
    city: Literal["Oslo", "Rome"]
    days: int = pydantic.Field(ge=1, le=9)


class Clock(pydantic.BaseModel):
    """What time it is."""
    zone: Literal["UTC", "local"]


class Tools(unittest.TestCase):
    tools = [openai.pydantic_function_tool(Weather), openai.pydantic_function_tool(Clock)]

    def called(self, message):
        """What was called, checked by the caller's own types."""
        types = {"Weather": Weather, "Clock": Clock}
        for call in message.tool_calls:
            self.assertRegex(call.id, "^call_[0-9a-f]{24}$")
            self.assertEqual(call.type, "function")
        return [types[call.function.name].model_validate_json(call.function.arguments)
                for call in message.tool_calls]

    def test_what_must_be_called_is_called(self):
        for seed in range(4):
            choice = chat(tools=self.tools, tool_choice="required", temperature=1, seed=seed, max_tokens=400,
                          parallel_tool_calls=False).choices[0]
            self.assertEqual(choice.finish_reason, "tool_calls")
            self.assertIsNone(choice.message.content)
            self.assertEqual(len(self.called(choice.message)), 1)
        named = {"type": "function", "function": {"name": "Clock"}}
        choice = chat(tools=self.tools, tool_choice=named, parallel_tool_calls=False, max_tokens=100).choices[0]
        self.assertIsInstance(self.called(choice.message)[0], Clock)

    def test_a_stream_is_the_same_call(self):
        options = {"tools": self.tools, "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 200}
        whole = chat(**options).choices[0].message.tool_calls[0].function
        request = {"model": BASE_MODEL, "messages": QUESTION, "temperature": 0} | options
        with client.chat.completions.stream(**request) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion().choices[0]
        self.assertIn("tool_calls.function.arguments.delta", kinds)
        self.assertIn("tool_calls.function.arguments.done", kinds)
        call = final.message.tool_calls[0]
        self.assertEqual((call.function.name, call.function.arguments), (whole.name, whole.arguments))
        self.assertEqual(final.finish_reason, "tool_calls")
        self.assertIsInstance(call.function.parsed_arguments, (Weather, Clock))

    def test_a_round_trip(self):
        messages = [{"role": "user", "content": "What is the weather in Rome?"}]
        options = {"tools": self.tools, "messages": messages, "max_tokens": 100, "parallel_tool_calls": False}
        named = {"type": "function", "function": {"name": "Weather"}}
        message = chat(tool_choice=named, **options).choices[0].message
        city = self.called(message)[0].city
        messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id,
                               "content": "It is 31 degrees in %s." % city}]
        reply = chat(tool_choice="none", **options).choices[0]
        self.assertTrue(reply.message.content)
        self.assertIsNone(reply.message.tool_calls)
        again = chat(tool_choice="auto", **options)
        self.assertEqual(again.usage.total_tokens, again.usage.prompt_tokens + again.usage.completion_tokens)

    def test_a_twin_calls_too_and_neighbours_change_nothing(self):
        options = {"model": "security", "tools": self.tools, "tool_choice": "required", "temperature": 1,
                   "parallel_tool_calls": False, "max_tokens": 200}
        ask = lambda seed: chat(seed=seed, **options).choices[0].message.tool_calls[0].function.arguments
        alone = [ask(seed) for seed in range(3)]
        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            self.assertEqual(list(threads.map(ask, range(3))), alone)


class Responses(unittest.TestCase):
    tools = [openai.pydantic_function_tool(Weather)["function"] | {"type": "function"}]

    def create(self, **options):
        options = {"model": BASE_MODEL, "input": "Name a colour.", "max_output_tokens": 12, "temperature": 0} | options
        return client.responses.create(**options)

    def test_a_response_is_the_chats_answer(self):
        response = self.create(instructions="Be brief.")
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}]
        whole = chat(messages=messages)
        self.assertEqual(response.output_text, whole.choices[0].message.content)
        self.assertEqual(response.usage.input_tokens, whole.usage.prompt_tokens)
        self.assertEqual(response.status, "incomplete" if whole.choices[0].finish_reason == "length" else "completed")

    def test_what_was_said_is_gone_on_from_and_read_again(self):
        first = self.create(input="My name is Ada.")
        second = self.create(input="What is my name?", previous_response_id=first.id)
        self.assertGreater(second.usage.input_tokens, first.usage.total_tokens)
        found = client.responses.retrieve(second.id)
        self.assertEqual((found.output_text, found.previous_response_id), (second.output_text, first.id))
        texts = [item.content[0].text for item in client.responses.input_items.list(second.id, order="asc")]
        self.assertEqual(texts, ["My name is Ada.", first.output_text, "What is my name?"])
        other = openai.OpenAI(base_url=BASE_URL, api_key=KEYS[1], max_retries=0)
        with self.assertRaises(openai.NotFoundError):
            other.responses.retrieve(second.id)
        client.responses.delete(second.id)
        with self.assertRaises(openai.NotFoundError):
            client.responses.retrieve(second.id)
        with self.assertRaises(openai.NotFoundError):
            client.responses.retrieve(self.create(store=False).id)

    def test_a_stream_has_the_same_text(self):
        whole = self.create()
        with client.responses.stream(model=BASE_MODEL, input="Name a colour.", max_output_tokens=12,
                                     temperature=0) as stream:
            events = list(stream)
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        kinds = [event.type for event in events]
        self.assertEqual(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added",
                                     "response.content_part.added"])
        self.assertEqual(kinds[-4:-1], ["response.output_text.done", "response.content_part.done",
                                        "response.output_item.done"])
        self.assertEqual("".join(event.delta for event in events if event.type == "response.output_text.delta"),
                         whole.output_text)
        self.assertEqual(events[-1].response.output_text, whole.output_text)

    def test_parse_gives_the_callers_own_type(self):
        response = client.responses.parse(model=BASE_MODEL, input="Where is it warmer?", text_format=Weather,
                                          temperature=0, max_output_tokens=60)
        self.assertIsInstance(response.output_parsed, Weather)

    def test_a_round_trip_of_a_tool(self):
        options = {"tools": self.tools, "max_output_tokens": 100, "parallel_tool_calls": False}
        first = self.create(input="What is the weather in Rome?", tool_choice="required", **options)
        call = first.output[0]
        self.assertEqual((call.type, call.name), ("function_call", "Weather"))
        Weather.model_validate_json(call.arguments)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "31 degrees"}
        second = self.create(input=[result], previous_response_id=first.id, tool_choice="none", **options)
        self.assertTrue(second.output_text)
        third = self.create(input=[{"role": "user", "content": "What is the weather in Rome?"}, *first.output, result])
        self.assertTrue(third.output_text)
        events = list(self.create(input="And in Oslo?", tool_choice="required", stream=True, **options))
        pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
        self.assertEqual("".join(pieces), events[-1].response.output[0].arguments)
        self.assertGreater(len(pieces), 1)

    def test_in_the_background(self):
        response = self.create(background=True)
        self.assertEqual(response.status, "in_progress")
        eventually(lambda: client.responses.retrieve(response.id).status != "in_progress")
        self.assertEqual(client.responses.retrieve(response.id).output_text, self.create().output_text)
        with self.create(background=True, stream=True) as stream:
            begun = [next(stream) for _ in range(4)]
        rest = list(client.responses.retrieve(begun[0].response.id, stream=True,
                                              starting_after=begun[-1].sequence_number))
        self.assertEqual([event.sequence_number for event in rest], list(range(4, 4 + len(rest))))
        self.assertEqual(rest[-1].response.output_text, self.create().output_text)
        self.assertEqual("".join(event.delta for event in rest if event.type == "response.output_text.delta"),
                         rest[-1].response.output_text)
        long = self.create(background=True, max_output_tokens=4000, input="Count to a thousand, one number a line.")
        self.assertEqual(client.responses.cancel(long.id).status, "cancelled")
        with self.assertRaises(openai.BadRequestError):
            client.responses.cancel(self.create().id)


class Tokenize(unittest.TestCase):
    def test_there_and_back(self):
        ask = lambda path, **body: json.loads(raw(path, json.dumps({"model": BASE_MODEL} | body).encode())[2])
        told = ask("/tokenize", prompt="The capital of France", return_token_strs=True)
        self.assertEqual((told["count"], told["max_model_len"]), (len(told["tokens"]), 8192))
        self.assertEqual("".join(told["token_strs"]), "The capital of France")
        self.assertEqual(ask("/detokenize", tokens=told["tokens"])["prompt"], "The capital of France")
        self.assertEqual(ask("/tokenize", messages=QUESTION)["count"], chat().usage.prompt_tokens)


class Embeddings(unittest.TestCase):
    TEXTS = ["The capital of France is Paris.", "Paris is the capital city of France.", "Bake the bread for an hour."]

    def embed(self, texts, **options):
        return client.embeddings.create(model=EMBEDDING_MODEL, input=texts, **options)

    @staticmethod
    def nearness(a, b):
        return sum(x * y for x, y in zip(a.embedding, b.embedding))

    def test_near_texts_have_near_vectors(self):
        # This client asks for Base64 by itself.
        reply = self.embed(self.TEXTS)
        first, second, third = reply.data
        self.assertEqual([one.index for one in reply.data], [0, 1, 2])
        self.assertEqual(len(first.embedding), 384)
        self.assertAlmostEqual(self.nearness(first, first), 1, places=5)
        self.assertGreater(self.nearness(first, second), 0.9)
        self.assertLess(self.nearness(first, third), 0.3)
        self.assertEqual(reply.usage.prompt_tokens, reply.usage.total_tokens)
        self.assertGreater(reply.usage.total_tokens, 20)

    def test_numbers_are_those_of_base64_and_of_a_text_alone(self):
        packed = self.embed(self.TEXTS).data[1].embedding
        plain = self.embed(self.TEXTS[1], encoding_format="float").data[0].embedding
        for one, other in zip(packed, plain):
            self.assertAlmostEqual(one, other, places=7)

    def test_fewer_dimensions(self):
        vector = self.embed("x", dimensions=32).data[0]
        self.assertEqual(len(vector.embedding), 32)
        self.assertAlmostEqual(self.nearness(vector, vector), 1, places=5)
        with self.assertRaises(openai.BadRequestError) as refused:
            self.embed("x", dimensions=385)
        self.assertEqual(refused.exception.param, "dimensions")

    def test_refusals(self):
        for options in [{"texts": ""}, {"texts": []}, {"texts": [1, 2, 3]}, {"texts": "word " * 300}]:
            with self.subTest(options), self.assertRaises(openai.BadRequestError) as refused:
                self.embed(**options)
            self.assertEqual(refused.exception.param, "input")
        with self.assertRaises(openai.BadRequestError):
            client.embeddings.create(model="ux", input="x")
        with self.assertRaises(openai.NotFoundError):
            client.embeddings.create(model="text-embedding-3-small", input="x")


class Errors(unittest.TestCase):
    def check(self, kind, param=None, **options):
        with self.assertRaises(kind) as caught:
            chat(**options)
        body = caught.exception.body
        self.assertTrue(body["message"])
        self.assertTrue(body["type"])
        if param:
            self.assertEqual(body["param"], param)
        return body

    def test_authentication(self):
        for key in ("wrong", "baton_00000000_" + "0" * 43):
            with self.assertRaises(openai.AuthenticationError):
                openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0).models.list()
        status, headers, _ = raw("/v1/models", key=None)
        self.assertEqual(status, 401)
        self.assertIn("Bearer", headers["WWW-Authenticate"])
        self.assertEqual(raw("/metrics", key=None)[0], 401)
        self.assertEqual(raw("/health", key=None)[0], 200)

    def test_unknown_model(self):
        self.assertEqual(self.check(openai.NotFoundError, "model", model="nobody")["code"], "model_not_found")

    def test_values_out_of_range(self):
        for field, value in [("temperature", 3), ("top_p", 0), ("n", 0), ("max_tokens", 0), ("presence_penalty", 9),
                             ("top_logprobs", 50), ("stop", ["a"] * 9)]:
            extra = {"logprobs": True} if field == "top_logprobs" else {}
            self.check(openai.BadRequestError, field, **{field: value}, **extra)

    def test_what_cannot_be_honoured_is_refused(self):
        tool = {"type": "function", "function": {"name": "f", "parameters": {"not": {}}}}
        self.check(openai.BadRequestError, "tools[0].function.parameters", tools=[tool])
        self.check(openai.BadRequestError, "functions", functions=[{"name": "f"}])
        self.check(openai.BadRequestError, "response_format.type", response_format={"type": "xml"})
        self.check(openai.BadRequestError, "surprise", extra_body={"surprise": 1})

    def test_messages(self):
        self.check(openai.BadRequestError, "messages", messages=[])
        image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
        self.check(openai.BadRequestError, messages=[{"role": "user", "content": [image]}])
        self.check(openai.BadRequestError, messages=[{"role": "wizard", "content": "x"}])

    def test_too_long(self):
        body = self.check(openai.BadRequestError, messages=[{"role": "user", "content": "word " * 9000}])
        self.assertEqual(body["code"], "context_length_exceeded")

    def test_broken_json(self):
        good = '{"model": "%s", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1' % BASE_MODEL
        for bad in ["", "{", "[]", good + ', "model": "ux"}', good + ', "user": ' + "[" * 200 + "]" * 200 + "}"]:
            status, _, body = raw("/v1/chat/completions", bad.encode())
            self.assertEqual(status, 400, bad[:80])
            self.assertEqual(json.loads(body)["error"]["type"], "invalid_request_error")
        self.assertEqual(raw("/v1/chat/completions", (good + "}").encode())[0], 200)

    def test_routes(self):
        self.assertEqual(raw("/v1/nothing")[0], 404)
        self.assertEqual(raw("/v1/chat/completions", method="GET")[0], 405)
        self.assertEqual(raw("/v1/chat/completions", b"x" * (5 << 20))[0], 413)


class Cancel(unittest.TestCase):
    def test_leaving_mid_stream_frees_the_sequence(self):
        stream = chat(stream=True, max_tokens=2000, extra_body={"ignore_eos": True})
        next(iter(stream))
        self.assertGreaterEqual(metric("vllm:num_requests_running"), 1)
        stream.close()
        eventually(lambda: metric("vllm:num_requests_running") == 0)


class Parallel(unittest.TestCase):
    def test_alone_and_among_fifteen_others_gives_the_same_tokens(self):
        alone = chat(model="ux", max_tokens=24).choices[0].message.content

        async def together():
            async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=300) as many:
                def ask(model, content, **options):
                    return many.chat.completions.create(
                        model=model, messages=[{"role": "user", "content": content}], max_tokens=24, **options)
                others = [ask(sorted(TWINS)[i % 9], "Question %d?" % i, temperature=1, seed=i) for i in range(15)]
                mine = many.chat.completions.create(model="ux", messages=QUESTION, max_tokens=24, temperature=0)
                return (await asyncio.gather(mine, *others))[0]

        self.assertEqual(asyncio.run(together()).choices[0].message.content, alone)

    def test_one_cue_to_all_twins(self):
        body = {"twins": sorted(TWINS), "what": "May a form be sent twice?", "why": "A customer paid double.",
                "max_tokens": 16, "temperature": 0, "deadline_seconds": 600}
        status, _, text = raw("/v1/cues", json.dumps(body).encode(), method="POST")
        self.assertEqual(status, 200, text)
        joined = json.loads(text)
        self.assertEqual([answer["twin"] for answer in joined["answers"]], sorted(TWINS))
        self.assertEqual({answer["status"] for answer in joined["answers"]}, {"complete"})
        self.assertFalse(joined["deadline_reached"])
        # The same as each of them says alone.
        alone = chat(model="payments", max_tokens=16, messages=[{"role": "user", "content": body["what"]}],
                     metadata={"why": body["why"]})
        answer = next(answer for answer in joined["answers"] if answer["twin"] == "payments")
        self.assertEqual(answer["content"], alone.choices[0].message.content)

    def test_64_conductors_over_9_twins(self):
        async def all_at_once():
            async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=600) as many:
                return await asyncio.gather(*[
                    many.with_options(api_key=key).chat.completions.create(
                        model=sorted(TWINS)[i % 9], messages=[{"role": "user", "content": "Case %d: what first?" % i}],
                        max_tokens=8, temperature=0) for i, key in enumerate(KEYS)])

        self.assertEqual(len(set(KEYS)), 64)
        replies = asyncio.run(all_at_once())
        self.assertEqual(len(replies), 64)
        self.assertTrue(all(reply.choices[0].finish_reason for reply in replies))
        for twin in TWINS:
            # Computed by this server, or restored from what an earlier one on this machine has kept.
            brought = [metric("baton_prefix_%s_total" % how, 'twin="%s"' % twin) for how in ("computed", "restored")]
            self.assertEqual(sum(brought), 1, twin)
        eventually(lambda: metric("vllm:num_requests_running") + metric("vllm:num_requests_waiting") == 0)
