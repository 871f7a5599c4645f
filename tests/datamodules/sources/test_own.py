"""Rows of a user's own files."""

import gzip
import json

import pytest
import torch

from datamodules import GLUEDataModule, open_task
from datamodules.sources.opening import open_source
from datamodules.sources.splitting import divide
from tests.datamodules.tasks.test_description import GOOD
from tests.own import write_own


@pytest.mark.parametrize(("task", "ending"), [("sst2", "csv"), ("mrpc", "tsv"), ("stsb", "jsonl")])
def test_batches_are_those_of_glue(task, ending, tiny_task, tmp_path):
    path = write_own(task, tiny_task, tmp_path, ending)
    glue = tiny_task.data(task)
    own = GLUEDataModule(
        str(path), None, str(tiny_task.encoder), batch_size=16, cache_dir=str(tmp_path / "cache"), seed=1
    )
    assert own.metrics == (["accuracy"] if task == "sst2" else glue.metrics)
    assert own.label_names == (["0", "1"] if task == "mrpc" else glue.label_names)
    for stage, name in (
        ("fit", "train_dataloader"),
        ("validate", "val_dataloader"),
        ("test", "test_dataloader"),
        ("predict", "predict_dataloader"),
    ):
        pairs = []
        for data in (glue, own):
            data.setup(stage)
            pairs.append(list(getattr(data, name)()))
        assert len(pairs[0]) == len(pairs[1]) > 0
        for first, second in zip(*pairs, strict=True):
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


def test_coded_labels_have_names(tmp_path):
    (tmp_path / "a.csv").write_text("body,stars\nx,5\ny,01\nz,5\n")
    path, description = tmp_path / "mine.yaml", "{{train: a.csv, dev: a.csv, text: body, label: stars, labels: {}}}"
    path.write_text(description.format("{01: bad, 5: good}"))
    task = open_task(str(path))
    assert task.label_names == ("bad", "good")
    source = open_source(task, None)
    assert source.rows("train").labels == [1, 0, 1]
    path.write_text(description.format("{5: bad, 01: good}"))
    other = open_source(open_task(str(path)), None)
    assert other.rows("train").labels == [0, 1, 0]
    assert other.digest("train") != source.digest("train")
    path.write_text(description.format("{5: bad, 1: good}"))
    with pytest.raises(ValueError, match="label '01' is not one of 5, 1"):
        open_source(open_task(str(path)), None).rows("train")


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_empty_label_of_train_is_none(ending, tmp_path, caplog):
    rows = [("a", "good"), ("b", ""), ("c", "bad"), ("d", None), ("e", " ")]
    if ending == "csv":
        text = "body,stars\n" + "".join(f"{body},{stars or ''}\n" for body, stars in rows)
    else:
        text = "".join(json.dumps({"body": body, "stars": stars}) + "\n" for body, stars in rows)
    (tmp_path / f"a.{ending}").write_text(text)
    path = tmp_path / "mine.yaml"
    path.write_text(f"{{train: a.{ending}, dev: a.{ending}, text: body, label: stars, labels: [bad, good]}}")
    source = open_source(open_task(str(path)), None)
    assert source.rows("train").labels == [1, -100, 0, -100, -100]
    assert caplog.messages == [f"{tmp_path}/a.{ending}: 3 of 5 rows have no label: only distillation uses them"]
    with pytest.raises(ValueError, match=r"line \d: "):
        source.rows("dev")
    (tmp_path / f"a.{ending}").write_text(text.replace("good", "").replace("bad", ""))
    with pytest.raises(ValueError, match="no row has a label in its column 'stars'"):
        open_source(open_task(str(path)), None).rows("train")


