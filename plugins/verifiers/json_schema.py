"""The answer is JSON of the wanted shape."""

import json
from typing import Any

from rlsp_cli.rewards import Sample, Verdict, last_fenced, verifier, without_thinking


@verifier
def json_schema(sample: Sample) -> Verdict:
    """What follows the thinking, or its last fenced block, is JSON that the schema in `reference` accepts.

    The schema is JSON Schema (the jsonschema library); references to other documents are not followed.
    """
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(sample.reference or "{}")
    answer = last_fenced(sample.response, "json") or without_thinking(sample.response).strip()
    try:
        value = json.loads(answer, parse_constant=_refuse)
    except ValueError:
        return Verdict(False, None)
    validator = validator_for(schema)
    validator.check_schema(schema)
    return Verdict(validator(schema, registry=Registry()).is_valid(value), answer)


def _refuse(constant: str) -> Any:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(constant)
