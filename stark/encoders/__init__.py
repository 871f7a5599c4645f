"""One interface to Hugging Face's encoder families: layers, heads and FFN neurons, to mask, cut or drop."""