def test_what_columns_mean_is_part_of_the_content(tiny_task, tmp_path):
    path = write_own("sst2", tiny_task, tmp_path, "csv")
    first = open_source(open_task(str(path)), None).digest("train")
    assert open_source(open_task(str(path)), None).digest("train") == first
    assert open_source(open_task(str(path)), None).rows("train").digest == first
    text = path.read_text()
    for changed in (text.replace("[negative, positive]", "[positive, negative]"), text + "metrics: [f1]\n"):
        path.write_text(changed)
        assert open_source(open_task(str(path)), None).digest("train") != first
    # The files' folder is not part of the content.
    path.write_text(text)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.csv").rename(moved / f"{split}.csv")
    assert open_source(open_task(str(path), str(moved)), None).digest("train") == first
    with pytest.raises(FileNotFoundError, match=r"train\.csv: no such file"):
        open_source(open_task(str(path)), None).digest("train")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["body,stars", "x,best"], r"a\.csv, line 2: label 'best' is not one of bad, good"),
        (
            ["body,stars", "x,'good'"],
            r"""label "'good'" is not one of bad, good, because of the characters around it: write""",
        ),
        (["body,star", "x,good"], r"a\.csv, line 1: no column 'stars', only 'body', 'star'"),
        (["text,stars", "x,good"], r"a\.csv, line 1: no column 'body', only 'text', 'stars'"),
        (["body;stars", "x;good"], r"a\.csv, line 1: .* \(line 1 has no ',' but 1 ';': set the delimiter\)"),
        (["body,stars,body", "x,good,y"], r"a\.csv, line 1: the column 'body' is there more than once"),
        (["body,stars", 'x,"good', "y,bad"], r"a\.csv, line 2: a quotation mark that is opened here is never closed"),
        (["body,stars", "x,good", "y"], r"a\.csv, line 3: 1 fields, the first line has 2"),
        (["body,stars"], r"a\.csv: no rows in it \(the train split of task 'mine'\)"),
        ([], r"a\.csv: there is nothing in it"),
    ],
)
def test_bad_rows_are_named(lines, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps(GOOD))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")


def test_labels_of_json_may_be_numbers(tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, "train": "a.jsonl", "labels": [0, 1]}))
    (tmp_path / "a.jsonl").write_text('{"body": "x", "stars": 1}\n{"body": "y", "stars": 0}\n')
    assert open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train").labels == [1, 0]
    (tmp_path / "a.jsonl").write_text('{"body": null, "stars": 1}\n')
    with pytest.raises(ValueError, match="line 1: body is null, not a text"):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, "train": "a.jsonl", "labels": ["points"]}))
    (tmp_path / "a.jsonl").write_text('{"body": "x", "stars": 1.5}\n{"body": "y", "stars": "NaN"}\n')
    with pytest.raises(ValueError, match="line 2: score 'NaN' is not a number"):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")


def rows_of(tmp_path, content, name="a.csv", **change):
    (tmp_path / "mine.yaml").write_text(
        "".join(f"{key}: {value}\n" for key, value in ({**GOOD, "train": name, "labels": "[no, yes]"} | change).items())
    )
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    source = open_source(open_task(str(tmp_path / "mine.yaml")), None)
    rows = source.rows("train")
    assert rows.digest == source.digest("train")  # the digest is that of the parsed file
    return rows


@pytest.mark.parametrize(
    ("labels", "first", "second"),
    [
        *(("[no, yes]", "no", "yes"), ("[NO, SE]", "NO", "SE"), ("[01, 02]", "01", "02")),
        *(
            ("[1.10, 1.20]", "1.10", "1.20"),
            ("[true, false]", "true", "false"),
            ("[2020-01-01, 0x1F]", "2020-01-01", "0x1F"),
        ),
        *(("['null', \"~\"]", "null", "~"), ("[None, nan]", "None", "nan"), ("[1e3, 1_000]", "1e3", "1_000")),
    ],
)
def test_words_are_read_as_they_are_written(labels, first, second, tmp_path):
    rows = rows_of(tmp_path, f"body,stars\nx,{second}\ny,{first}\n", labels=labels)
    assert rows.labels == [1, 0]
    assert open_task(str(tmp_path / "mine.yaml")).label_names == (first, second)
    # Names of columns are read in the same way.
    assert rows_of(tmp_path, f"no,1\nx,{first}\n", labels=labels, text="no", label="1").labels == [0]


def test_labels_of_json_are_what_is_written(tmp_path):
    for labels, values in (("[true, false]", ("true", "false")), ("[1.10, 1]", ("1.10", "1"))):
        lines = "".join(f'{{"body": "x", "stars": {value}}}\n' for value in values)
        assert rows_of(tmp_path, lines, "a.jsonl", labels=labels).labels == [0, 1]
    for value in ('["no"]', "{}"):
        with pytest.raises(ValueError, match=r"a\.jsonl, line 2: stars is .*, not a label"):
            rows_of(
                tmp_path,
                f'{{"body": "x", "stars": "no"}}\n{{"body": "x", "stars": {value}}}',
                "a.jsonl",
                labels="[no, None]",
            )
    with pytest.raises(ValueError, match="line 1: body has half a surrogate pair"):
        rows_of(tmp_path, r'{"body": "x\ud83d", "stars": "no"}', "a.jsonl")
    with pytest.raises(ValueError, match="line 1: no column 'stars', only 'body'"):
        rows_of(tmp_path, '{"body": "x"}', "a.jsonl")


