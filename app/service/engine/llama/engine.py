"""The engine over llama.cpp: loading, answering and counting, one at a time, in this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

from app.service.engine.base import LoadProgress, StopFlag
from app.service.engine.chat_format import Prompt
from app.service.engine.experts_range import check_experts
from app.service.engine.llama import native
from app.service.engine.llama.answer import AnswerWriter, Limits
from app.service.engine.llama.context import Context, Pulse
from app.service.engine.llama.experts_findings import Study, question
from app.service.engine.llama.gguf_file import ModelHeader, read_header
from app.service.engine.llama.grammar import answer_grammar
from app.service.engine.llama.live_experts import UNSOUND, Findings, LiveExperts
from app.service.engine.llama.model import Model, file_stem, load_failure, load_model
from app.service.engine.llama.parameters import (
    ContextParameters,
    Values,
    context_parameters,
    kv_cache_bytes,
    model_parameters,
)
from app.service.engine.llama.ram import check_ram
from app.service.engine.llama.sampling import Chain, Sampler, SamplerSeat, fits_backend, sampler_settings
from app.shared.engine import (
    ChatTurn,
    GenerateRequest,
    JsonObject,
    LoadedModel,
    LoadPlan,
    SettingValue,
    TokenCounts,
    TokenEvent,
)
from app.shared.errors import (
    BadRequest,
    BadValue,
    Cancelled,
    EngineFailed,
    ModelUnreadable,
    NoModelLoaded,
    OutOfMemory,
    PromptTooLong,
)
from app.shared.settings import ModelFacts, Stage, changed_stages, check_values

_GPU_FRAME_SECONDS = 1 / 60
_CPU_FRAME_SECONDS = 1 / 15  # every frame wakes other processes on the cores that compute
_SAMPLER_NOTES = {
    "backend": "Tokens are drawn inside the compute graph. The same seed gives the same text on this machine.",
    "unsorted": "Tokens are drawn inside the compute graph; with top-p at 1 its candidates are not sorted, so the "
    "same seed gives another text than drawing on the CPU.",
    "cpu": "Tokens are drawn on the CPU. The same seed gives the same text on this machine.",
}


class LlamaEngine:
    """llama.cpp behind the `Engine` protocol. `log` gets llama.cpp's own lines: level, source, text.

    `backend_sampling` None draws inside the compute graph where the logits are made on a GPU: there it saves
    copying and sorting the vocabulary. On the CPU the graph's samplers measured 4% slower than llama.cpp's
    own, and give the same text. True or False decide for tests and measurements.
    """

    def __init__(self, log: native.EngineLog, *, backend_sampling: bool | None = None) -> None:
        self._log = log
        self._errors: deque[str] = deque(maxlen=20)
        native.start(self._on_log)
        self._wants_backend = backend_sampling
        self._model: Model | None = None
        self._context: Context | None = None
        self._experts: LiveExperts | None = None  # None without a mixture of experts
        self._seat = SamplerSeat()
        self._loaded: LoadedModel | None = None
        self._values: dict[str, SettingValue] = {}
        self.pulse = Pulse()

    @property
    def loaded(self) -> LoadedModel | None:
        """What is loaded now, or None."""
        return self._loaded

    @property
    def steps(self) -> int:
        """Steps taken since the start: load callbacks, chunks of prompts, tokens; for the heartbeat."""
        return self.pulse.steps

    @property
    def busy(self) -> str | None:
        """What is being done: `load`, `prefill`, `decode`, or None."""
        return self.pulse.busy

    def load(self, plan: LoadPlan, *, progress: LoadProgress, stop: StopFlag) -> LoadedModel:
        """Load `plan`; see `Engine.load`. Weights stay when only the context's or the sampler's settings
        differ."""
        began = perf_counter()
        self.pulse.busy = "load"
        self._errors.clear()
        try:
            return self._load(plan, progress, stop, began)
        except BaseException:
            self.eject()
            raise
        finally:
            self.pulse.busy = None

    def eject(self) -> None:
        """Free context and weights, in this order."""
        self._drop_context()
        if self._model is not None:
            self._model.close()
        self._model, self._experts, self._loaded, self._values = None, None, None, {}

    def close(self) -> None:
        """Free everything."""
        self.eject()

    def generate(self, request: GenerateRequest, *, stop: StopFlag) -> Iterator[TokenEvent]:
        """Yield one answer; see `Engine.generate`. `continue_last` yields only what is added."""
        began = perf_counter()
        model, context = self._ready()
        given = {**self._values, **check_values(request.values)}
        values = Values(given)
        grammar = answer_grammar(request.response_format, request.tools, request.tool_choice)
        constrained = grammar is not None
        prompt, tokens, stable = self._prompt(model, context, request, values, constrained=constrained)
        self._use_experts(values)
        settings = sampler_settings(values)
        plain = not constrained and request.logprobs is None
        attached = self._seat.chain_for(context, settings, model.vocabulary_size) if plain else None
        if attached is None:
            self._seat.detach()
        sampler = Sampler(model, context, settings, attached=attached, logprobs=request.logprobs)
        writer = AnswerWriter(
            model,
            context,
            sampler,
            request,
            prompt=tokens,
            stable_tokens=stable,
            inside_thought=prompt.inside_thought,
            grammar=grammar,
            limits=Limits(
                max_tokens=values.whole("max_tokens") if request.max_tokens is None else request.max_tokens,
                thinking_counts=request.thinking_counts,
                thinking_budget=values.whole("thinking_budget"),
            ),
            seed=settings.seed,
            frame_seconds=_GPU_FRAME_SECONDS if model.gpu_layers else _CPU_FRAME_SECONDS,
            pulse=self.pulse,
            began=began,
        )
        try:
            yield from writer.events(stop)
        finally:
            sampler.close()

    def count(
        self, messages: Sequence[ChatTurn], *, tools: Sequence[JsonObject] = (), thinking: bool | None = None
    ) -> TokenCounts:
        """Count by parts: the whole prompt, less the prompt without the part."""
        model, context = self._ready()
        on = self._thinking(Values(self._values)) if thinking is None else thinking
        if not messages:
            return TokenCounts(total=0, context=context.size)
        total = len(model.tokenize(model.template.render(messages, tools=tools, thinking=on).text))

        def alone(turns: Sequence[ChatTurn], declared: Sequence[JsonObject]) -> int:
            return len(model.tokenize(model.template.rendered(turns, declared, thinking=on)))

        everything = alone(messages, tools)
        spoken = alone([turn for turn in messages if turn.role != "system"], ())
        silent = alone([turn.model_copy(update={"thought": None}) for turn in messages], tools)
        system = max(0, everything - spoken) if everything else 0
        thoughts = max(0, everything - silent) if everything else 0
        return TokenCounts(
            total=total,
            system=system,
            thinking=thoughts,
            history=max(0, total - system - thoughts),
            context=context.size,
        )

    # Loading

    def _load(self, plan: LoadPlan, progress: LoadProgress, stop: StopFlag, began: float) -> LoadedModel:
        if plan.model_path is None:
            raise BadRequest("This plan names no model file. Choose one.")
        header = read_header(Path(plan.model_path))
        given = check_values(plan.values, _facts(header))
        values = Values(given)
        context = context_parameters(values, header)
        with self._study(header, values, context) as study:
            if not self._keeps_weights(header, given):
                self.eject()
                self._check_experts(
                    header, values, study, stop
                )  # before a long read, where it may be refused
                self._load_weights(header, values, context, progress, stop)
            model = self._model
            assert model is not None
            if stop.is_set():
                raise Cancelled("Loading {name} was cancelled.", name=header.path.name)
            findings = study.findings(stop) if study is not None else None
            self._check_experts(header, values, study, stop)
        self._use_experts(values)  # the plan's, should an answer have used another number
        if self._make_context(model, values, context, stop) and not self._set_up_experts(values, findings):
            self.eject()
            self._load_weights(header, values, context, progress, stop)
            assert self._model is not None
            self._make_context(self._model, values, context, stop)
            self._set_up_experts(values, UNSOUND)
        self._values = given
        assert self._model is not None
        self._loaded = self._describe(self._model, plan, given, perf_counter() - began)
        progress(1.0)
        return self._loaded

    def _keeps_weights(self, header: ModelHeader, given: dict[str, SettingValue]) -> bool:
        if self._model is None or self._model.header.path != header.path:
            return False
        same_file = self._model.header.file_bytes == header.file_bytes
        return same_file and Stage.LOAD not in changed_stages(self._values, given).values()

    def _load_weights(
        self,
        header: ModelHeader,
        values: Values,
        context: ContextParameters,
        progress: LoadProgress,
        stop: StopFlag,
    ) -> None:
        parameters = model_parameters(values, header)
        check_ram(header, context, gpu_layers=parameters.gpu_layers, mapped=values.switch("mmap", True))

        def step(fraction: float) -> None:
            self.pulse.steps += 1
            progress(min(fraction, 0.99))  # the context comes after the weights

        self._model = load_model(header, parameters, progress=step, stop=stop, errors=self._last_errors)

    def _make_context(self, model: Model, values: Values, wanted: ContextParameters, stop: StopFlag) -> bool:
        """Return whether there is a new context; the held one stays where nothing of it differs."""
        held = self._context
        if held is not None and held.parameters == wanted:
            return False
        resident = kv_cache_bytes(held.parameters, model.header) if held is not None else 0
        check_ram(model.header, wanted, gpu_layers=model.gpu_layers, mapped=True, resident=resident)
        self._drop_context()
        settings = sampler_settings(values)
        chain: Chain | None = None
        wants_backend = model.output_on_gpu if self._wants_backend is None else self._wants_backend
        if wants_backend and fits_backend(settings, model.vocabulary_size):
            chain = Chain(settings, model.vocabulary_size)
        try:
            context = Context(model, wanted, chain=None if chain is None else chain.pointer, pulse=self.pulse)
        except MemoryError:
            if chain is not None:
                chain.close()
            raise self._context_failure(model.header, wanted) from None
        self._context = context
        if chain is not None:
            self._seat.occupy(context, chain)
        self._warm_up(model, context, stop)
        return True

    def _warm_up(self, model: Model, context: Context, stop: StopFlag) -> None:
        """Compute one token, so that what a GPU allocates late fails here and not in the first answer."""
        token = model.tokenize("a")[-1]
        context.read([token], output=True)
        context.clear()
        self.pulse.steps += 1
        if stop.is_set():
            raise Cancelled("Loading {name} was cancelled.", name=model.header.path.name)

    def _context_failure(self, header: ModelHeader, wanted: ContextParameters) -> OutOfMemory | EngineFailed:
        log = self._last_errors()
        failure = load_failure(header, log)
        if isinstance(failure, ModelUnreadable):
            reason = next((line for line in log.splitlines() if line.strip()), "it gave no reason")
            return EngineFailed(
                "llama.cpp cannot make a context of {context} tokens for {name}: {reason}.",
                context=wanted.context,
                name=header.path.name,
                reason=reason.strip().rstrip("."),
                details=log,
                remedies=("edit_preset", "log"),
            )
        return failure

    def _drop_context(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._seat.vacate()

    def _describe(
        self, model: Model, plan: LoadPlan, values: dict[str, SettingValue], seconds: float
    ) -> LoadedModel:
        header, context = model.header, self._context
        assert context is not None
        settings = sampler_settings(Values(values))
        on_backend = self._seat.on_backend
        note = "cpu" if not on_backend else "backend" if settings.backend_order_is_cpu_order else "unsorted"
        gpu = [name for name in native.devices() if name != "CPU"]
        return LoadedModel(
            id=file_stem(header.path),
            name=str(header.values.get("general.name") or header.path.stem),
            path=os.fspath(header.path),
            architecture=header.architecture,
            description=model.description,
            quantisation=model.quantisation,
            file_bytes=header.file_bytes,
            parameter_count=model.parameter_count,
            layers=header.number("block_count"),
            gpu_layers=model.gpu_layers,
            experts=model.experts,
            experts_used=model.experts_used,
            experts_trained=model.experts_trained,
            experts_limit=self._experts.limit if self._experts is not None else None,
            experts_switch=self._experts.mode if self._experts is not None else None,
            experts_switch_note=self._experts.note if self._experts is not None else None,
            trained_context=header.number("context_length"),
            context=context.size,
            vocabulary=model.vocabulary_size,
            chat_template=model.template.own,
            can_think=model.template.can_think,
            tools=model.template.takes_tools,
            recurrent=model.recurrent,
            backend_sampling=on_backend,
            sampling_note=_SAMPLER_NOTES[note],
            devices=(*(gpu if model.gpu_layers else ()), "CPU"),
            load_seconds=seconds,
            preset=plan.preset,
            values=values,
        )

    # Experts per token

    def _study(
        self, header: ModelHeader, values: Values, context: ContextParameters
    ) -> Study | nullcontext[None]:
        """Ask how far the number may be changed, beside the loading of the weights."""
        trained, experts = header.number("expert_used_count"), header.number("expert_count") or 0
        if experts < 2 or not trained:
            return nullcontext()
        wanted = values.whole("experts") or trained
        asked = question(header, context, wanted=wanted, gpu=native.can_offload())
        return Study(asked, self._log, self._lives)

    def _lives(self) -> None:
        self.pulse.steps += 1

    def _check_experts(
        self, header: ModelHeader, values: Values, study: Study | None, stop: StopFlag
    ) -> None:
        """Refuse a number that llama.cpp would abort on while it makes the context."""
        wanted = values.whole("experts")
        if study is not None and wanted is not None and wanted != header.number("expert_used_count"):
            check_experts(wanted, header.number("expert_count"), study.findings(stop).limit)

    def _set_up_experts(self, values: Values, findings: Findings | None) -> bool:
        """Make the switch for the new context and try it out; False when the model must be loaded again."""
        model, context = self._ready()
        if findings is None:
            return True
        self._experts = LiveExperts(model, findings)
        if self._experts.mode == "live":
            self._seat.detach()  # a graph that draws keeps its logits to itself
        sound = self._experts.try_out(context)
        self._seat.chain_for(context, sampler_settings(values), model.vocabulary_size)
        if self._experts.mode == "reload":
            self._log("warning", "worker", self._experts.note)
        return sound

    def _use_experts(self, values: Values) -> None:
        """Let the next tokens be computed with as many experts as `values` say."""
        if self._experts is None or self._context is None or self._model is None:
            if values.whole("experts") is not None and self._model is not None and not self._model.experts:
                raise BadValue(
                    "Experts per token is {value}, but this model has no experts. Leave it out.",
                    key="experts",
                    value=values.whole("experts"),
                )
            return
        wanted = values.whole("experts") or self._model.experts_trained
        if wanted is not None:
            self._experts.use(self._context, wanted)

    # Answering

    def _ready(self) -> tuple[Model, Context]:
        if self._model is None or self._context is None:
            raise NoModelLoaded("No model is loaded. Choose one first.")
        return self._model, self._context

    def _thinking(self, values: Values) -> bool:
        return values.switch("thinking", True)

    def _prompt(
        self, model: Model, context: Context, request: GenerateRequest, values: Values, *, constrained: bool
    ) -> tuple[Prompt, list[int], int]:
        """Return the rendered prompt, its tokens, and how many of them the next turn will share."""
        if not request.messages:
            raise BadRequest("There are no messages to answer. Send at least one.")
        if request.max_tokens is not None and request.max_tokens < 1:
            raise BadValue(
                "max_tokens is {value}. It takes 1 or more.", key="max_tokens", value=request.max_tokens
            )
        thinking = self._thinking(values)
        prompt = model.template.render(
            request.messages,
            tools=() if request.tool_choice == "none" else request.tools,
            thinking=thinking,
            continue_last=request.continue_last,
            # A grammar holds the answer only: a thought has to begin before it does.
            force_thought=constrained and thinking and model.template.can_think,
        )
        tokens = model.tokenize(prompt.text)
        if not tokens:
            raise BadRequest("The prompt is empty. Write something.")
        if len(tokens) >= context.size:
            raise PromptTooLong(
                "The prompt has {prompt_tokens} tokens and the context {context_tokens}. "
                "Shorten it or load with more.",
                prompt_tokens=len(tokens),
                context_tokens=context.size,
            )
        stable = 0
        if not model.rolls_back:
            stable = _shared(model.tokenize(prompt.text[: prompt.stable_length]), tokens) or len(tokens) - 1
        return prompt, tokens, min(stable, len(tokens) - 1)

    # llama.cpp's log

    def _on_log(self, level: native.Level, source: str, text: str) -> None:
        if level in ("error", "warning"):
            self._errors.append(text)
        self._log(level, source, text)

    def _last_errors(self) -> str:
        return "\n".join(self._errors)


def _facts(header: ModelHeader) -> ModelFacts:
    return ModelFacts(
        architecture=header.architecture,
        layers=None,  # more GPU layers than there are simply means all
        experts=header.number("expert_count") or 0,
        experts_trained=header.number("expert_used_count"),
        trained_context=header.number("context_length"),
    )


def _shared(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))
