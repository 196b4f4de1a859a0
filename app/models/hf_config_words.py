"""What the keys of Hugging Face configuration files and of GGUF headers mean, in plain words.

Every sentence holds `{value}`: the value as the file gives it.
"""

from __future__ import annotations

from collections.abc import Mapping

SHAPE: Mapping[str, str] = {
    "architectures": "The program class that Hugging Face runs this model with is {value}; llama.cpp has its own.",
    "model_type": "The family is {value}: it decides which layers there are and how they are wired.",
    "num_hidden_layers": "The model is {value} layers deep; every token passes through all of them, one after the other.",
    "hidden_size": "A token travels between the layers as {value} numbers.",
    "num_attention_heads": "Each attention layer looks back with {value} heads, each after something else.",
    "num_key_value_heads": "{value} heads keep keys and values; the KV cache grows with this number, not with the heads that "
    "look.",
    "head_dim": "One head's query, key and value are {value} numbers long.",
    "intermediate_size": "A dense feed-forward network widens a token to {value} numbers; in a mixture only layers without "
    "experts use it.",
    "moe_intermediate_size": "One expert is {value} numbers wide.",
    "shared_expert_intermediate_size": "The expert that every token passes besides the chosen ones is {value} numbers wide.",
    "num_experts": "Each mixture layer holds {value} experts, all of which stay in memory.",
    "num_local_experts": "Each mixture layer holds {value} experts, all of which stay in memory.",
    "num_experts_per_tok": "The router sends each token to {value} experts, as in training.",
    "norm_topk_prob": "Whether the weights of the chosen experts are scaled to add up to one: {value}. It is built into the GGUF.",
    "decoder_sparse_step": "A layer in {value} has experts; 1 means every layer.",
    "mlp_only_layers": "Layers with a dense network in place of experts: {value}.",
    "router_aux_loss_coef": "In training, uneven use of experts was punished by {value}. It has no part in answering.",
    "output_router_logits": "Whether the training program returned the router's scores: {value}. It has no part here.",
    "vocab_size": "The vocabulary has {value} entries; padding may make it longer than the tokenizer's own list.",
    "max_position_embeddings": "Positions were trained, or are said to hold, up to {value} tokens.",
    "rope_theta": "The base of the rotary frequencies is {value}; the GGUF carries it, so there is nothing to set.",
    "partial_rotary_factor": "Of each head the share {value} is turned by the position; the rest knows none.",
    "sliding_window": "A window of attention over the last tokens: {value}. It acts only where use_sliding_window is on.",
    "use_sliding_window": "Whether some layers look back only over a window: {value}.",
    "max_window_layers": "The first {value} layers would look back over everything if a window were in use.",
    "layer_types": "The kind of every layer in order: {value}. full_attention keeps a KV cache, linear_attention a state of "
    "fixed size.",
    "full_attention_interval": "One layer in {value} has full attention; the others keep a state of fixed size.",
    "linear_conv_kernel_dim": "A linear layer mixes the last {value} tokens before its state takes them in.",
    "linear_key_head_dim": "The keys of linear layers are {value} numbers long.",
    "linear_value_head_dim": "The values of linear layers are {value} numbers long.",
    "linear_num_key_heads": "Linear layers have {value} key heads.",
    "linear_num_value_heads": "Linear layers have {value} value heads, each with a state of its own.",
    "attn_output_gate": "Whether attention passes a gate before it is added: {value}.",
    "mtp_num_hidden_layers": "{value} further layers guess tokens ahead; ordinary decoding leaves them at rest.",
    "num_nextn_predict_layers": "{value} further layers guess tokens ahead; ordinary decoding leaves them at rest.",
    "hidden_act": "The feed-forward networks bend their numbers with {value}.",
    "rms_norm_eps": "{value} is added under the root when a layer's numbers are brought to one size, against dividing by zero.",
    "attention_bias": "Whether the attention matrices have a bias: {value}.",
    "attention_dropout": "The share of attention left out in training was {value}. It has no part in answering.",
    "initializer_range": "Training began from random numbers of spread {value}. It has no part in answering.",
    "tie_word_embeddings": "Whether the embedding is used as the output matrix as well: {value}. It saves one matrix of the "
    "vocabulary's size.",
    "torch_dtype": "The original weights are kept as {value}; the GGUF has its own types.",
    "dtype": "The original weights are kept as {value}; the GGUF has its own types.",
    "transformers_version": "The file was written by transformers {value}.",
    "use_cache": "Whether Hugging Face keeps a KV cache: {value}. llama.cpp always does.",
    "quantization_config": "The original weights are quantised: {value}. A GGUF has its own quantisation.",
    "vision_config": "The shape of the part that sees pictures: {value}. Pult loads the text part alone.",
    "audio_config": "The shape of the part that hears: {value}. Pult loads the text part alone.",
    "bos_token_id": "Token {value} begins a text.",
    "eos_token_id": "An answer ends at token {value}; the GGUF names its own, which llama.cpp obeys.",
    "pad_token_id": "Token {value} fills up short texts in training. It has no part in answering.",
    "image_token_id": "Token {value} stands for a picture.",
    "video_token_id": "Token {value} stands for a film.",
}

