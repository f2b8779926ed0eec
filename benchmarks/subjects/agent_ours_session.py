"""pi_sdk.create_agent: an agent with a session in a file, in a directory that is removed again."""

import tempfile
from pathlib import Path

from agent_harness import Answer, Job, Library, Script, Tools, measure
from agent_ours_scripted import MODEL, scripted_models

from pi_agent import tool
from pi_sdk import AgentSession, SessionEvent, create_agent


class OursSession(Library[AgentSession]):
    """One collection of models and one set of tools for all sessions."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        super().__init__(job, script, tools)
        self._models = scripted_models(script)
        self._tools = [tool(function) for function in tools.functions]
        self._home = tempfile.TemporaryDirectory()

    async def create(self) -> AgentSession:
        """See `Library`."""
        home = Path(self._home.name)
        return await create_agent(
            cwd=home,
            agent_dir=home,
            model=MODEL,
            models=self._models,
            system_prompt=self.job.system_prompt,
            no_tools="builtin",
            custom_tools=self._tools,
            context_files=False,
        )

    async def ask(self, agent: AgentSession) -> Answer:
        """See `Library`. Raises RuntimeError if the session was not stored."""
        seen = 0

        def look(event: SessionEvent) -> None:
            nonlocal seen
            if event.type:
                seen += 1

        agent.subscribe(look)
        message = await agent.prompt(self.job.prompt)
        if agent.session_file is None or not agent.session_file.stat().st_size:
            raise RuntimeError("the session is not in its file")
        if message is None:
            return Answer("", seen)
        return Answer(message.error_message or message.text, seen)

    async def close(self, agent: AgentSession) -> None:
        """See `Library`."""
        await agent.aclose()


if __name__ == "__main__":
    measure(OursSession)
