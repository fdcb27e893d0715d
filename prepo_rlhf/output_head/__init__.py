"""Log-probs and entropies from hidden states, in chunks: the full logits are never materialised.

`head` says what an output head is, `torch_logits` reads a chunk of its logits by PyTorch's operations and
`triton_logits` by Triton kernels on a GPU, `chunked` is the differentiable function over all tokens, and `chunk_size`
says how many at a time.
Boundary: torch, and Triton where it is installed; `chunk_size` neither.
"""
