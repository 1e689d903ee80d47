"""Counts and pages."""
import statistics

# Why a published answer is told apart otherwise here, by what stands in its group or description.
KNOWN = [
    ("only an annotation by default", "formats are held to wherever they stand; by the draft they are annotations"),
    ("leap second", "leap seconds are not drawn"),
    ("case-insensitive", "`t` and `z` in lower case are not drawn"),
    ("quoted string", "quoted names in addresses are not drawn"),
    ("address-literal", "addresses at a bare IP address are not drawn"),
    ("zero-width whitespace", "`\\s` is Unicode's white space, which U+FEFF is not, in llguidance and here"),
    ("Line tabulation", "control characters that JSON spells by a code are not drawn"),
    ("Non-whitespace control", "control characters that JSON spells by a code are not drawn"),
    ("overflow", "numbers beyond 2^53 are not drawn"),
]
COLUMNS = ("schemas", "taken", "valid", "valid taken", "invalid", "invalid taken")


def blank():
    return dict.fromkeys(COLUMNS, 0)


def count(row, case, drawn):
    """Adds one case to a row; `drawn` is None for a refused schema, else for each answer whether it can be drawn."""
    row["schemas"] += 1
    if drawn is None:
        return
    row["taken"] += 1
    for (_, is_valid, _), is_drawn in zip(case["answers"], drawn):
        kind = "valid" if is_valid else "invalid"
        row[kind] += 1
        row[kind + " taken"] += is_drawn


def compared(cases, outcomes, theirs):
    """Ours by group, everything that is wrong with its reason, refusals, times of compiling, and the peers' sums."""
    groups, wrong, refused, times = {}, [], {}, []
    sums = {"Baton": blank(), **{name: blank() for name in theirs}}
    for at, (case, outcome) in enumerate(zip(cases, outcomes)):
        row = groups.setdefault(case["group"], blank())
        for name, judged in theirs.items():
            count(sums[name], case, judged[at])
        if "refused" in outcome:
            count(row, case, None)
            count(sums["Baton"], case, None)
            refused.setdefault(outcome["refused"], 0)
            refused[outcome["refused"]] += 1
            continue
        times.append(outcome["compile_us"] / 1000)
        drawn = [answer["drawn"] is not None for answer in outcome["answers"]]
        count(row, case, drawn)
        count(sums["Baton"], case, drawn)
        for (_, is_valid, what), answer in zip(case["answers"], outcome["answers"]):
            told = (answer["drawn"] is not None, answer["checked"])
            if told != (is_valid, is_valid):
                reason = next((reason for part, reason in KNOWN if part in case["group"] + ": " + what), None)
                wrong.append({"group": case["group"], "what": what, "valid": is_valid, "drawn": told[0],
                              "checked": told[1], "reason": reason})
    return {"groups": groups, "wrong": wrong, "refused": refused, "compile_ms": times, "sums": sums}


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --: |" * (len(head) - 1)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def page(result):
    """The results for a person."""
    published, own = result["published"], result["own"]
    lines = ["Taken %s at commit %s by `scripts/test-schemas`." % (result["date"], result["commit"]), "",
             "Machine: %s, %d cores." % (result["machine"]["cpu"], result["machine"]["cores"]), "",
             "A schema that is not taken is refused with the path and the reason, and no answer is drawn. Of the schemas that are "
             "taken, every valid answer should be one that can be drawn, and no invalid one. An answer counts as drawn if one of "
             "its spellings is (order of names, `1` for `1.0`); ours are drawn in SmolLM2's tokens.", ""]
    for title, part in (("JSON Schema Test Suite, draft 2020-12 (from the source of jsonschema 4.26.0)", published),
                        ("A hundred requests of our own (tests/fixtures/schemas/requests.jsonl)", own)):
        lines += ["## " + title, ""]
        lines += table(["engine", *COLUMNS], [[name, *row.values()] for name, row in part["sums"].items()])
        times = part["compile_ms"]
        lines += ["Reading and compiling a schema that is taken: p50 %.1f ms, p95 %.1f ms, at most %.1f ms."
                  % (quantile(times, 0.5), quantile(times, 0.95), max(times)), ""]
    lines += wrongs(published["wrong"] + own["wrong"]) + asked(result["answers"], result["costs"])
    lines += ["The machine's load was %.1f before these timings began." % result["load"], ""]
    lines += ["## Published set, by file", ""]
    lines += table(["file", *COLUMNS], [[name, *row.values()] for name, row in published["groups"].items()])
    return "\n".join(lines)


def wrongs(wrong):
    reasons = {}
    for one in wrong:
        kind = "invalid answers that can be drawn" if one["drawn"] else "valid answers that cannot be drawn"
        reasons.setdefault((kind, one["reason"] or "%(group)s: %(what)s" % one), []).append(one)
    rows = [[reason, kind, len(ones)] for (kind, reason), ones in sorted(reasons.items())]
    split = sum(one["drawn"] != one["checked"] for one in wrong)
    return ["## What is told apart otherwise than the draft has it", "", *table(["why", "what", "answers"], rows),
            "Grammar and check disagree on %d of them." % split, ""]


def asked(answers, costs):
    rows = [[name, told["right"], len(told["cut"]), len(told["wrong"])] for name, told in answers.items()]
    rates, firsts = costs["tokens_per_second"], costs["first_token_seconds"]
    middle = {key: statistics.median(values) for key, values in rates.items()}
    lines = ["## Our own requests, asked of SmolLM2-135M through a served Baton, `json_schema`, eight at once", "",
             *table(["how", "as asked", "cut at 320 tokens", "wrong"], rows),
             "As asked: strict JSON that Python's `jsonschema` takes, formats included.", "",
             "Tokens per second with a schema %.1f, without %.1f: a ratio of %.2f (medians of %d rounds in turns; the same "
             "prompts and lengths)." % (middle["with"], middle["without"], middle["with"] / middle["without"],
                                        len(rates["with"])), ""]
    cells = [[key, *("%.1f" % (1000 * quantile(firsts[key], share)) for share in (0.5, 0.95))] for key in firsts]
    return lines + ["Until the first token, one request at a time, the prompt's prefix kept:", "",
                    *table(["schema", "p50, ms", "p95, ms"], cells)]
