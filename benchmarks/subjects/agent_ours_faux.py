"""pi_agent.Agent with `FauxProvider`, as in the tests of those who use it; one for each agent."""

import json

from agent_harness import Job, Script, Tools, measure
from agent_ours import Ours

from pi_agent import Agent
from pi_ai import AssistantMessage, TextContent
from pi_ai.testing import FauxProvider, FauxRequest, faux_message, faux_tool_call


class OursFaux(Ours):
    """The provider cuts texts into pieces of its own size."""

    def __init__(self, job: Job, script: Script, tools: Tools) -> None:
        super().__init__(job, script, tools)
        self._text = "".join(script.text)
        self._arguments = json.loads("".join(script.arguments))

    async def create(self) -> Agent:
        """See `Library`."""
        faux = FauxProvider([self._answer] * (self.script.left + 2), seed=1)
        return self.make(faux.model, faux.models)

    def _answer(self, _request: FauxRequest) -> AssistantMessage:
        call_id = self.script.next_call()
        if call_id is None:
            return faux_message(self._text)
        call = faux_tool_call("look_up", self._arguments, call_id=call_id)
        return faux_message([TextContent(self._text), call])


if __name__ == "__main__":
    measure(OursFaux)
