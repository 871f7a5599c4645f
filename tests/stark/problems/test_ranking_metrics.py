"""Metrics of rankings, compared with scikit-learn, torchmetrics and all orders of rows with equal scores."""

import itertools

import pytest
import torch
from sklearn.metrics import ndcg_score
from torchmetrics.functional.retrieval import retrieval_reciprocal_rank

from stark.problems.ranking_metrics import CUTOFF, METRICS, GroupMean, build_ranking_metrics, ranking_score_function


def rows(number=300, queries=20, *, seed=0, ties=False):
    generator = torch.Generator().manual_seed(seed)
    relevance = torch.randint(0, 4, (number,), generator=generator) * (torch.rand(number, generator=generator) < 0.3)
    query = torch.randint(queries, (number,), generator=generator)
    relevance[query == 3] = 0
    scores = torch.randn(number, generator=generator)
    return scores.round() if ties else scores, torch.stack([relevance, query], dim=-1).float()


def by_query(scores, labels, formula):
    """The mean of a formula over the queries that have a relevant row."""
    found = []
    for query in labels[:, 1].unique():
        own = labels[:, 1] == query
        if (labels[own, 0] > 0).any():
            found.append(float(formula(scores[own], labels[own, 0])))
    return sum(found) / len(found)


@pytest.mark.parametrize("ties", [False, True])
def test_ndcg_is_that_of_scikit_learn(ties):
    scores, labels = rows(ties=ties)
    expected = by_query(scores, labels, lambda s, y: ndcg_score(y[None].numpy(), s[None].numpy(), k=CUTOFF))
    assert ranking_score_function(["ndcg"])(scores, labels) == pytest.approx(expected)


def test_mrr_is_that_of_torchmetrics():
    scores, labels = rows()
    expected = by_query(scores, labels, lambda s, y: retrieval_reciprocal_rank(s.exp(), y > 0, top_k=CUTOFF))
    assert ranking_score_function(["mrr"])(scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("relevance", [[1, 0, 0, 0, 0], [2, 1, 0, 0, 0], [0, 1, 1, 2, 0], [1, 1, 1, 1, 1]])
@pytest.mark.parametrize("scores", [[0, 0, 0, 0, 0], [2, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
def test_equal_scores_give_the_mean_over_their_orders(name, relevance, scores):
    score = ranking_score_function([name])
    labels = torch.tensor([[float(value), 0.0] for value in relevance])
    orders = [
        score(torch.tensor(scores) + torch.tensor(order) / 10, labels) for order in itertools.permutations(range(5))
    ]
    assert score(torch.tensor(scores), labels) == pytest.approx(sum(orders) / len(orders))


def test_a_row_behind_the_cutoff_counts_for_nothing():
    labels = torch.zeros(11, 2)
    labels[10, 0] = 1
    for place, expected in ((10, 1 / 10), (11, 0.0)):
        scores = -torch.arange(11.0)
        scores[10] = -place + 1.5
        assert ranking_score_function(["mrr"])(scores, labels) == pytest.approx(expected)


def test_batches_and_the_order_of_rows_change_nothing():
    scores, labels = rows(ties=True)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(1))
    metrics = build_ranking_metrics(METRICS)
    for batch in order.split(7):
        metrics.update(scores[batch], labels[batch])
    found = {name: float(value) for name, value in metrics.compute().items()}
    for name in METRICS:
        assert found[name] == pytest.approx(ranking_score_function([name])(scores, labels))
    assert ranking_score_function(METRICS)(scores, labels) == pytest.approx(sum(found.values()) / len(METRICS))


def test_rows_that_have_no_value():
    scores, labels = rows()
    score = ranking_score_function(METRICS)
    assert score(scores.where(scores < 1, torch.nan), labels) == 0
    assert score(scores, labels * torch.tensor([0.0, 1.0])) == 0
    having = labels[labels[:, 0] > 0, 1].unique()
    assert 3 not in having
    assert len(score.of_groups(scores, labels)) == len(having)
    assert isinstance(score, GroupMean)
    for build in (build_ranking_metrics, ranking_score_function):
        with pytest.raises(ValueError, match="unknown metric 'map': choose out of ndcg, mrr"):
            build(["map"])
