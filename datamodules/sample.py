"""Generated data in the layout of GLUE's original files, for demos and tests without a download.

Sentences consist of filler words with *cues* among them. A cue stands for one class of the task; "not" before it
reverses its meaning. The label is the class with the most cues, so that no single word determines it. In tasks of
pairs only the second text determines the label: the first one contains cues as well, which mislead a model that cannot
tell the two texts apart. A small encoder learns this task from scratch, and loses it when too much of it is pruned.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from datamodules.tasks.glue import GLUETask, find_task
from stark.errors import StarkError
from stark.storage import check_output, new_file

__all__ = ["sample_vocabulary", "write_sample_data"]

_FOLDERS = {
    "rte": "RTE",
    "mrpc": "MRPC",
    "stsb": "STS-B",
    "sst2": "SST-2",
    "qnli": "QNLI",
    "qqp": "QQP",
    "mnli": "MNLI",
    "mnlimm": "MNLI",
}


def _words(text: str) -> list[str]:
    return text.split()


# The header lines of the original files; MRPC's starts with a byte-order mark.
_MNLI = _words(
    "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
    "sentence1 sentence2"
)
_STSB = _words("index genre filename year old_index source1 source2 sentence1 sentence2")
_QQP = _words("id qid1 qid2 question1 question2 is_duplicate")
_HEADERS: dict[tuple[str, str], Sequence[str]] = {
    ("rte", "labelled"): _words("index sentence1 sentence2 label"),
    ("rte", "test"): _words("index sentence1 sentence2"),
    ("mrpc", "labelled"): ("\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    ("mrpc", "test"): ("index", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    ("stsb", "labelled"): [*_STSB, "score"],
    ("stsb", "test"): _STSB,
    ("sst2", "labelled"): _words("sentence label"),
    ("sst2", "test"): _words("index sentence"),
    ("qnli", "labelled"): _words("index question sentence label"),
    ("qnli", "test"): _words("index question sentence"),
    ("qqp", "labelled"): _QQP,
    ("qqp", "test"): _words("id question1 question2"),
    ("mnli", "train"): [*_MNLI, "label1", "gold_label"],
    ("mnli", "dev"): [*_MNLI, *(f"label{i}" for i in range(1, 6)), "gold_label"],
    ("mnli", "test"): _MNLI,
}

_POSITIVE = _words("good great lovely superb charming clever funny moving brilliant warm")
_NEGATIVE = _words("bad awful dull boring clumsy stale bland weak ugly cold")
_AGREE = _words("confirmed agreed likewise indeed repeated supported matched accepted proved approved")
_DISAGREE = _words("denied disputed contrary rejected refuted opposed instead unlike false wrong")
_UNSURE = _words("perhaps maybe possibly might rumoured alleged unclear unknown apparently presumably")
_NEGATION = "not"
_FILLERS = _words(
    "the a an this that these his her its our their of in on at for with from about over under between after "
    "before during film story plot actor scene script music picture director company market report minister "
    "city river mountain school teacher student doctor engine train ship bridge garden window letter paper "
    "book author museum café señor naïve façade über crêpe house street country village farmer soldier queen "
    "king child mother brother friend team player match season summer winter morning evening week month year "
    "century percent dollar price share profit bank court judge lawyer law vote party leader speech paris "
    "london berlin tokyo madrid said told went came saw made took gave found left kept held met wrote read "
    "played won lost built opened closed moved called asked and but while because although where when who "
    "which one two three four five six seven eight nine ten many few some every each small large long short "
    "early late new old red green blue white black"
)
_SENTENCE_MARKS = (".", "!", ",")

# The classes of cues in the order of the task's labels; the first and the last are opposites.
_CUES: dict[str, tuple[list[str], ...]] = {
    "sst2": (_NEGATIVE, _POSITIVE),
    "rte": (_AGREE, _DISAGREE),
    "mrpc": (_DISAGREE, _AGREE),
    "stsb": (_DISAGREE, _AGREE),
    "qnli": (_AGREE, _DISAGREE),
    "qqp": (_DISAGREE, _AGREE),
    "mnli": (_AGREE, _UNSURE, _DISAGREE),
    "mnlimm": (_AGREE, _UNSURE, _DISAGREE),
}


def write_sample_data(
    directory: Path, *, rows: int = 3000, overwrite: bool = False, is_ours: Callable[[Path], bool] = lambda _: False
) -> list[Path]:
    """Write train, dev and test files of the eight tasks of the paper, one folder each.

    The same arguments give the same bytes on every machine.

    Args:
        directory: Folder for the task folders; other files in it are left alone.
        rows: Number of train rows in SST-2 and MRPC. The other tasks get two thirds of it; dev has a fifth and test a
            tenth of train's rows.
        overwrite: Whether existing files with these names are replaced, whatever their content.
        is_ours: Function that returns whether an existing file with other content is an earlier sample file.

    Returns:
        The files written.

    Raises:
        StarkError: There are too few rows for every file to have every label.
        StarkFileExistsError: An existing file is not a sample file; nothing was written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = write_sample_data(Path(folder), rows=120)
        ...     len(files), files[0].name, files[0].parent.name
        (23, 'train.tsv', 'RTE')
    """
    if rows < 120:
        raise StarkError(f"rows is {rows} but must be at least 120 for every file to have every label")
    contents: dict[Path, bytes] = {}
    for name, folder in _FOLDERS.items():
        task = find_task(name)
        size = rows if name in ("sst2", "mrpc") else 2 * rows // 3
        for split, share in (("train", 1), ("dev", 5), ("test", 10)):
            if name == "mnlimm" and split == "train":
                continue  # mnli's
            contents[directory / folder / task.layouts[split].file] = _content(task, split, size // share)
    for path, content in contents.items():
        if not (path.is_file() and path.read_bytes() == content):
            check_output(path, overwrite=overwrite, is_ours=is_ours)
    for path, content in contents.items():
        with new_file(path) as temporary:
            temporary.write_bytes(content)
    return list(contents)


def sample_vocabulary() -> list[str]:
    """Return all words and punctuation marks of the generated texts, sorted.

    Words with accents are also listed without them, because BERT's uncased tokenizer removes accents.

    Examples:
        >>> words = sample_vocabulary()
        >>> "not" in words, "café" in words, "cafe" in words
        (True, True, True)
    """
    words = {word for classes in _CUES.values() for cues in classes for word in cues}
    words |= {_NEGATION, *_FILLERS, *_SENTENCE_MARKS, '"', "?"}
    plain = str.maketrans("éñïçüê", "enicue")
    return sorted(words | {word.translate(plain) for word in words})


class _Dice:
    """Random choices based on random() alone: Python guarantees only for its numbers that they stay the same."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random

    def below(self, end: int) -> int:
        return int(self._random() * end)

    def one_of(self, options: Sequence[str]) -> str:
        return options[self.below(len(options))]

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def shuffled(self, items: Sequence[list[str]]) -> list[list[str]]:
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]


