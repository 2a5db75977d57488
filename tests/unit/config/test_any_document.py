"""Whatever a file or a variable holds, loading ends in settings or in ConfigError."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raftha.config.dynamic import parse_dynamic
from raftha.config.load import load
from raftha.config.options import NODE_SCHEMA
from raftha.errors import ConfigError

known_words = {word for path in NODE_SCHEMA.options for word in path.split(".")}
words = st.sampled_from(sorted(known_words))
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(document=documents)
def test_any_document_is_loaded_or_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "any.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    with pytest.raises(ConfigError):
        load(path, {})


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet="abc:-[]{}&*!|>'\"%@#\n\t 019.,?~", max_size=60))
def test_any_text_is_loaded_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load(path, {})


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(sorted(NODE_SCHEMA.options)),
    value=documents | st.sampled_from(["on", "n2:1", "*:1", "[::1]:2", "10.0.0.1:3", "data/x"]),
    in_environment=st.booleans(),
)
def test_a_good_file_with_one_value_changed_is_loaded_or_refused(
    tmp_path: Path, good: str, path: str, value: object, in_environment: bool
) -> None:
    """Goal: no value of any option, valid or not, ends in anything but settings or ConfigError."""
    document = yaml.safe_load(good)
    section = document
    *parents, key = path.split(".")
    environ: dict[str, str] = {}
    if in_environment:
        text = yaml.safe_dump(value, allow_unicode=True)
        environ = {"RAFTHA_" + path.upper().replace(".", "__"): text}
    else:
        for parent in parents:
            section = section.setdefault(parent, {})
        section[key] = value
    file = tmp_path / "changed.yml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        loaded = load(file, environ)
    except ConfigError:
        return
    assert parse_dynamic(loaded.dynamic_document, "stored") == loaded.config.bootstrap.dynamic
    assert json.dumps(loaded.dynamic_document)
