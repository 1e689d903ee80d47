"""Baton through LangChain and LlamaIndex, unmodified. `run_frameworks.py` starts the server on the real model."""
import asyncio
import os
import unittest
from typing import Literal

import langchain_openai
import pydantic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

BASE_URL, API_KEY = os.environ["BATON_BASE_URL"], os.environ["BATON_API_KEY"]
MODEL = "smollm2-135m-instruct"
QUESTION = "May I rename a column that other teams read?"


class Weather(pydantic.BaseModel):
    """The weather in a city."""
    city: Literal["Oslo", "Rome"]
    days: int = pydantic.Field(ge=1, le=9)


@tool
def weather(city: Literal["Oslo", "Rome"]) -> str:
    """The weather in a city."""
    return "It is 4 degrees in %s." % city


class LangChain(unittest.TestCase):
    def model(self, **options):
        options = {"model": MODEL, "temperature": 0, "max_tokens": 60} | options
        return langchain_openai.ChatOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, **options)

    def test_chat_and_stream(self):
        model = self.model(max_tokens=12)
        messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
        whole = model.invoke(messages)
        self.assertEqual(whole.usage_metadata["output_tokens"], 12)
        self.assertEqual("".join(chunk.text for chunk in model.stream(messages)), whole.text)
        self.assertEqual([one.text for one in model.batch([messages] * 3)], [whole.text] * 3)
        self.assertEqual(asyncio.run(model.ainvoke(messages)).text, whole.text)

    def test_a_twin(self):
        answer = self.model(model="security", max_tokens=12, metadata={"why": "a test"}).invoke(QUESTION)
        self.assertEqual(answer.response_metadata["model_name"], "security")

    def test_a_round_trip_of_a_tool(self):
        model = self.model().bind_tools([weather], tool_choice="required", parallel_tool_calls=False)
        messages = [HumanMessage("Is it cold in Rome?")]
        answer = model.invoke(messages)
        call = answer.tool_calls[0]
        self.assertEqual(call["name"], "weather")
        result = weather.invoke(call)
        self.assertIsInstance(result, ToolMessage)
        self.assertTrue(self.model().invoke(messages + [answer, result]).text)
        streamed = None
        for chunk in model.stream(messages):
            streamed = chunk if streamed is None else streamed + chunk
        self.assertEqual(streamed.tool_calls[0]["args"], call["args"])

    def test_structured_output(self):
        for method in ("json_schema", "function_calling"):
            answer = self.model().with_structured_output(Weather, method=method).invoke("Is it cold in Rome?")
            self.assertIsInstance(answer, Weather, method)

    def test_responses(self):
        model = self.model(use_responses_api=True, max_tokens=20)
        first = model.invoke(QUESTION)
        self.assertTrue(first.text)
        self.assertEqual("".join(chunk.text for chunk in model.stream(QUESTION)), first.text)
        second = model.invoke("Why?", previous_response_id=first.response_metadata["id"])
        self.assertGreater(second.usage_metadata["input_tokens"], first.usage_metadata["total_tokens"])
        caller = self.model(use_responses_api=True).bind_tools([weather], tool_choice="required",
                                                               parallel_tool_calls=False)
        self.assertEqual(caller.invoke("Is it cold in Rome?").tool_calls[0]["name"], "weather")


    def test_embeddings(self):
        # It would send the tokens of another model otherwise.
        embeddings = langchain_openai.OpenAIEmbeddings(base_url=BASE_URL, api_key=API_KEY, model="all-minilm-l6-v2",
                                                       check_embedding_ctx_length=False, max_retries=0)
        question, cat, column = embeddings.embed_documents([QUESTION, "A cat sleeps.", "Renaming a shared column."])
        self.assertEqual(len(question), 384)
        alike = lambda a, b: sum(x * y for x, y in zip(a, b))
        self.assertGreater(alike(question, column), alike(question, cat))
        self.assertAlmostEqual(alike(embeddings.embed_query(QUESTION), question), 1, places=3)


class LlamaIndex(unittest.TestCase):
    def model(self, **options):
        options = {"model": MODEL, "temperature": 0, "max_tokens": 60, "context_window": 8192} | options
        return OpenAILike(api_base=BASE_URL, api_key=API_KEY, is_chat_model=True, is_function_calling_model=True,
                          max_retries=0, **options)

    def test_chat_and_stream(self):
        model = self.model(max_tokens=12)
        messages = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content=QUESTION)]
        whole = model.chat(messages).message.content
        self.assertTrue(whole)
        self.assertEqual("".join(chunk.delta or "" for chunk in model.stream_chat(messages)), whole)
        self.assertTrue(model.complete(QUESTION).text)

    def test_a_tool(self):
        called = []

        def forecast(city: Literal["Oslo", "Rome"]) -> str:
            """The weather in a city."""
            called.append(city)
            return "It is 4 degrees."

        function = FunctionTool.from_defaults(forecast)
        answer = self.model().predict_and_call([function], user_msg="Is it cold in Rome?", tool_required=True)
        self.assertEqual(len(called), len(answer.sources))
        self.assertIn(called[0], ("Oslo", "Rome"))

    def test_structured_output(self):
        answer = self.model().structured_predict(Weather, PromptTemplate("Is it cold in {city}?"), city="Rome")
        self.assertIsInstance(answer, Weather)


if __name__ == "__main__":
    unittest.main()