@pytest.mark.parametrize("score", ["1e39", "-4e38", "1_000", "inf", "five"])
def test_scores_are_numbers_that_can_be_learned(score, tmp_path):
    with pytest.raises(
        ValueError, match=rf"a\.csv, line 3: score '{score}' is not a number, or not one that a float32"
    ):
        rows_of(tmp_path, f"body,stars\nx,1e38\ny,{score}\n", labels="[points]")


def test_empty_texts_are_rows_and_told(tmp_path, caplog):
    rows = rows_of(tmp_path, "body,stars\nx,no\n,yes\n   ,no\n")
    assert rows.text_a == ["x", "", "   "]
    assert caplog.messages == [f"{tmp_path}/a.csv: 2 rows have an empty text (lines 3, 4) and are used as they are"]


def test_how_files_are_written(tmp_path, caplog):
    def read(*args, **change):
        return rows_of(tmp_path, *args, **change)[:4]  # without digest and groups

    expected = (["ca“fé", '"so'], None, [1, 0], [0, 1])
    table = 'body;x;x;stars\nca“fé;;;yes\n"so;;;no\n'
    keys = {"delimiter": '";"', "quoting": "none"}
    assert read(table, **keys) == expected
    assert read(table.encode("cp1252"), encoding="cp1252", **keys) == expected
    assert read(gzip.compress(table.encode()), "a.csv.gz", **keys) == expected
    assert read(table.replace(";", "\t").encode("utf-16"), "a.tsv") == expected
    assert read(table.replace(";", "\t"), "a.txt", dev="b.txt", delimiter=r'"\t"') == expected
    assert read(table.split("\n", 1)[1], header="false", text=0, label=3, **keys) == expected
    assert caplog.messages == [f"{tmp_path}/a.tsv: read as UTF-16 because of its byte order mark"]
    # All of these keys are part of the content.
    digests = set()
    for more in ("", "delimiter: ';'\n", "quoting: none\n", "encoding: latin-1\n", "header: false\n"):
        (tmp_path / "mine.yaml").write_text("train: a.csv\ndev: b.csv\ntext: 0\nlabel: 3\nlabels: [no, yes]\n" + more)
        digests.add(open_source(open_task(str(tmp_path / "mine.yaml")), None).digest("train"))
    assert len(digests) == 5


def write_divided(folder, task):
    """Let dev and test be parts of train, and return the path of the description."""
    path = folder / f"own_{task}.yaml"
    keep = [line for line in path.read_text().splitlines(True) if not line.startswith(("dev:", "test:"))]
    path.write_text("".join(keep) + "split: {dev: 0.2, test: 30}\n")
    return path


@pytest.mark.parametrize(("task", "ending"), [("sst2", "csv"), ("mrpc", "jsonl"), ("stsb", "tsv")])
def test_parts_of_one_file_are_like_files_of_their_own(task, ending, tiny_task, tmp_path):
    """All batches are those of three files with the rows of the parts."""
    whole = open_source(open_task(str(write_own(task, tiny_task, tmp_path, ending))), None).rows("train")
    path = write_divided(tmp_path, task)
    lines = (tmp_path / f"train.{ending}").read_text().splitlines(True)
    head = lines[:0] if ending == "jsonl" else lines[:1]
    parts = divide(whole, open_task(str(path)))
    (tmp_path / "files").mkdir()
    for part, rows in parts.items():
        chosen = [lines[len(head) + row] for row in rows]
        (tmp_path / f"files/{part}.{ending}").write_text("".join([*head, *chosen]))
    named = "".join(f"{part}: {part}.{ending}\n" for part in ("train", "dev", "test"))
    kept = [line for line in path.read_text().splitlines(True) if not line.startswith(("train:", "split:"))]
    (tmp_path / "files" / path.name).write_text(named + "".join(kept))
    modules = [
        GLUEDataModule(
            str(description),
            None,
            str(tiny_task.encoder),
            batch_size=16,
            cache_dir=str(tmp_path / "cache"),
            seed=1,
            cut_seed=2,
            labelled_limit=40,
            use_unlabelled=True,
        )
        for description in (path, tmp_path / "files" / path.name)
    ]
    assert modules[0].task.splits == modules[1].task.splits == ("train", "dev", "test")
    for stage, name in (
        ("fit", "train_dataloader"),
        ("validate", "val_dataloader"),
        ("test", "test_dataloader"),
        ("predict", "predict_dataloader"),
    ):
        pairs = []
        for data in modules:
            data.setup(stage)
            pairs.append(list(getattr(data, name)()))
        assert len(pairs[0]) == len(pairs[1]) > 0
        for first, second in zip(*pairs, strict=True):
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


