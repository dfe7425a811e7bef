import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from eigengate.contract import Policy
from eigengate.errors import PolicyError
from eigengate.gate import condition_lines, load_policy, policy_advice
from tests.support.policies import TODAY, policy, regression, threshold

WAIVER = {"condition": "c", "reason": "r", "owner": "o", "expires": TODAY}
GOOD = """\
schema = 1

[[condition]]
id = "sharp"
metric = "hessian.lambda_max"
op = "<="
threshold = 8          # an integer will do
level = "warn"

[[condition]]
id = "worse"
metric = "index.gmsi"
baseline = { max_absolute_increase = 0.3, beyond_noise = 2 }

[[waiver]]
condition = "sharp"
reason = "known"
owner = "ada"
expires = 2027-01-31
"""


def mistakes(source) -> list[dict]:
    with pytest.raises(PolicyError, match=r".") as caught:
        load_policy(source)
    return caught.value.context["mistakes"]


def test_toml_json_yaml_and_a_table_say_the_same(tmp_path):
    expected = load_policy(GOOD.encode())
    values = json.loads(expected.model_dump_json(by_alias=True))
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    assert [c.id for c in expected.condition] == ["sharp", "worse"]
    for source in (path, str(path), json.dumps(values).encode(), yaml.safe_dump(values).encode(), values):
        assert load_policy(source) == expected


def test_yaml_keeps_the_words_and_numbers_of_json():
    text = b"condition:\n- {id: a, metric: hessian.trace, op: '<=', threshold: 1e-3, level: off}\n"
    (condition,) = load_policy(text).condition
    assert (condition.level, condition.threshold) == ("off", 1e-3)


def test_yaml_aliases_are_refused():
    bomb = b"a: &a [x, x]\nb: &b [*a, *a]\ncondition: [*b, *b]\n"
    with pytest.raises(PolicyError, match="not valid TOML"):
        load_policy(bomb)


@pytest.mark.parametrize(
    ("line", "replacement", "at", "message"),
    [
        (7, "treshold = 8", (7, 1), "unknown key 'treshold'; did you mean 'threshold'?"),
        (5, 'metric = "hessian.lamda_max"', (5, 1), "did you mean 'hessian.lambda_max'?"),
        (5, 'metric = "Nonsense"', (5, 1), "unknown metric 'Nonsense'"),
        (8, '  level = "fatal"', (8, 3), "should be 'error', 'warn', 'info' or 'off', got 'fatal'"),
        (13, "baseline = { max_relative_rise = 1.0 }", (13, 14), "unknown key 'max_relative_rise'"),
        (13, "baseline = { beyond_noise = 1.0 }", (13, 1), "a baseline rule limits either increases or decreases"),
        (6, "", (3, 1), "op and threshold go together"),
        (11, 'id = "sharp"', (11, 1), "a condition 'sharp' was given before"),
        (4, "", (3, 1), "the key 'id' is missing"),
        (1, "schema = 2", (1, 1), "should be 1, got 2"),
        (1, 'extends = "builtin:recomended"', (1, 1), "did you mean 'builtin:recommended'?"),
        (1, "shema = 1", (1, 1), "unknown key 'shema'; did you mean 'schema'?"),
        (19, "expires = 2027", (19, 1), "a day such as 2027-01-31 is needed, got 2027"),
        (7, "threshold = nan", (7, 1), "finite number"),
        (8, 'reduce = "p95"\nsampling = true', (3, 1), "sampling intervals are known for the mean only"),
        (1, '[baseline]\nref = "main"', (2, 1), "should match pattern"),
    ],
)  # fmt: skip
def test_a_mistake_in_toml_is_told_with_line_and_column(line, replacement, at, message):
    lines = GOOD.splitlines()
    lines[line - 1] = replacement
    (found,) = mistakes("\n".join(lines).encode())
    assert message in found["message"]
    assert (found["line"], found["column"]) == at


def test_a_mistake_in_json_and_yaml_is_told_with_its_line():
    values = json.loads(load_policy(GOOD.encode()).model_dump_json(by_alias=True, exclude_defaults=True))
    values["condition"][1]["metric"] = "index.gsmi"
    text = json.dumps(values, indent="\t")
    (found,) = mistakes(text.encode())
    assert found["line"] == next(k for k, row in enumerate(text.splitlines(), 1) if "gsmi" in row)
    text = yaml.safe_dump(values)
    (found,) = mistakes(text.encode())
    assert found["line"] == next(k for k, row in enumerate(text.splitlines(), 1) if "gsmi" in row)


