"""The answer is JSON that fits a schema."""

import json

from rlsp_cli.outside import strict_json
from rlsp_cli.rewards import Sample, Verdict, last_fenced, verifier, without_thinking


@verifier
def json_schema(sample: Sample) -> Verdict:
    """The answer is JSON that the schema in `reference` accepts.

    The answer is what follows the thinking, or its last fenced block. The schema is JSON Schema
    (the jsonschema library); references to other documents are not followed. NaN, numbers beyond a
    double, a key given twice and nesting deeper than 100 levels are no JSON here.
    """
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(sample.reference or "{}")
    validator = validator_for(schema)
    validator.check_schema(schema)

    answer = last_fenced(sample.response, "json") or without_thinking(sample.response).strip()
    try:
        value = strict_json(answer)
    except ValueError:
        return Verdict(False, None)

    # An empty registry: a `$ref` in a data set must not fetch anything.
    return Verdict(validator(schema, registry=Registry()).is_valid(value), answer)
