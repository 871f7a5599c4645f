"""Encoders of Hugging Face seen alike: their layers, heads and FFN neurons, masked, cut or dropped."""
