"""A row of the user's data becomes a prompt: its text, its tokens, the range that counts for perplexity, its label.

Boundary: runs before Ray; tokenizers and the rows' libraries, no part of the training stack at import.
"""
