"""pi_agent.Agent, asking a scripted adapter through `Models`."""

from agent_harness import Answer, Job, Library, Script, Tools, measure
from agent_ours_scripted import MODEL, scripted_models

from pi_agent import Agent, AgentEvent, tool
from pi_ai import Model, Models


class Ours(Library[Agent]):
    """One collection of models and one set of tools for all agents."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        super().__init__(job, script, tools)
        self._models = scripted_models(script)
        self._tools = [tool(function) for function in tools.functions]

    async def create(self) -> Agent:
        """See `Library`."""
        return self.make(MODEL, self._models)

    def make(self, model: Model, models: Models) -> Agent:
        """A new agent that asks this model."""
        return Agent(
            model=model,
            models=models,
            system_prompt=self.job.system_prompt,
            tools=self._tools,
        )

    async def ask(self, agent: Agent) -> Answer:
        """See `Library`."""
        seen = 0

        def look(event: AgentEvent) -> None:
            nonlocal seen
            if event.type:
                seen += 1

        agent.subscribe(look)
        message = await agent.prompt(self.job.prompt)
        if message is None:
            return Answer("", seen)
        return Answer(message.error_message or message.text, seen)


if __name__ == "__main__":
    measure(Ours)