def divided(folder, rows, split="{dev: 0.25, test: 0.25}", labels="labels: [no, yes]\n", more=""):
    (folder / "mine.yaml").write_text(f"train: a.csv\ntext: body\nlabel: stars\nsplit: {split}\n{labels}{more}")
    (folder / "a.csv").write_text("body,stars\n" + "".join(f"{body},{stars}\n" for body, stars in rows))
    return open_source(open_task(str(folder / "mine.yaml")), None)


def test_a_division_is_told_once(tmp_path, caplog):
    rows = [(f"text {n}", ["no", "yes"][n % 2]) for n in range(40)]
    source = divided(tmp_path, [*rows, ("text", ""), ("", "no")])
    found = {split: source.rows(split) for split in ("train", "dev", "test")}
    assert caplog.messages == [
        f"{tmp_path}/a.csv: 1 of 42 rows have no label: only distillation uses them",
        f"{tmp_path}/a.csv: 1 row has an empty text (line 43) and is used as it is",
        "mine.yaml: a.csv split into 22 rows of train, 10 of dev, 10 of test",
    ]
    assert sorted(text for rows in found.values() for text in rows.text_a) == sorted(
        [*(text for text, _ in rows), "text", ""]
    )
    assert -100 in found["train"].labels
    assert sorted(found["dev"].labels) == [0] * 5 + [1] * 5
    assert found["test"].labels is None
    assert all(rows.idx == list(range(len(rows.text_a))) for rows in found.values())
    assert all(rows.digest == source.digest(split) for split, rows in found.items())
    assert len({rows.digest for rows in found.values()}) == 3
    with pytest.raises(FileNotFoundError, match="task 'mine' has no test split, only train, dev"):
        divided(tmp_path, rows, "{dev: 0.25}").rows("test")


def test_sizes_are_part_of_the_content(tmp_path):
    rows = [(f"text {n}", ["no", "yes"][n % 2]) for n in range(40)]
    splits = ("{dev: 0.25}", "{dev: 10}", "{dev: 0.25, test: 0.1}")
    digests = {
        (split, name): divided(tmp_path, rows, split).digest(name) for split in splits for name in ("train", "dev")
    }
    assert len(set(digests.values())) == len(digests)
    # The order of the parts, and the way in which a number is written, are not.
    assert divided(tmp_path, rows, "{test: 0.10, dev: .25}").digest("dev") == digests[splits[2], "dev"]


def test_a_file_may_be_named_besides_a_part(tmp_path):
    rows = [(f"text {n}", ["no", "yes"][n % 2]) for n in range(40)]
    (tmp_path / "t.csv").write_text("body\nx\ny\n")
    source = divided(tmp_path, rows, "{dev: 0.25}", more="test: t.csv\n")
    assert [len(source.rows(split).text_a) for split in ("train", "dev", "test")] == [30, 10, 2]


def test_classes_that_a_part_lacks_are_told(tmp_path, caplog):
    rows = [*((f"text {n}", "no") for n in range(20)), *((f"other {n}", "yes") for n in range(20)), ("rare", "maybe")]
    divided(tmp_path, rows, "{dev: 0.1, test: 0.1}", labels="").rows("test")
    lacking = [message for message in caplog.messages if "the split leaves" in message]
    assert lacking == [
        f"mine.yaml: the split leaves {part} no row of 'maybe', which a.csv has" for part in ("dev", "test")
    ]
    with pytest.raises(ValueError, match=r"a\.csv: split\.dev is 0\.01, which of 41 rows with a label makes no row"):
        divided(tmp_path, rows, "{dev: 0.01}", labels="").rows("dev")


def grouped(folder, rows):
    (folder / "mine.yaml").write_text(
        "train: a.csv\ntext: body\nlabel: stars\ngroup: author\nsplit: {dev: 0.2, test: 0.2}\nlabels: [no, yes]\n"
    )
    (folder / "a.csv").write_text("body,stars,author\n" + "".join(f"{','.join(cells)}\n" for cells in rows))
    return open_task(str(folder / "mine.yaml"))


