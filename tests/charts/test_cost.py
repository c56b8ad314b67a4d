"""The chart of a metric against a cost."""

from __future__ import annotations

import pytest

from maskdet.charts import cost_chart

NAMES = tuple("abcdefg")


def row(name, cost):
    return {"run": name, "cost": cost, "rate": 0.5, "low": 0.4, "high": 0.6, "n": 9}


def spec(*rows, **options):
    titles = {"kind": "Model", "cost": "One face (ms)", "value": "Accuracy"}
    return cost_chart(rows, NAMES, **{**titles, **options})


def encoding(drawn, layer=1):
    return drawn["layer"][layer]["encoding"]


@pytest.mark.parametrize(
    ("costs", "kind"), [((1, 10), "linear"), ((1, 11), "log"), ((), "linear")]
)
def test_costs_that_differ_widely_have_a_log_scale(costs, kind):
    drawn = spec(*(row("a", cost) for cost in costs))
    assert encoding(drawn)["x"]["scale"]["type"] == kind


def test_each_name_has_a_fixed_colour_and_shape():
    drawn = encoding(spec(row("c", 1)))
    pairs = list(
        zip(
            drawn["color"]["scale"]["range"],
            drawn["shape"]["scale"]["range"],
            strict=True,
        )
    )
    assert len(set(pairs)) == len(NAMES)
    assert len(set(drawn["shape"]["scale"]["range"])) == len(NAMES)
    assert tuple(drawn["shape"]["scale"]["domain"]) == NAMES


def test_the_value_axis_is_in_percent_or_decimals():
    percent, decimals = spec(row("a", 1)), spec(row("a", 1), as_percent=False)
    assert encoding(percent)["y"]["axis"]["format"] == "%"
    assert encoding(decimals)["y"]["axis"]["format"] == ".2f"
    tips = {tip["title"]: tip.get("format") for tip in encoding(decimals)["tooltip"]}
    assert tips["Accuracy"] == tips["From"] == tips["To"] == ".3f"
    assert tips["Faces"] == ","


def test_intervals_are_drawn_below_the_points():
    drawn = spec(row("a", 1))
    assert [layer["mark"]["type"] for layer in drawn["layer"]] == ["rule", "point"]
    assert encoding(drawn, 0)["y2"]["field"] == "high"


def test_more_names_do_not_take_the_height_of_the_points():
    few, many = (
        cost_chart([row("a", 1)], names, kind="Model", cost="ms", value="Accuracy")
        for names in (NAMES[:1], NAMES)
    )
    assert many["height"] - few["height"] == 3 * 30
