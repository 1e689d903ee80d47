// Baton through the official OpenAI client for Node, unmodified. `run.py` starts the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const baseURL = process.env.BATON_BASE_URL;
const client = new OpenAI({ baseURL, apiKey: process.env.BATON_API_KEY, maxRetries: 0 });
const model = "smollm2-135m-instruct";
const messages = [{ role: "user", content: "May I rename a column that other teams read?" }];
const ask = (options) => client.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0, ...options });

test("models are listed and retrieved", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.equal(ids.length, 11);
  assert.ok(ids.includes("security"));
  assert.equal((await client.models.retrieve("ux")).id, "ux");
});

test("near texts have near vectors", async () => {
  const input = ["The capital of France is Paris.", "Paris is the capital city of France.", "Bake the bread for an hour."];
  const { data, usage } = await client.embeddings.create({ model: "all-minilm-l6-v2", input });
  const nearness = (a, b) => a.embedding.reduce((sum, x, i) => sum + x * b.embedding[i], 0);
  assert.equal(data[0].embedding.length, 384);
  assert.ok(nearness(data[0], data[1]) > 0.9 && nearness(data[0], data[2]) < 0.3);
  assert.ok(usage.total_tokens > 20);
});

test("chat, and the same text streamed", async () => {
  const whole = await ask({});
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.usage.completion_tokens, 12);
  let text = "";
  let usage = null;
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage.completion_tokens, 12);
});

test("stop, logprobs, n and seed", async () => {
  const text = (await ask({ max_tokens: 30 })).choices[0].message.content;
  const stopped = await ask({ max_tokens: 30, stop: text.slice(8, 12) });
  assert.equal(stopped.choices[0].message.content, text.slice(0, text.indexOf(text.slice(8, 12))));
  assert.equal(stopped.choices[0].finish_reason, "stop");
  const logprobs = (await ask({ logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content;
  assert.equal(logprobs.length, 12);
  assert.equal(logprobs[0].top_logprobs.length, 2);
  const draw = async (seed) => (await ask({ n: 2, temperature: 1, seed })).choices.map((one) => one.message.content);
  assert.deepEqual(await draw(5), await draw(5));
  assert.notDeepEqual(await draw(5), await draw(6));
});

test("legacy completions", async () => {
  const reply = await client.completions.create({ model, prompt: "The capital of France is", max_tokens: 1, temperature: 0 });
  assert.equal(reply.choices[0].text, " Paris");
});

test("tools are called, whole and streamed", async () => {
  const parameters = { type: "object", properties: { city: { enum: ["Oslo", "Rome"] } }, required: ["city"] };
  const tools = [{ type: "function", function: { name: "weather", parameters } }];
  const options = { tools, tool_choice: "required", parallel_tool_calls: false, max_tokens: 80 };
  const { message, finish_reason } = (await ask(options)).choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.tool_calls[0].function.name, "weather");
  assert.ok(["Oslo", "Rome"].includes(JSON.parse(message.tool_calls[0].function.arguments).city));
  const stream = client.chat.completions.stream({ model, messages, temperature: 0, ...options });
  const call = (await stream.finalMessage()).tool_calls[0];
  assert.deepEqual(call.function.arguments, message.tool_calls[0].function.arguments);
  const result = { role: "tool", tool_call_id: call.id, content: "4 degrees" };
  const reply = await ask({ tools, messages: [...messages, message, { ...result, tool_call_id: message.tool_calls[0].id }] });
  assert.ok(reply.choices[0].message);
});

test("responses: made, streamed, gone on from, read again, in the background", async () => {
  const options = { model, input: "Name a colour.", max_output_tokens: 12, temperature: 0 };
  const whole = await client.responses.create(options);
  let text = "";
  for await (const event of await client.responses.create({ ...options, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, whole.output_text);
  const next = await client.responses.create({ ...options, input: "Another?", previous_response_id: whole.id });
  assert.deepEqual((await client.responses.retrieve(next.id)).output, next.output);
  const long = await client.responses.create({ ...options, background: true, max_output_tokens: 4000 });
  assert.ok(["cancelled", "completed", "incomplete"].includes((await client.responses.cancel(long.id)).status));
  await client.responses.delete(whole.id);
  await assert.rejects(client.responses.retrieve(whole.id), OpenAI.NotFoundError);
});

test("every error class", async () => {
  const wrong = new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(wrong.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(ask({ model: "nobody" }), OpenAI.NotFoundError);
  await assert.rejects(ask({ temperature: 9 }), OpenAI.BadRequestError);
  await assert.rejects(ask({ surprise: 1 }), OpenAI.BadRequestError);
});

test("a stream can be left", async () => {
  const stream = await ask({ stream: true, max_tokens: 2000, ignore_eos: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    stream.controller.abort();
    break;
  }
  assert.equal((await ask({})).choices.length, 1);
});