ROPE: Mapping[str, str] = {
    "rope_type": "Positions are stretched by the method {value}.",
    "type": "Positions are stretched by the method {value}.",
    "factor": "The reach is stretched by the factor {value}.",
    "original_max_position_embeddings": "The factor starts from a trained length of {value} tokens.",
    "attention_factor": "Attention is sharpened by {value} to make up for the stretching; llama.cpp works this out by itself.",
    "beta_fast": "Pairs that turn more than {value} times over the trained length are left as they are; llama.cpp uses 32.",
    "beta_slow": "Pairs that turn less than {value} times are stretched by the whole factor; llama.cpp uses 1.",
    "mscale": "The sharpening of attention is scaled by {value}; the GGUF carries it.",
    "mscale_all_dim": "The sharpening of attention is scaled by {value}; the GGUF carries it.",
    "mrope_section": "The turning pairs are shared out between time, height and width as {value}; text uses all of them alike.",
    "mrope_interleaved": "Whether the pairs of time, height and width alternate: {value}.",
}

GENERATION: Mapping[str, str] = {
    "do_sample": "Whether the next token is drawn ({value}) or the likeliest one always taken.",
    "temperature": "The recommended temperature is {value}: lower is steadier, higher is more varied.",
    "top_k": "Only the {value} likeliest tokens are drawn from.",
    "top_p": "The likeliest tokens are drawn from until their odds add up to {value}.",
    "min_p": "Tokens less likely than {value} of the likeliest one are dropped.",
    "repetition_penalty": "The odds of tokens seen before are divided by {value}; 1 is off.",
    "presence_penalty": "{value} is subtracted from every token that occurred before; 0 is off.",
    "frequency_penalty": "{value} is subtracted for every time a token occurred before; 0 is off.",
    "max_new_tokens": "An answer ends after {value} tokens.",
    "max_length": "Prompt and answer together end at {value} tokens; in Pult the context length does that.",
    "num_beams": "The search follows {value} texts at once; llama.cpp draws one, and so does Pult.",
    "num_return_sequences": "{value} answers are written at once; Pult writes one, and further ones on request.",
    "repetition_window": "The penalty looks at the last {value} tokens.",
}

TOKENIZER: Mapping[str, str] = {
    "tokenizer_class": "The tokenizer is a {value}; llama.cpp has its own, which the GGUF names.",
    "model_max_length": "The tokenizer warns beyond {value} tokens. It cuts nothing, and the model may reach less far.",
    "add_bos_token": "Whether a text begins with a token of its own: {value}.",
    "add_eos_token": "Whether a text is closed with an end token when it is read: {value}.",
    "add_prefix_space": "Whether a space is put before the first word: {value}.",
    "bos_token": "A text begins with {value}.",
    "eos_token": "An answer ends with {value}.",
    "pad_token": "Short texts are filled up with {value} in training. It has no part in answering.",
    "unk_token": "What the tokenizer cannot write becomes {value}; with a byte-level vocabulary that never happens.",
    "additional_special_tokens": "Tokens with a meaning of their own: {value}.",
    "chat_template": "How messages become one prompt: {value}. The GGUF carries its own copy, and llama.cpp uses that.",
    "clean_up_tokenization_spaces": "Whether spaces before punctuation are removed from answers: {value}. llama.cpp removes none.",
    "split_special_tokens": "Whether special tokens written out in a text are read as plain letters: {value}.",
    "errors": "Bytes that make no letter are handled by the rule {value}.",
    "extra_special_tokens": "Further tokens with a meaning of their own: {value}.",
}

GGUF: Mapping[str, str] = {
    "general.architecture": "The family is {value}: it decides which code of llama.cpp runs the model.",
    "general.name": "The file calls itself {value}.",
    "general.file_type": "The mixture of quantisations has the number {value}.",
    "block_count": "The model is {value} layers deep; every token passes through all of them, one after the other.",
    "context_length": "Positions were trained, or are said to hold, up to {value} tokens.",
    "embedding_length": "A token travels between the layers as {value} numbers.",
    "feed_forward_length": "A dense feed-forward network widens a token to {value} numbers.",
    "attention.head_count": "Each attention layer looks back with {value} heads, each after something else.",
    "attention.head_count_kv": "{value} heads keep keys and values; the KV cache grows with this number.",
    "attention.key_length": "One head's key is {value} numbers long.",
    "attention.value_length": "One head's value is {value} numbers long.",
    "attention.layer_norm_rms_epsilon": "{value} is added under the root when a layer's numbers are brought to one size.",
    "expert_count": "Each mixture layer holds {value} experts, all of which stay in memory.",
    "expert_used_count": "The router sends each token to {value} experts, as in training.",
    "expert_feed_forward_length": "One expert is {value} numbers wide.",
    "rope.freq_base": "The base of the rotary frequencies is {value}.",
    "rope.dimension_count": "Of each head {value} dimensions are turned by the position.",
    "rope.scaling.type": "Positions are stretched by the method {value}.",
    "rope.scaling.factor": "The reach is stretched by the factor {value}.",
    "rope.scaling.original_context_length": "The factor starts from a trained length of {value} tokens.",
}