def test_the_first_mistake_is_the_message_and_all_are_listed(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text(GOOD.replace("threshold", "treshold").replace("index.gmsi", "index.gsmi"))
    with pytest.raises(PolicyError, match=r"gate\.toml:7:1: condition\[0\]\.treshold: unknown key .* \(and 1 more mis"):
        load_policy(path)
    assert [m["line"] for m in mistakes(path)] == [7, 12]


def test_keys_inside_a_multi_line_text_are_not_mistaken_for_keys():
    text = GOOD.replace('reason = "known"', 'reason = """\nexpires = "never"\n"""').replace("2027-01-31", "3")
    (found,) = mistakes(text.encode())
    assert text.splitlines()[found["line"] - 1] == "expires = 3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"schema = \n", "line 1, column 10: not valid TOML"),
        (b'{"schema": 1,}', "line 1, column 14: not valid JSON"),
        (b'{"schema": 1, "schema": 1}', "given twice"),
        (b'{"threshold": NaN}', "NaN is no JSON number"),
        (b"\xff\xfe", "not UTF-8"),
        (b"- just\n- a list\n", "not valid TOML"),
        (b"#" * 300_000, "300000 bytes"),
        (b"{" * 50_000, "nested too deeply"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"a: " + b"[" * 3000, "nested too deeply"),
        (b"a: " + b"{b: " * 3000, "nested too deeply"),
        (b"- " * 3000 + b"a", "nested too deeply"),
        (b"a" + b".a" * 30_000 + b" = 1", "line 1, column 1: not valid TOML: a line with more than 100 dots"),
        (b"schema = 1\n[" + b"a." * 30_000 + b"a]", "line 2, column 1: not valid TOML: a line with more than"),
        (b"a = " + b"1" * 5000, "not usable TOML"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not usable JSON"),
    ],
)
def test_what_is_no_policy_is_refused(content, message):
    with pytest.raises(PolicyError, match=message):
        load_policy(content)


@pytest.mark.parametrize("source", ["no/such/file.toml", "builtin:lenient"])
def test_a_source_that_is_not_there_says_what_there_is(source):
    with pytest.raises(PolicyError, match=source) as caught:
        load_policy(source)
    assert "builtin:" in str(caught.value.hint) + str(caught.value)


@pytest.mark.parametrize("values", [{"condition": 3}, {"condition": [3]}, {"condition": {"id": "x"}}, {"waiver": "x"}])
def test_tables_of_the_wrong_kind_are_mistakes(values):
    assert mistakes(values)[0]["line"] is None
    assert mistakes({**values, "extends": "builtin:strict"})


def test_extending_puts_the_preset_first_and_stands_alone_afterwards():
    base, own = load_policy("builtin:recommended"), policy(threshold(id="own"), extends="builtin:recommended")
    assert own.condition[:-1] == base.condition
    assert own.condition[-1].id == "own"
    assert own.extends is None
    assert own.baseline == base.baseline


def test_the_id_of_a_preset_condition_refines_or_replaces_it():
    base = load_policy("builtin:recommended")
    refined = policy({"id": "forward-gain", "level": "off"}, extends="builtin:recommended")
    replaced = policy(threshold(id="forward-gain"), extends="builtin:recommended")
    place = [c.id for c in base.condition].index("forward-gain")
    assert refined.condition[place] == base.condition[place].model_copy(update={"level": "off"})
    assert replaced.condition[place].metric == "hessian.lambda_max"
    assert replaced.condition[place].advice is None
    assert len(refined.condition) == len(replaced.condition) == len(base.condition)


def test_own_settings_win_over_those_of_the_preset():
    own = policy(extends="builtin:observe", mode="enforce", baseline={"ref": "file:b.json"})
    assert (own.mode, own.baseline.ref, own.baseline.if_none) == ("enforce", "file:b.json", "skip")


def test_a_mistake_in_a_refinement_points_to_what_was_written():
    text = b'extends = "builtin:strict"\n\n[[condition]]\nid = "label-noise"\nlevel = "loud"\n'
    (found,) = mistakes(text)
    assert (found["line"], found["pointer"]) == (5, "condition[0].level")


def test_the_lines_of_conditions_are_known():
    assert condition_lines(GOOD.encode()) == {"sharp": 3, "worse": 10}


def test_no_more_than_a_hundred_mistakes_are_looked_into():
    assert len(mistakes({"condition": [threshold(id=f"c{i}", metric=f"hessian.m{i}") for i in range(150)]})) == 100


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_policy_or_a_policy_error(content):
    with suppress(PolicyError):
        assert isinstance(load_policy(content), Policy)


@pytest.mark.parametrize(
    ("conditions", "fields", "note"),
    [
        ([threshold(level="info")], {}, "nothing is demanded"),
        ([threshold(">=", 1.0)], {}, "forbids the harmless direction"),
        ([regression({"max_absolute_decrease": 1.0})], {}, "forbids the harmless direction"),
        ([regression({"max_relative_increase": 0.1}, metric="index.gmsi")], {}, "is a logarithm"),
        ([regression({"max_absolute_increase": 0.1})], {}, "without --baseline these conditions fail: c"),
        ([threshold()], {"waiver": [WAIVER | {"condition": "x"}]}, "no such condition"),
        ([threshold()], {"waiver": [WAIVER | {"expires": TODAY.replace(year=2025)}]}, "expired on"),
    ],
)  # fmt: skip
def test_what_is_allowed_but_odd_is_said(conditions, fields, note):
    assert any(note in said for said in policy_advice(policy(*conditions, **fields), TODAY))


def test_an_ordinary_policy_gets_no_advice():
    assert policy_advice(policy(threshold()), TODAY) == []
