"""The published set: the JSON Schema Test Suite, draft 2020-12, as it is shipped with the source of Python's `jsonschema`."""
import itertools
import json
import tarfile

FOLDER = "json/tests/draft2020-12/"
# Spellings of one value that are tried at most.
SPELLINGS = 720


def read(archive):
    """Every schema with its answers: `group` (the file's name), `schema`, `answers` as (value, is valid, description)."""
    cases = []
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            path = member.name.partition("/")[2]
            if not path.startswith(FOLDER) or not path.endswith(".json"):
                continue
            for group in json.load(files.extractfile(member)):
                answers = [(test["data"], test["valid"], group["description"] + ": " + test["description"])
                           for test in group["tests"]]
                cases.append({"group": path[len(FOLDER):-len(".json")], "schema": group["schema"], "answers": answers})
    return cases


def spellings(value):
    """Texts of one JSON value: names in any order, and whole numbers without a decimal point, too.

    A grammar fixes an order of names and one spelling of a number; a value is told apart rightly if one of its texts is.
    """
    texts = []
    for variant in itertools.islice(variants(value), SPELLINGS):
        text = json.dumps(variant, ensure_ascii=False, separators=(",", ":"))
        if any("\ud800" <= c <= "\udfff" for c in text):
            text = json.dumps(variant, separators=(",", ":"))
        if text not in texts:
            texts.append(text)
    return texts


def variants(value):
    """The same value, built in other orders."""
    if isinstance(value, dict):
        names = list(value)
        orders = itertools.permutations(names) if len(names) <= 5 else [tuple(names)]
        for order in orders:
            for members in itertools.product(*(list(itertools.islice(variants(value[name]), 24)) for name in order)):
                yield dict(zip(order, members))
    elif isinstance(value, list):
        for items in itertools.product(*(list(itertools.islice(variants(item), 24)) for item in value)):
            yield list(items)
    elif isinstance(value, float) and value.is_integer() and abs(value) <= 2 ** 53:
        yield value
        yield int(value)
    else:
        yield value
