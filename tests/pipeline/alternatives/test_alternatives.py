"""The simple alternatives, against scikit-learn on features that are made by hand, and by their properties."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from transformers import AutoModel, AutoTokenizer

from pipeline.alternatives import table
from pipeline.alternatives.embeddings import Embeddings
from pipeline.alternatives.features import Encoder, Texts
from pipeline.alternatives.frozen import Frozen
from pipeline.alternatives.linear import Linear, Target, candidates, fit_linear
from pipeline.alternatives.table import ALTERNATIVES, open_alternative, train_alternative
from pipeline.alternatives.tfidf import Tfidf
from stark.model_folders.model_folder import load_classifier, save_classifier

GOOD, BAD = ["a fine film", "what a fine thing", "fine", "so fine it is"], ["a dull film", "what a dull thing", "dull"]
TEXTS = Texts([*GOOD, *BAD])
LABELS = np.array([1] * len(GOOD) + [0] * len(BAD))


def accuracy(labels):
    return lambda said: float((said == labels).mean())


@pytest.fixture
def encoder(tiny_task) -> Encoder:
    return Encoder(str(tiny_task.encoder), 16)


@pytest.fixture
def numbers():
    """Features of 60 rows that three classes depend on."""
    generator = np.random.default_rng(0)
    features = generator.normal(3, [1, 10, 0.1], (60, 3)).astype(np.float32)
    labels = (features @ [1, 0.1, 10]).argsort().argsort() // 20
    return features, labels


def test_logistic_regression_is_that_of_scikit_learn_on_standardised_features(numbers):
    features, labels = numbers
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    for model, strength in candidates(features, Target(labels, 3, weights)):
        oracle = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight=weights, max_iter=200))
        oracle.fit(features.astype(np.float64), labels)
        np.testing.assert_allclose(model(features), oracle.decision_function(features), atol=2e-2)
        assert (model.predictions(features) == oracle.predict(features)).mean() > 0.98


def test_support_vector_machines_are_those_of_scikit_learn(numbers):
    features, labels = sparse.csr_matrix(numbers[0]), numbers[1] > 0
    for model, strength in candidates(features, Target(labels.astype(int), 2)):
        oracle = LinearSVC(C=strength, random_state=0).fit(features, labels)
        np.testing.assert_allclose(model(features)[:, 1], oracle.decision_function(features), rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(model.predictions(features), oracle.predict(features))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_several_classes_a_row_are_logistic_regressions_of_scikit_learn(numbers, kind):
    features = numbers[0]
    labels = np.stack([numbers[1] == 0, numbers[1] > 0, np.zeros(60), numbers[1] == 1], 1).astype(int)
    weights = {0: 2.0, 1: 1.0, 2: 1.0, 3: 1.0}
    given = features if kind is np.asarray else features / [3, 10, 1]
    for model, strength in candidates(kind(given), Target(labels, 4, weights)):
        found = model.predictions(kind(given))
        assert found.shape == (60, 4)
        assert (found[:, 2] < -10).all()  # no row has it
        for place in (0, 1, 3):
            own = {"C": strength, "class_weight": {0: 1.0, 1: weights[place]}, "max_iter": 200, "random_state": 0}
            oracle = (
                make_pipeline(StandardScaler(), LogisticRegression(**own))
                if kind is np.asarray
                else LogisticRegression(solver="liblinear", **own)
            )
            oracle.fit(given.astype(np.float64), labels[:, place])
            expected = oracle.decision_function(given)
            np.testing.assert_allclose(found[:, place], expected, atol=5e-2 * max(1, abs(expected).max()))


def test_the_constant_answer_for_several_classes_has_their_shares_and_a_threshold(encoder, tmp_path):
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    made = train_alternative(
        "majority", Texts(["a"] * 4), Target(labels, 2), encoder, Texts(["b"]), lambda said: 0.0, lambda outputs: -2.0
    )
    folder = tmp_path / "majority"
    folder.mkdir()
    made.save(folder)
    for alternative in (made, open_alternative(folder)):
        np.testing.assert_allclose(alternative(Texts(["x"])), [[np.log(3) + 2, np.log(1 / 3) + 2]], rtol=1e-5)


def test_scores_are_predicted_by_ridge_regression(numbers):
    features, labels = numbers[0], numbers[1] * 1.5
    for model, strength in candidates(features, Target(labels, 0)):
        oracle = make_pipeline(StandardScaler(), Ridge(alpha=1 / strength)).fit(features.astype(np.float64), labels)
        np.testing.assert_allclose(model.predictions(features), oracle.predict(features), atol=1e-3)


def test_the_strength_is_the_best_on_the_held_out_part_and_the_weakest_of_equals(numbers):
    features, labels = numbers
    tried = []

    def score(model):
        tried.append(model)
        return [0.1, 0.7, 0.7, 0.3, 0.0][len(tried) - 1]

    model, strength = fit_linear(features, Target(labels, 3), score)
    assert strength == 0.01
    assert model is tried[1]


def test_a_class_without_rows_is_never_predicted(numbers):
    features, labels = numbers
    model, _ = fit_linear(features, Target(labels * 2, 5), lambda _: 0.0)
    assert model(features).shape == (60, 5)
    assert set(model.predictions(features)) <= {0, 2, 4}


def test_the_constant_answer_is_the_most_frequent_class_or_the_mean(encoder):
    for labels, classes, expected in ((LABELS, 2, 1), (LABELS * 0, 2, 0), (LABELS * 4.0, 0, LABELS.mean() * 4)):
        target = Target(labels, classes)
        made = train_alternative("majority", TEXTS, target, encoder, TEXTS, accuracy(labels))
        assert made(TEXTS) == pytest.approx([expected] * len(LABELS))
        assert (made.rows, made.strength) == (len(LABELS), None)


def test_a_single_class_is_always_predicted(encoder):
    made = train_alternative("tfidf", TEXTS, Target(LABELS * 0 + 1, 2), encoder, TEXTS, accuracy(LABELS))
    assert set(made(TEXTS)) == {1}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_an_alternative_that_is_opened_again_answers_the_same(name, encoder, tmp_path):
    pairs = Texts(TEXTS.first, [*reversed(TEXTS.first)])
    for number, (texts, target) in enumerate([(TEXTS, Target(LABELS, 2)), (pairs, Target(LABELS * 1.5, 0))]):
        made = train_alternative(name, texts, target, encoder, texts, accuracy(LABELS))
        folder = tmp_path / str(number) / name
        folder.mkdir(parents=True)
        made.save(folder)
        opened = open_alternative(folder)
        assert (opened.rows, opened.strength) == (made.rows, made.strength)
        np.testing.assert_array_equal(opened(texts), made(texts))
        np.testing.assert_array_equal(opened(Texts(*([part[0]] for part in texts if part))), made(texts)[:1])


def test_a_task_of_words_is_solved_by_words(encoder):
    made = train_alternative("tfidf", TEXTS, Target(LABELS, 2), encoder, TEXTS, accuracy(LABELS))
    assert made(Texts(["such a fine day", "a dull day"])).tolist() == [1, 0]


def test_texts_without_any_term_are_rows(encoder):
    found = Tfidf.learn(Texts(["", "  "]), encoder)
    assert found(Texts(["a", ""])).shape == (2, 0)


def test_embeddings_are_the_mean_over_the_tokens(encoder):
    model, tokenizer = AutoModel.from_pretrained(encoder.path), AutoTokenizer.from_pretrained(encoder.path)
    table_of = model.get_input_embeddings().weight.detach()
    found = Embeddings.learn(TEXTS, encoder)(Texts(["fine dull fine", ""]))
    ids = tokenizer("fine dull fine", add_special_tokens=False)["input_ids"]
    np.testing.assert_allclose(found[0], table_of[ids].mean(0), atol=1e-6)
    assert not found[1].any()


def test_the_frozen_encoder_gives_the_mean_of_its_states_whatever_the_batch(encoder):
    model, tokenizer = AutoModel.from_pretrained(encoder.path).eval(), AutoTokenizer.from_pretrained(encoder.path)
    texts = ["fine", "a dull and long film " * 9, ""]
    found = Frozen.learn(TEXTS, encoder)(Texts(texts))
    for text, row in zip(texts, found, strict=True):
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=16)
        with torch.no_grad():
            np.testing.assert_allclose(row, model(**inputs).last_hidden_state[0].mean(0), atol=1e-5)


def test_a_given_classifier_is_frozen_whatever_its_labels_are(encoder, tmp_path):
    with torch.random.fork_rng():
        model = load_classifier(encoder.path, label_names=["no", "yes", "maybe"])
    save_classifier(model, tmp_path / "model")
    given = Encoder(str(tmp_path / "model"), 16)
    for kind in (Frozen, Embeddings):
        found, expected = (kind.learn(TEXTS, one)(Texts(["fine", "a dull film"])) for one in (given, encoder))
        np.testing.assert_array_equal(found, expected)


def test_pairs_have_the_features_of_both_texts(encoder):
    for kind in (Embeddings, Tfidf):
        of = kind.learn(TEXTS, encoder)
        first, second, pair = (of(texts) for texts in (Texts(GOOD[:3]), Texts(BAD), Texts(GOOD[:3], BAD)))
        if sparse.issparse(pair):
            expected = sparse.hstack([first, second]).toarray()
            pair = pair.toarray()
        else:
            expected = np.concatenate([first, second, abs(first - second), first * second], 1)
        np.testing.assert_array_equal(pair, expected)


def test_without_scikit_learn_one_line_says_what_to_install(monkeypatch):
    assert table.why_left_out() == ""
    monkeypatch.setattr(table, "find_spec", lambda _: None)
    assert "pip install '.[baselines]'" in table.why_left_out()


@pytest.mark.parametrize(("name", "without"), [("tfidf", "torch"), ("embeddings", "torch"), ("embeddings", "sklearn")])
def test_opening_imports_only_what_is_needed(name, without, encoder, tmp_path):
    made = train_alternative(name, TEXTS, Target(LABELS, 2), encoder, TEXTS, accuracy(LABELS))
    (tmp_path / name).mkdir()
    made.save(tmp_path / name)
    code = (
        "import cli, sys; from pathlib import Path; from pipeline.alternatives.table import open_alternative, Texts; "
        f"print(open_alternative(Path({str(tmp_path / name)!r}))(Texts(['fine'])), {without!r} in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert said.stdout == "[1] False\n"


def test_a_linear_model_is_its_formula(tmp_path):
    model = Linear(np.array([[1, 0], [0, 2]], np.float32), np.array([0, 1], np.float32))
    model.save(tmp_path)
    assert Linear.load(tmp_path)(np.array([[3, 4]], np.float32)).tolist() == [[3, 9]]
