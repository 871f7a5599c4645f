"""Small tokenizers of every kind, trained on a few sentences."""

import json
import random

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

WORDS = (
    *("good", "better", "goodness", "bad", "badly", "the", "film", "films", "filming", "of", "charm", "charming"),
    *("über", "naïve", "café", "日本", "a", "an", "and", "antics", "unhappy", "happily", "42", "it's", "!", "?"),
)


def sentences(seed, number=200):
    """Random sentences."""
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(1, 9))) for _ in range(number)]


def wordpiece():
    """As in BERT."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(
        sentences(1), trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    )
    return BertTokenizer(vocab=backend.get_vocab())


def byte_level_bpe():
    """As in RoBERTa."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(sentences(1), trainer)
    spec = json.loads(backend.to_str())["model"]
    return RobertaTokenizer(vocab=spec["vocab"], merges=[tuple(merge) for merge in spec["merges"]])


def unigram():
    """As in XLM-RoBERTa."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend.train_from_iterator(
        sentences(1),
        trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    # An unused token before the special ones, so that their numbers change.
    described = json.loads(backend.to_str())
    described["model"]["vocab"].insert(0, ["unused", -5.0])
    described["model"]["unk_id"] += 1
    for added in described["added_tokens"]:
        added["id"] += 1
    backend = Tokenizer.from_str(json.dumps(described))
    ends = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=ends
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", **names
    )


def words():
    """Whole words."""
    backend = Tokenizer(models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.train_from_iterator(
        sentences(1), trainers.WordLevelTrainer(special_tokens=["<pad>", "<unk>"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>")


KINDS = [pytest.param(make, id=make.__name__) for make in (wordpiece, byte_level_bpe, unigram, words)]
