"""Strict checks of request bodies, after the providers' own rules, for tests of what is sent.

A request that passes is one the provider documents to take; they know nothing of how it was made.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pi_ai.errors import PiError
from pi_ai.testing._anthropic_rules import find_anthropic_problems
from pi_ai.testing._completions_rules import find_completions_problems
from pi_ai.testing._findings import RequestProblem
from pi_ai.testing._responses_rules import find_responses_problems
from pi_ai.types import JsonObject

__all__ = (
    "InvalidRequestError",
    "RequestProblem",
    "check_anthropic_request",
    "check_completions_request",
    "check_responses_request",
    "validate_anthropic_request",
    "validate_completions_request",
    "validate_responses_request",
)


class InvalidRequestError(PiError, AssertionError):
    """A request breaks rules of its provider; the text lists them all, a line each."""

    def __init__(self, problems: Sequence[RequestProblem]) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"The provider would reject this request:{lines}")
        self.problems = tuple(problems)


def validate_anthropic_request(
    body: JsonObject, *, betas: Collection[str] = ()
) -> list[RequestProblem]:
    """What is wrong with the body of a Messages request; empty for a valid one.

    `betas` are the values of the request's `anthropic-beta` header, which allow further fields.
    Checked are roles and their order, contents, pairing and ids of tool calls, images, thinking,
    cache marks, tools, tool choice, limits, and unknown fields. Which of these a given model
    supports is not.

    A reply that thinks although an earlier message of its tool loop does not is no problem: the
    server then answers without thinking.

    Sources: https://docs.claude.com/en/api/messages and the pages it links to.
    """
    return find_anthropic_problems(body, betas).problems


def validate_completions_request(
    body: JsonObject, *, provider: str = "openai"
) -> list[RequestProblem]:
    """What is wrong with the body of a Chat Completions request; empty for a valid one.

    For `openai` every rule of api.openai.com holds. For any other provider those that its servers
    share: fields of their own, and longer ids, are let through, and cache marks are checked.

    Source: https://platform.openai.com/docs/api-reference/chat/create.
    """
    return find_completions_problems(body, provider).problems


def validate_responses_request(
    body: JsonObject, *, provider: str = "openai"
) -> list[RequestProblem]:
    """What is wrong with the body of a Responses request; empty for a valid one.

    The rules are those of a request that stores nothing on the server. For `openai`,
    `openai-codex` and `azure` every one of them holds; any other provider may have fields and
    tools of its own.

    Source: https://platform.openai.com/docs/api-reference/responses/create.
    """
    return find_responses_problems(body, provider).problems


def check_anthropic_request(body: JsonObject, *, betas: Collection[str] = ()) -> None:
    """Raises `InvalidRequestError` unless `validate_anthropic_request` finds nothing."""
    _check(validate_anthropic_request(body, betas=betas))


def check_completions_request(body: JsonObject, *, provider: str = "openai") -> None:
    """Raises `InvalidRequestError` unless `validate_completions_request` finds nothing."""
    _check(validate_completions_request(body, provider=provider))


def check_responses_request(body: JsonObject, *, provider: str = "openai") -> None:
    """Raises `InvalidRequestError` unless `validate_responses_request` finds nothing."""
    _check(validate_responses_request(body, provider=provider))


def _check(problems: Sequence[RequestProblem]) -> None:
    if problems:
        raise InvalidRequestError(problems)
