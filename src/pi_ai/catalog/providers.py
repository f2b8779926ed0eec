"""The built-in providers, a row each. Their models are in data/ID.json.

Source of the ids and variables: ai-core spec, sections 14 and 15.
"""

from __future__ import annotations

from collections.abc import Mapping

from pi_ai.provider import ProviderSpec

__all__ = ("PROVIDERS",)

_ROWS = (
    ProviderSpec("amazon-bedrock", "Amazon Bedrock", env=("AWS_BEARER_TOKEN_BEDROCK",)),
    ProviderSpec("ant-ling", "Ant Ling", env=("ANT_LING_API_KEY",)),
    # The first variable is sent as a bearer token, never as an API key.
    ProviderSpec(
        "anthropic",
        "Anthropic",
        env=(
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_OAUTH_TOKEN",
            "ANTHROPIC_API_KEY",
        ),
        oauth="pi_ai.auth.oauth.anthropic:AnthropicOAuth",
    ),
    ProviderSpec("azure", "Azure OpenAI", env=("AZURE_OPENAI_API_KEY",)),
    ProviderSpec("baseten", "Baseten", env=("BASETEN_API_KEY",)),
    ProviderSpec("cerebras", "Cerebras", env=("CEREBRAS_API_KEY",)),
    ProviderSpec("cloudflare-ai-gateway", "Cloudflare AI Gateway", env=("CLOUDFLARE_API_KEY",)),
    ProviderSpec("cloudflare-workers-ai", "Cloudflare Workers AI", env=("CLOUDFLARE_API_KEY",)),
    ProviderSpec("deepseek", "DeepSeek", env=("DEEPSEEK_API_KEY",)),
    ProviderSpec("fireworks", "Fireworks", env=("FIREWORKS_API_KEY",)),
    ProviderSpec("github-copilot", "GitHub Copilot", env=("COPILOT_GITHUB_TOKEN",)),
    ProviderSpec("google", "Google Gemini", env=("GEMINI_API_KEY",)),
    ProviderSpec("google-vertex", "Google Vertex AI", env=("GOOGLE_CLOUD_API_KEY",)),
    ProviderSpec("groq", "Groq", env=("GROQ_API_KEY",)),
    ProviderSpec("huggingface", "Hugging Face", env=("HF_TOKEN",)),
    ProviderSpec("kimi-coding", "Kimi for Coding", env=("KIMI_API_KEY",)),
    ProviderSpec("meta", "Meta", env=("META_API_KEY",)),
    ProviderSpec("minimax", "MiniMax", env=("MINIMAX_API_KEY",)),
    ProviderSpec("minimax-cn", "MiniMax (China)", env=("MINIMAX_CN_API_KEY",)),
    ProviderSpec("mistral", "Mistral", env=("MISTRAL_API_KEY",)),
    ProviderSpec("moonshotai", "Moonshot AI", env=("MOONSHOT_API_KEY",)),
    ProviderSpec("moonshotai-cn", "Moonshot AI (China)", env=("MOONSHOT_API_KEY",)),
    ProviderSpec("nvidia", "NVIDIA", env=("NVIDIA_API_KEY",)),
    ProviderSpec(
        "openai",
        "OpenAI",
        env=("OPENAI_API_KEY",),
        oauth="pi_ai.auth.oauth.openai_chatgpt:ChatGptOAuth",
    ),
    ProviderSpec("openai-codex", "OpenAI Codex", oauth="pi_ai.auth.oauth.openai_codex:CodexOAuth"),
    ProviderSpec("opencode", "OpenCode Zen", env=("OPENCODE_API_KEY",)),
    ProviderSpec("opencode-go", "OpenCode Go", env=("OPENCODE_API_KEY",)),
    ProviderSpec("openrouter", "OpenRouter", env=("OPENROUTER_API_KEY",)),
    ProviderSpec("qwen-token-plan", "Qwen Token Plan", env=("QWEN_TOKEN_PLAN_API_KEY",)),
    ProviderSpec(
        "qwen-token-plan-cn", "Qwen Token Plan (China)", env=("QWEN_TOKEN_PLAN_CN_API_KEY",)
    ),
    ProviderSpec(
        "qwen-token-plan-individual", "Qwen Token Plan Individual", env=("QWEN_TOKEN_PLAN_API_KEY",)
    ),
    ProviderSpec(
        "qwen-token-plan-individual-cn",
        "Qwen Token Plan Individual (China)",
        env=("QWEN_TOKEN_PLAN_CN_API_KEY",),
    ),
    ProviderSpec("radius", "Radius", env=("RADIUS_API_KEY",)),
    ProviderSpec("together", "Together AI", env=("TOGETHER_API_KEY",)),
    ProviderSpec("typesafe", "Typesafe", env=("TYPESAFE_API_KEY",)),
    ProviderSpec("vercel-ai-gateway", "Vercel AI Gateway", env=("AI_GATEWAY_API_KEY",)),
    ProviderSpec("xai", "xAI", env=("XAI_API_KEY",)),
    ProviderSpec("xiaomi", "Xiaomi MiMo", env=("XIAOMI_API_KEY",)),
    ProviderSpec(
        "xiaomi-token-plan-ams",
        "Xiaomi Token Plan (Amsterdam)",
        env=("XIAOMI_TOKEN_PLAN_AMS_API_KEY",),
    ),
    ProviderSpec(
        "xiaomi-token-plan-cn", "Xiaomi Token Plan (China)", env=("XIAOMI_TOKEN_PLAN_CN_API_KEY",)
    ),
    ProviderSpec(
        "xiaomi-token-plan-sgp",
        "Xiaomi Token Plan (Singapore)",
        env=("XIAOMI_TOKEN_PLAN_SGP_API_KEY",),
    ),
    ProviderSpec("zai", "Z.AI", env=("ZAI_API_KEY",)),
    ProviderSpec("zai-coding-cn", "Z.AI Coding (China)", env=("ZAI_CODING_CN_API_KEY",)),
)

PROVIDERS: Mapping[str, ProviderSpec] = {row.id: row for row in _ROWS}
"""Every built-in provider by id."""