def _content(task: GLUETask, split: str, size: int) -> bytes:
    """Return the bytes of a file."""
    layout = task.layouts[split]
    family = "mnli" if task.name == "mnlimm" else task.name
    header = _HEADERS.get((family, split)) or _HEADERS[family, "labelled"]
    # both MNLI tasks share train, so the generator must not depend on which of the two it is
    dice = _Dice(f"{layout.file} {family}")
    lines = ["\t".join(header)]
    for number in range(size):
        label = number % (task.num_labels if task.problem.has_classes else 6)
        # test has no label column, but the same label distribution
        text_a, text_b, spelt = _example(task, label, dice)
        cells = [f"n{number}"] * len(header)
        if header[0] in ("index", "id"):
            cells[0] = str(number)
        cells[layout.text_a] = text_a
        if layout.text_b is not None:
            cells[layout.text_b] = text_b
        if layout.label is not None:
            if family == "mnli":
                cells[_MNLI.index("sentence2") + 1 :] = [spelt] * (len(header) - len(_MNLI))
            cells[layout.label] = spelt
        lines.append("\t".join(cells))
    return ("\n".join(lines) + "\n").encode()


def _example(task: GLUETask, label: int, dice: _Dice) -> tuple[str, str, str]:
    """Return both texts (the second is empty for single texts) and the label as it is spelled in the files."""
    classes = _CUES[task.name]
    # With rarer negations a small encoder would often only learn to count cues, and pruning hardly hurts that. The
    # harder tasks, with three classes or scores, have fewer negations: otherwise a few epochs would not be enough.
    negated = 0.3 if task.num_labels == 2 else 0.1
    if not task.problem.has_classes:
        # the score is the number of agreeing cues out of five, 0.000 to 5.000
        votes, spelt = [1] * label + [0] * (5 - label), f"{label}.000"
    else:
        votes, spelt = _votes(label, len(classes), dice), task.label_spelling[label]
    text = _sentence(votes, classes, negated, dice)
    if not task.is_pair:
        # SST-2's sentences end in a space
        return f"{text} {dice.one_of(_SENTENCE_MARKS)} ", "", spelt
    misleading = [dice.below(len(classes)) for _ in range(dice.below(2))]
    mark = " ?" if task.name == "qqp" else " ."
    return f"{_sentence(misleading, classes, negated, dice)}{mark}", f"{text}{mark}", spelt


def _votes(label: int, num_classes: int, dice: _Dice) -> list[int]:
    """Return the class of each cue, with a majority for the label: 1:0, 2:0, 3:0 or 3:1."""
    mine, others = ((1, 0), (2, 0), (3, 0), (3, 1))[dice.below(4)]
    other = [(label + 1 + dice.below(num_classes - 1)) % num_classes for _ in range(others)]
    return [label] * mine + other


def _sentence(votes: Sequence[int], classes: Sequence[list[str]], negated: float, dice: _Dice) -> str:
    """Return a sentence of filler words that contains one cue per vote."""
    opposite = {0: len(classes) - 1, len(classes) - 1: 0}
    phrases = []
    for vote in votes:
        if vote in opposite and dice.chance(negated):
            phrases.append([_NEGATION, dice.one_of(classes[opposite[vote]])])
        else:
            phrases.append([dice.one_of(classes[vote])])
    words: list[str] = []
    for phrase in dice.shuffled(phrases):
        words += [dice.one_of(_FILLERS) for _ in range(1 + dice.below(3))]
        # quotation marks are plain characters in these files and need not come in pairs
        words += ['"', *phrase, '"'] if dice.chance(0.05) else phrase
    words += [dice.one_of(_FILLERS) for _ in range(2 + dice.below(5))]
    if dice.chance(0.2):
        words.insert(dice.below(len(words)), '"')
    return " ".join(words)
