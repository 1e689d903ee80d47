"""Our own requests, asked of a served Baton: are the answers what the schemas say, and what does it cost?"""
import concurrent.futures
import json
import time
import urllib.request

import jsonschema

MODEL = "smollm2-135m-instruct"
MOST_TOKENS = 320
AT_ONCE = 8
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


class Asker:
    """Sends chats to one server."""

    def __init__(self, served):
        self.served = served

    def ask(self, prompt, schema, **options):
        """The reply's first choice, its completion tokens, and the seconds it took."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **options}
        if schema is not None:
            body["response_format"] = {"type": "json_schema",
                                       "json_schema": {"name": "answer", "strict": True, "schema": schema}}
        headers = {"Authorization": "Bearer " + self.served.key, "Content-Type": "application/json"}
        request = urllib.request.Request(self.served.url + "/v1/chat/completions", json.dumps(body).encode(), headers)
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=600) as reply:
            told = json.load(reply)
        return told["choices"][0], told["usage"]["completion_tokens"], time.perf_counter() - began

    def ask_all(self, asks):
        """All of (prompt, schema, options), some at once; the replies in order, and the seconds it took."""
        began = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
            replies = list(threads.map(lambda ask: self.ask(ask[0], ask[1], **ask[2]), asks))
        return replies, time.perf_counter() - began


def verdict(request, choice):
    """`cut`, `right`, or what is wrong with an answer."""
    if choice["finish_reason"] == "length":
        return "cut"
    try:
        answer = json.loads(choice["message"]["content"])
    except ValueError as error:
        return "no JSON: %s" % error
    errors = list(jsonschema.Draft202012Validator(request["schema"], format_checker=FORMATS).iter_errors(answer))
    return errors[0].message if errors else "right"


def answers(asker, requests, options):
    """Every request once: how many answers were right, cut and wrong, and each that was wrong."""
    replies, seconds = asker.ask_all([(request["prompt"], request["schema"], {"max_tokens": MOST_TOKENS, **options})
                                      for request in requests])
    told = [verdict(request, choice) for request, (choice, _, _) in zip(requests, replies)]
    wrong = {request["name"]: what for request, what in zip(requests, told) if what not in ("right", "cut")}
    cut = [request["name"] for request, what in zip(requests, told) if what == "cut"]
    tokens = [tokens for _, tokens, _ in replies]
    return {"right": told.count("right"), "cut": cut, "wrong": wrong, "tokens": sum(tokens), "seconds": seconds,
            "lengths": tokens}


def costs(asker, requests, rounds):
    """Tokens per second with and without the schemas, and the time of a first token with and without, in turns."""
    rates = {"with": [], "without": []}
    firsts = {"with": [], "without": []}
    for _ in range(rounds):
        bound = answers(asker, requests, {"temperature": 0})
        rates["with"].append(bound["tokens"] / bound["seconds"])
        free = [(request["prompt"], None, {"temperature": 0, "max_tokens": max(length, 1)})
                for request, length in zip(requests, bound["lengths"])]
        replies, seconds = asker.ask_all(free)
        rates["without"].append(sum(tokens for _, tokens, _ in replies) / seconds)
        for request in requests:
            for key, schema in (("with", request["schema"]), ("without", None)):
                _, _, seconds = asker.ask(request["prompt"], schema, temperature=0, max_tokens=1)
                firsts[key].append(seconds)
    return {"tokens_per_second": rates, "first_token_seconds": firsts}
