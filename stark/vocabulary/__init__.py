"""Which tokens a corpus needs, and tokenizers and embeddings with these tokens alone."""