def test_rows_of_a_group_stay_together_in_all_parts(tiny_task, tmp_path, caplog):
    rows = [(f"text {n}", ["no", "yes"][n % 2], f"author {n % 40}") for n in range(240)]
    rows += [("Text 5", "yes", "author 0"), ("alone", "no", ""), ("ALONE", "no", "")]
    task = grouped(tmp_path, rows)
    author = {body: name for body, _, name in rows}
    data = GLUEDataModule(str(task.description), None, str(tiny_task.encoder), cache_dir=str(tmp_path / "cache"))
    data.setup(None)
    parts = {name: data.labelled_texts(name) for name in ("train", "selection", "dev")}
    named = {name: [author[text] for text in part.text_a] for name, part in parts.items()}
    named["test"] = [author[text] for text in open_source(task, None).rows("test").text_a]
    assert sum(map(len, named.values())) == len(rows)
    homes = {}
    for name, authors in named.items():
        assert len(authors) >= 10
        for other in authors:
            # Those of authors 0 and 5 are connected by their texts.
            assert homes.setdefault("author 0" if other == "author 5" else other, name) == name
    told = "\n".join(caplog.messages)
    assert "a.csv: 2 of 243 rows have no author: each belongs only to rows with the same texts" in told
    assert "mine.yaml: groups of rows with the same author, none of which is divided: " in told
    assert "task 'mine': no group of rows is divided: train " in told
    assert "group" not in next(iter(data.train_dataloader()))
    whole = open_source(task, None).digest("train")
    (tmp_path / "mine.yaml").write_text((tmp_path / "mine.yaml").read_text().replace("group: author\n", ""))
    assert open_source(open_task(str(task.description)), None).digest("train") != whole


def ranking(folder, rows, more="", header="query,document,relevance"):
    (folder / "mine.yaml").write_text(
        f"train: a.csv\ndev: a.csv\ntext: query\ntext_pair: document\nlabel: relevance\nkind: ranking\n{more}"
    )
    (folder / "a.csv").write_text(header + "\n" + "".join(f"{row}\n" for row in rows))
    return open_task(str(folder / "mine.yaml"))


def test_a_ranking_has_relevances_and_the_numbers_of_queries(tmp_path):
    task = ranking(tmp_path, ["What,x,2", "why,x,0.5", "what ,y,0", "what,z,"])
    assert (task.problem.kind, task.label_names, task.metrics) == ("ranking", ("relevance",), ("ndcg", "mrr"))
    source = open_source(task, None)
    with pytest.raises(ValueError, match=r"a\.csv, line 5: score '' is not a number"):
        source.rows("dev")
    rows = source.rows("train")
    assert rows.labels[:3] == [[2.0, 0.0], [0.5, 1.0], [0.0, 0.0]]
    assert not task.problem.is_labelled(torch.tensor(rows.labels))[3]
    assert rows.groups[0] == rows.groups[2] == rows.groups[3] != rows.groups[1]
    task = ranking(tmp_path, ["1,A,x,2", "2,a,x,0"], "group: id\n", "id,query,document,relevance")
    rows = open_source(task, None).rows("train")
    assert rows.labels == [[2.0, 0.0], [0.0, 1.0]]
    assert rows.groups[0] == rows.groups[1]  # the texts are the same
    assert open_source(task, None).rows("dev").groups is None


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (["a,b,-1"], "", r"a\.csv, line 2: relevance is -1, and the least label of kind ranking is 0"),
        ([" ,b,1"], "", r"a\.csv, line 2: query is empty, so that the row belongs to no group: give it a value"),
        (["a,b,1"], "group: id\n", r"a\.csv, line 1: no column 'id', only 'query', 'document', 'relevance'"),
        (["a,b,1"], "labels: [no, yes]\n", r"mine\.yaml, line 6: kind ranking has one relevance per row, not 2 labels"),
        (["a,b,1"], "metrics: [map]\n", r"mine\.yaml, line 7: metric 'map' is not for 1 labels, choose out of ndcg"),
    ],
)
def test_a_ranking_that_is_wrong(rows, more, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        open_source(ranking(tmp_path, rows, more), None).rows("train")


def test_a_ranking_of_single_texts_needs_a_group(tmp_path):
    (tmp_path / "mine.yaml").write_text("train: a.csv\ndev: a.csv\ntext: body\nlabel: relevance\nkind: ranking\n")
    with pytest.raises(ValueError, match=r"mine\.yaml, line 5: kind ranking compares rows of a group: name the column"):
        open_task(str(tmp_path / "mine.yaml"))
