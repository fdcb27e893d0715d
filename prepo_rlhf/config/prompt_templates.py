"""Prompt templates by name: what models of a family read, in training (`--data.input_template`) and in benchmarks
(`--prompt`), and the token that ends their responses.

The text is complete: whoever tokenizes it adds no special tokens, so a template whose model expects a BOS contains it.

Sources: `qwen-math` is `qwen25-math-cot` of the evaluation code of QwenLM/Qwen2.5-Math; the headers of `llama3` are
those of meta-llama/llama-models (models/llama3_1, "Prompt Formats").
"""

INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
PLACEHOLDER = "{question}"
TEMPLATES = {
    "qwen-math": (
        f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n"
        f"<|im_start|>user\n{PLACEHOLDER}<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "llama3": (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        f"{PLACEHOLDER}\n{INSTRUCTION}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "plain": f"{PLACEHOLDER}\n{INSTRUCTION}",
}
CHAT = "chat"
"""The name of `plain`, as the user's message in the tokenizer's own chat template."""
NAMES = (*TEMPLATES, CHAT)
END_TOKENS = {"qwen-math": "<|im_end|>", "llama3": "<|eot_id|>"}
"""What ends a turn in a template. Base models need not have it as their EOS: Qwen's have <|endoftext|>."""
