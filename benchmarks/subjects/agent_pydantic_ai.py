"""`pydantic_ai.Agent` with its `FunctionModel`, streaming every event of the run."""

import asyncio
from collections.abc import AsyncIterator

from agent_harness import Answer, Job, Library, Script, Tools, measure
from pydantic_ai import Agent, AgentRunResultEvent, ModelMessage, UsageLimits
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

NO_LIMITS = UsageLimits(request_limit=None)


class PydanticAi(Library[Agent]):
    """One model for all agents; each makes its own tools from the functions."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        super().__init__(job, script, tools)
        self._model = FunctionModel(stream_function=self._stream)

    async def _stream(
        self, _messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        await asyncio.sleep(0)
        for piece in self.script.text:
            yield piece
        call_id = self.script.next_call()
        if call_id is None:
            return
        yield {1: DeltaToolCall(name="look_up", tool_call_id=call_id)}
        for piece in self.script.arguments:
            yield {1: DeltaToolCall(json_args=piece)}

    async def create(self) -> Agent:
        """See `Library`."""
        return Agent(self._model, system_prompt=self.job.system_prompt, tools=self.tools.functions)

    async def ask(self, agent: Agent) -> Answer:
        """See `Library`."""
        seen, text = 0, ""
        async with agent.run_stream_events(self.job.prompt, usage_limits=NO_LIMITS) as events:
            async for event in events:
                seen += 1
                if isinstance(event, AgentRunResultEvent):
                    text = event.result.output
        return Answer(text, seen)


if __name__ == "__main__":
    measure(PydanticAi)
