"""The agent of the PyPI package `pi-ai-python`, asking a scripted api through its models.

Its import names are `pi_agent` and `pi_ai` too: never run it with ours.
"""

import asyncio
import json
from collections.abc import Mapping

from agent_harness import Answer, Job, Library, Script, Tools, measure
from pi_ai.auth.helpers import env_api_key_auth
from pi_ai.event_stream import AssistantMessageEventStream

from pi_agent import Agent, AgentEvent, AgentInitialState, agent_tool
from pi_ai import AssistantMessage, Model, TextContent, ToolCall, create_models, create_provider
from pi_ai.auth.types import ProviderAuth
from pi_ai.types import (
    DoneEvent,
    StartEvent,
    TextDeltaEvent,
    TextEndEvent,
    TextStartEvent,
    ToolCallDeltaEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
    TranscriptContext,
)

MODEL = Model(id="scripted", api="scripted", provider="scripted", base_url="http://localhost:0")


class ScriptedApi:
    """An api as the package's own: it pushes events that share one growing message."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def stream(
        self, model: Model, _context: TranscriptContext, _options: Mapping[str, object] | None
    ) -> AssistantMessageEventStream:
        """The next answer."""
        stream = AssistantMessageEventStream()
        stream.start(self._push(model, stream))
        return stream

    stream_simple = stream

    async def _push(self, model: Model, stream: AssistantMessageEventStream) -> None:
        script, text = self._script, TextContent("")
        message = AssistantMessage([], api=model.api, provider=model.provider, model=model.id)
        stream.push(StartEvent(message))
        await asyncio.sleep(0)
        message.content.append(text)
        stream.push(TextStartEvent(0, message))
        for piece in script.text:
            text.text += piece
            stream.push(TextDeltaEvent(0, piece, message))
        stream.push(TextEndEvent(0, text.text, message))
        call_id = script.next_call()
        if call_id is None:
            stream.push(DoneEvent("stop", message))
            return
        call = ToolCall(call_id, "look_up", {})
        message.content.append(call)
        stream.push(ToolCallStartEvent(1, message))
        for piece in script.arguments:
            stream.push(ToolCallDeltaEvent(1, piece, message))
        call.arguments = json.loads("".join(script.arguments))
        stream.push(ToolCallEndEvent(1, call, message))
        message.stop_reason = "toolUse"
        stream.push(DoneEvent("toolUse", message))


class PiAiPython(Library[Agent]):
    """One collection of models and one set of tools for all agents."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        super().__init__(job, script, tools)
        self._models = create_models()
        self._models.set_provider(
            create_provider(
                id="scripted",
                auth=ProviderAuth(api_key=env_api_key_auth("Key", ["SCRIPTED_API_KEY"])),
                models=[MODEL],
                api=ScriptedApi(script),
            )
        )
        self._tools = [agent_tool(function) for function in tools.functions]

    async def create(self) -> Agent:
        """See `Library`."""
        return Agent(
            initial_state=AgentInitialState(
                system_prompt=self.job.system_prompt, model=MODEL, tools=self._tools
            ),
            stream_fn=self._models,
            stream_options={"api_key": "key"},
        )

    async def ask(self, agent: Agent) -> Answer:
        """See `Library`."""
        seen = 0

        def look(event: AgentEvent, _signal: object) -> None:
            nonlocal seen
            if event.type:
                seen += 1

        agent.subscribe(look)
        await agent.prompt(self.job.prompt)
        last = agent.state.messages[-1]
        return Answer(last.error_message or last.content[0].text, seen)


if __name__ == "__main__":
    measure(PiAiPython)
