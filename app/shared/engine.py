"""What engines are asked and what they answer; the same for llama.cpp, a remote server and the fake."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.shared.errors import ErrorInfo

SettingValue = bool | int | float | str
JsonObject = dict[str, Any]  # JSON as the client sent it: tool declarations, schemas


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class RemoteServer(Frozen):
    """An OpenAI-style server: vLLM, llama-server, another `pult serve`."""

    name: str
    url: str  # up to and including /v1
    key: str = ""
    model: str = ""  # empty: the server's first model


class LoadPlan(Frozen):
    """Everything needed to load: either a file or a remote server, and the load and context settings.

    `values` holds only what differs from the defaults of `app.shared.settings`, already checked.
    """

    model_path: str | None = None
    remote: RemoteServer | None = None
    preset: str | None = None
    values: dict[str, SettingValue] = {}


class LoadedModel(Frozen):
    """What is loaded now. Sizes in bytes, lengths in tokens; None where the engine does not say."""

    id: str  # the name over HTTP: file stem, or the remote model's name
    name: str  # general.name, or the file's stem
    path: str | None = None
    remote_url: str | None = None
    architecture: str | None = None
    description: str | None = None  # llama.cpp's own line: "qwen3moe 30B.A3B Q4_K - Medium"
    quantisation: str | None = None
    file_bytes: int | None = None
    parameter_count: int | None = None
    layers: int | None = None
    gpu_layers: int | None = None
    experts: int | None = None
    experts_used: int | None = None  # now
    experts_trained: int | None = None
    experts_limit: int | None = None  # the most that llama.cpp's graph has room for; None where not tried
    experts_switch: Literal["live", "reload"] | None = None  # how the number changes; None without experts
    experts_switch_note: str | None = None  # the same in a sentence, with the reason
    trained_context: int | None = None
    context: int | None = None  # the context's size now
    vocabulary: int | None = None
    chat_template: bool = False  # the file brings its own; otherwise ChatML is used
    can_think: bool = False
    tools: bool = False
    recurrent: bool = False  # hybrid or recurrent: cannot roll back partly
    backend_sampling: bool = False
    sampling_note: str | None = None  # where the sampler runs and whether the same seed gives the same text
    devices: tuple[str, ...] = ()  # where the layers went: "CUDA0 NVIDIA H200", "CPU"
    load_seconds: float | None = None
    preset: str | None = None
    values: dict[str, SettingValue] = {}

    @property
    def switches_experts(self) -> bool:
        """Whether another number of experts acts with the next answer, without a reload."""
        return self.experts_switch == "live"


class EngineStatus(StrEnum):
    """The supervisor's view of its engine."""

    EMPTY = "empty"  # no model loaded
    LOADING = "loading"
    READY = "ready"
    ANSWERING = "answering"
    EJECTING = "ejecting"
    FAILED = "failed"  # the last load failed or the worker died; `error` says why; loading again is possible


class EngineState(Frozen):
    """Sent in every `engine` event and in the state snapshot."""

    status: EngineStatus = EngineStatus.EMPTY
    model: LoadedModel | None = None
    loading: str | None = None  # name of what is being loaded
    progress: float | None = None  # 0…1 while loading
    error: ErrorInfo | None = None
    worker_pid: int | None = None


class ToolCall(Frozen):
    """A call the model wants made; `arguments` is JSON text, as in OpenAI's wire format."""

    id: str
    name: str
    arguments: str


class ChatTurn(Frozen):
    """One message of a conversation as the engine sees it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thought: str | None = (
        None  # an assistant's thought; the template decides whether older ones are shown again
    )
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class ResponseFormat(Frozen):
    """Constrains the answer (not the thought) to JSON, optionally to a JSON schema."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonObject | None = None


class GenerateRequest(Frozen):
    """One answer to produce.

    `values` are sample-stage settings that differ from those of the loaded preset (see `app.shared.settings`):
    temperature, top_k, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty, seed, thinking, max_tokens…
    `experts` may be among them where `LoadedModel.experts_switch` is "live": this answer is written with so many.
    `max_tokens` counts the answer and not the thought when `thinking_counts` is False.
    """

    id: str
    messages: tuple[ChatTurn, ...]
    values: dict[str, SettingValue] = {}
    max_tokens: int | None = None  # None: until the model ends or the context is full
    thinking_counts: bool = True
    stop: tuple[str, ...] = ()
    tools: tuple[JsonObject, ...] = ()
    tool_choice: str | None = None  # "auto", "none", "required" or a function's name
    response_format: ResponseFormat = ResponseFormat()
    continue_last: bool = False  # the last message is an assistant's and is to be continued
    logprobs: int | None = None  # top-n log probabilities per token


FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]


class Timings(Frozen):
    """Measured by the engine itself with a monotonic clock; speeds in tokens per second, times in seconds.

    `prefill_tokens` counts only what was really computed: tokens found in the KV cache are `cached_tokens`.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefill_tokens: int = 0
    completion_tokens: int = 0
    thought_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    first_token_seconds: float | None = None  # from the request to the first token
    thought_seconds: float | None = None

    @property
    def prefill_tokens_per_second(self) -> float | None:
        return (
            self.prefill_tokens / self.prefill_seconds
            if self.prefill_seconds > 0 and self.prefill_tokens
            else None
        )

    @property
    def tokens_per_second(self) -> float | None:
        """Decode speed. The first token comes out of the prefill, so it is not counted."""
        decoded = self.completion_tokens - 1
        return decoded / self.decode_seconds if self.decode_seconds > 0 and decoded > 0 else None


class AnswerStarted(Frozen):
    type: Literal["started"] = "started"
    prompt_tokens: int
    cached_tokens: int = 0
    seed: int | None = None  # the seed really used


class PrefillProgress(Frozen):
    type: Literal["prefill"] = "prefill"
    done_tokens: int
    total_tokens: int


class TokenLogprob(Frozen):
    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class AnswerDelta(Frozen):
    """New text since the last delta; several tokens may come in one. Text is always whole UTF-8 characters."""

    type: Literal["delta"] = "delta"
    text: str = ""
    thought: str = ""
    tokens: int = 0
    context_used_tokens: int | None = None
    decode_tokens_per_second: float | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


class AnswerFinished(Frozen):
    """The one last event of a successful answer. `text` and `thought` repeat the whole answer."""

    type: Literal["finished"] = "finished"
    finish_reason: FinishReason
    text: str
    thought: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    timings: Timings = Timings()
    context_used_tokens: int | None = None
    experts_used: int | None = None
    seed: int | None = None


TokenEvent = Annotated[
    AnswerStarted | PrefillProgress | AnswerDelta | AnswerFinished, Field(discriminator="type")
]


class TokenCounts(Frozen):
    """What a conversation takes of the context, by part, counted with the loaded model's own tokenizer and template."""

    total: int
    system: int = 0
    history: int = 0
    thinking: int = 0
    context: int | None = None
