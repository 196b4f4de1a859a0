"""Configuration files explained line by line, and what a preset takes over of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.hf_config import MOST_LINES, Explanation, explain
from app.models.hf_config_words import GENERATION, GGUF, ROPE, SHAPE, TOKENIZER
from app.shared.errors import BadRequest
from app.shared.settings import check_values

QWEN3_MOE: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": False,
    "decoder_sparse_step": 1,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_size": 2048,
    "max_position_embeddings": 40960,
    "mlp_only_layers": [],
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    "sliding_window": None,
    "torch_dtype": "bfloat16",
    "a_key_of_tomorrow": 7,
}
GENERATION_QWEN3 = {
    "bos_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "temperature": 0.6,
    "top_k": 20,
    "top_p": 0.95,
    "transformers_version": "4.51.0",
}


def told(value: Any) -> Explanation:
    return explain(json.dumps(value))


def line(found: Explanation, key: str) -> Any:
    return next(each for each in found.lines if each.key == key)


def test_a_config_gives_yarn_and_experts() -> None:
    found = told(QWEN3_MOE)
    assert found.kind == "config"
    assert found.values == {
        "experts": 8,
        "rope_scaling": "yarn",
        "yarn_factor": 4.0,
        "yarn_original_context": 32768,
    }
    assert line(found, "rope_scaling.factor").values == {"yarn_factor": 4.0}
    assert line(found, "num_hidden_layers").meaning.text.startswith("The model is 48 layers deep")
    assert line(found, "eos_token_id").meaning.text.startswith("An answer ends at token 151645")
    assert "1e-06" in line(found, "rms_norm_eps").meaning.text
    assert [each.key for each in found.lines if each.meaning is None] == ["a_key_of_tomorrow"]
    assert found.unknown == 1


def test_a_generation_config_gives_sampling() -> None:
    found = told({**GENERATION_QWEN3, "repetition_penalty": 1.05, "max_new_tokens": 2048})
    assert found.kind == "generation_config" and found.unknown == 0
    assert found.values == {
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "repeat_penalty": 1.05,
        "max_tokens": 2048,
    }


def test_not_drawing_means_temperature_0() -> None:
    assert told({"do_sample": False, "temperature": 0.6}).values == {"temperature": 0.0}


def test_a_tokenizer_config_is_explained_token_by_token() -> None:
    found = told(
        {
            "added_tokens_decoder": {
                "151643": {"content": "<|endoftext|>", "special": True},
                "151667": {"content": "<think>", "special": False},
            },
            "chat_template": "{%- if tools %}\n" * 200,
            "eos_token": {"__type": "AddedToken", "content": "<|im_end|>"},
            "tokenizer_class": "Qwen2Tokenizer",
        }
    )
    assert found.kind == "tokenizer_config" and found.unknown == 0 and found.values == {}
    first = line(found, "added_tokens_decoder.151643")
    assert first.meaning.text == "Token 151643 is <|endoftext|>, a mark that never shows as text."
    assert "one piece" in line(found, "added_tokens_decoder.151667").meaning.text
    assert line(found, "eos_token").meaning.text == "An answer ends with <|im_end|>."
    assert len(line(found, "chat_template").value) <= 80


def test_nested_configs_and_rope_parameters() -> None:
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    found = told(
        {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "text_config": {
                "num_hidden_layers": 32,
                "layer_types": kinds * 8,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10_000_000,
                    "mrope_section": [11, 11, 10],
                },
            },
            "vision_config": {"depth": 27},
        }
    )
    assert found.unknown == 0 and found.values == {}
    assert line(found, "text_config.layer_types").value == "24 × linear_attention, 8 × full_attention"
    assert line(found, "vision_config").meaning.text.endswith("Pult loads the text part alone.")
    assert "10,000,000" in line(found, "text_config.rope_parameters.rope_theta").meaning.text


def test_linear_scaling_becomes_a_frequency_scale_and_other_methods_nothing() -> None:
    assert told({"rope_scaling": {"type": "linear", "factor": 8}}).values == {
        "rope_scaling": "linear",
        "rope_scale": 0.125,
    }
    assert told({"rope_scaling": {"rope_type": "longrope", "factor": 8}}).values == {}


def test_values_that_the_table_refuses_are_said_and_left_out() -> None:
    found = told({"temperature": 99, "top_k": "many", "top_p": 0.5, "num_experts_per_tok": 0})
    assert found.values == {"top_p": 0.5}
    assert line(found, "temperature").refused.text == "Temperature is 99. It takes 0 to 5."
    assert line(found, "top_k").refused is not None and line(found, "num_experts_per_tok").refused is not None


def test_gguf_keys_as_llama_cpp_logs_them() -> None:
    found = explain(
        """llama_model_loader: - kv   0:  general.architecture str              = qwen3moe
llama_model_loader: - kv   4:              qwen3moe.context_length u32              = 40960
llama_model_loader: - kv  11:     qwen3moe.rope.scaling.type str              = yarn
print_info: nothing of the kind
qwen3moe.rope.scaling.factor = 4.0
qwen3moe.rope.scaling.original_context_length: 32768
qwen3moe.expert_used_count = 8
tokenizer.ggml.tokens arr[str,151936] = ["!", "#"]"""
    )
    assert found.kind == "gguf"
    assert found.values == {
        "experts": 8,
        "rope_scaling": "yarn",
        "yarn_factor": 4.0,
        "yarn_original_context": 32768,
    }
    assert line(found, "qwen3moe.context_length").meaning.text.endswith("up to 40,960 tokens.")
    assert found.unknown == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to explain"),
        ("  \n", "nothing"),
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ("hello", "not JSON"),
    ],
)
def test_what_is_no_configuration_is_a_sentence(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        explain(text)


def test_a_long_file_is_cut_and_says_so() -> None:
    found = told({f"key{n}": n for n in range(MOST_LINES + 5)})
    assert len(found.lines) == MOST_LINES and found.left_out == 5


@pytest.mark.parametrize("words", [SHAPE, ROPE, GENERATION, TOKENIZER, GGUF])
def test_every_explanation_holds_its_value_and_ends_as_a_sentence(words: dict[str, str]) -> None:
    for key, text in words.items():
        assert "{value}" in text and text.endswith("."), key


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [*SHAPE, *GENERATION, *TOKENIZER, "rope_scaling", "text_config", "added_tokens_decoder", "x"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_object_is_explained_and_only_good_values_are_offered(value: dict[str, Any]) -> None:
    found = told(value)
    assert check_values(found.values) == found.values
    assert Explanation.model_validate_json(found.model_dump_json()) == found
    for each in found.lines:
        assert each.meaning is None or each.meaning.text
